package ranges

// Default is a platform's entry in the table of defaults, with warnings: nothing
// of it was checked. It is false for a name the table does not have.
// Where Istio's documentation gave a value, the result is that value.
func Default(name string) (Result, bool) {
	p, ok := lookup(name)
	if !ok {
		return Result{}, false
	}
	var evidence []Evidence
	given := ""
	if d := p.documented; d != nil {
		source := p.title + ", as Istio documented it"
		evidence = append(defaultEvidence(source, Service, rankUncheckedOnly, d.service), defaultEvidence(source, Pod, rankPodUncheckedOnly, d.pod)...)
		given = d.value
	} else {
		evidence = (&ClusterData{}).defaults(p.name)
	}
	f := &ClusterData{Evidence: evidence}
	f.warn("these are the defaults of %s, not verified on a cluster", p.title)
	if p.documented != nil {
		f.warn("%s", p.documented.warning)
	}
	if p.note != "" && (p.documented == nil || p.service+p.pod != "") {
		f.warn("%s", p.note)
	}
	r := f.Resolve(Options{})
	r.Platform, r.Given = p.name, given
	for i := range r.Missing {
		r.Missing[i].Why, r.Missing[i].Command = "the platform has no default for it", command(p.name, r.Missing[i].Kind)
	}
	return r, true
}

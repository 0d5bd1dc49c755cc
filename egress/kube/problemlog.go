package kube

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// problemLog logs each problem of the objects once, when it appears.
type problemLog struct {
	log  logr.Logger
	last map[string]bool
}

func (l *problemLog) update(problems problem.List) {
	next := make(map[string]bool, len(problems))
	for _, p := range problems {
		text := p.String()
		if !l.last[text] && !next[text] {
			l.log.Info("object has errors or ineffective fields", "severity", p.Severity.String(), "problem", text)
		}
		next[text] = true
	}
	l.last = next
}

// restrictedLog logs which Services are reached from their own namespace only.
type restrictedLog struct {
	log    logr.Logger
	logged string
}

func (l *restrictedLog) update(services []key, rangesComplete bool) {
	const most = 10
	slices.SortFunc(services, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	names := make([]string, 0, most)
	for _, s := range services[:min(most, len(services))] {
		names = append(names, s.namespace+"/"+s.name)
	}
	text := fmt.Sprint(len(services), names, rangesComplete)
	if text == l.logged || len(services) == 0 && l.logged == "" {
		return
	}
	l.logged = text
	l.log.Info("Services with endpoints outside the cluster's ranges are reached from their own namespace only; other namespaces require a ServiceEntry",
		"services", len(services), "first", names, "rangesComplete", rangesComplete)
}

package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// identity selects the uid and gid of the sidecar. The redirect exempts the uid, and the gid
// where the pod's own istio-proxy container sets it. On
// OpenShift a pod may only use uids of its namespace's range; the last one is used that
// no application of the pod has, as applications get the first. A pod with its own
// istio-proxy container may set both itself.
func (r *resolver) identity() {
	uid, gid := sourcedID{1337, SourceDefault}, sourcedID{1337, SourceDefault}
	if text, ok := r.in.namespace[annotation.OpenShiftUIDRange]; ok {
		uid = r.namespaceID(annotation.OpenShiftUIDRange, text)
		gid = uid
	}
	if text, ok := r.in.namespace[annotation.OpenShiftSupplementalGroups]; ok {
		gid = r.namespaceID(annotation.OpenShiftSupplementalGroups, text)
	}
	if r.in.uid != nil {
		uid = sourcedID{*r.in.uid, SourceContainer}
	}
	if r.in.gid != nil {
		gid = sourcedID{*r.in.gid, SourceContainer}
		r.out.ExemptGID = true
	}
	r.out.ProxyUID, r.out.ProxyGID = uid.id, gid.id
	r.set("proxyUID", formatInt(uid.id), uid.source)
	r.set("proxyGID", formatInt(gid.id), gid.source)
}

type sourcedID struct {
	id     int64
	source Source
}

// namespaceID is the last free id of the range in an annotation of the namespace.
func (r *resolver) namespaceID(name, text string) sourcedID {
	ids, err := parseIDRange(text)
	if err != nil {
		r.namespaceProblem(name, err)
		return sourcedID{}
	}
	id, ok := ids.lastExcept(r.in.taken)
	if !ok {
		r.namespaceProblem(name, problem.Invalid("", text, "no id of the range is left for the sidecar: the containers of the pod have them all", "use a larger range, or another runAsUser in a container"))
	}
	return sourcedID{id, SourceNamespace}
}

// idRange is a range of uids or gids, both ends included.
type idRange struct{ first, last int64 }

// maxID is the largest id that the API server accepts.
const maxID = 1<<31 - 1

// parseIDRange reads OpenShift's "first/size" or "first-last", of the first block where
// several are listed.
func parseIDRange(text string) (idRange, error) {
	block, _, _ := strings.Cut(text, ",")
	if first, size, ok := strings.Cut(block, "/"); ok {
		a, errA := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
		n, errN := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
		if errA == nil && errN == nil && a >= 0 && n > 0 && n <= maxID && a+n-1 <= maxID {
			return idRange{a, a + n - 1}, nil
		}
	} else if first, last, ok := strings.Cut(block, "-"); ok {
		a, errA := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
		b, errB := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
		if errA == nil && errB == nil && a >= 0 && b >= a && b <= maxID {
			return idRange{a, b}, nil
		}
	}
	return idRange{}, problem.Invalid("", text, "invalid UID range", "expected FIRST/SIZE or FIRST-LAST")
}

func (r idRange) has(id int64) bool { return r.first <= id && id <= r.last }

// lastExcept is the last id that is not taken; there are as many to try as are taken.
func (r idRange) lastExcept(taken []int64) (int64, bool) {
	for id := r.last; id >= r.first; id-- {
		if !slices.Contains(taken, id) {
			return id, true
		}
	}
	return 0, false
}

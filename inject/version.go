package inject

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version is a Kubernetes minor release. The zero value means unknown.
type Version struct{ Major, Minor int }

var versionForm = regexp.MustCompile(`^v?(\d{1,3})\.(\d{1,4})(\D.*)?$`)

// ParseVersion reads a Kubernetes version in the forms of servers and users:
// "1.37", "v1.37.2", "v1.31.4-gke.1256000", "1.27+".
func ParseVersion(s string) (Version, error) {
	m := versionForm.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("kubernetes version %q: not of the form MAJOR.MINOR, such as 1.37", s)
	}
	major, _ := strconv.Atoi(m[1]) // the pattern bounds both
	minor, _ := strconv.Atoi(m[2])
	return Version{major, minor}, nil
}

// String returns "1.37", or "unknown" for the zero value.
func (v Version) String() string {
	if v == (Version{}) {
		return "unknown"
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// atLeast reports whether v is known to be the release or newer.
func (v Version) atLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Package count counts the pods of a cluster by whether the active settings inject them, as
// metrics: the numbers of `outrider status -A`.
//
// Contract: one replica of those that are elected counts, at an interval and after a change
// of the settings, and takes little while it does: pages of 100 pods and 4 MiB, and 1,000
// pods a second. What it finds has no effect on admission. A count that fails leaves
// the former numbers, and their time.
package count

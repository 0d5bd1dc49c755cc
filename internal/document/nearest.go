package document

import "strings"

// Nearest is the known name closest to word, or "" when none is close: the
// edit distance (with swapped neighbours as one edit, case ignored) is at most
// a third of the word's length, and at least one. Ties go to the earlier name.
func Nearest(word string, known []string) string {
	const longest = 128 // bounds the work; no known name is longer
	if word == "" || len(word) > longest {
		return ""
	}
	limit := max(1, len(word)/3)
	best, at := limit+1, ""
	w := strings.ToLower(word)
	for _, k := range known {
		if k == word || len(k) > len(w)+limit || len(w) > len(k)+limit {
			continue
		}
		if d := distance(w, strings.ToLower(k)); d < best {
			best, at = d, k
		}
	}
	return at
}

// distance is the optimal string alignment distance in bytes.
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}

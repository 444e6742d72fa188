package policy

import "strings"

// suggest returns the candidate that a writer most likely meant, or "" when
// none is near. Case and the choice between `-`, `_` and space count for
// nothing; beyond that one edit for three letters is forgiven.
func suggest(word string, candidates []string) string {
	const longest = 256 // bounds the work for one word; scopes are no longer
	if word == "" || len(word) > longest {
		return ""
	}
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if len(c) > longest || abs(len(c)-len(word)) >= bestDistance {
			continue
		}
		if d := distance(fold(word), fold(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return '_'
		}
		return r
	}, strings.ToLower(s))
}

func abs(n int) int { return max(n, -n) }

// distance counts the edits between two words, a swap of neighbours being one
// (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

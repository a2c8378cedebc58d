package config

import (
	"iter"
	"strings"
)

// Nearest returns the known name that a misspelt one most likely stands for, "" if none comes near. Of equally near ones
// it is the first in the alphabet.
func Nearest(name string, known iter.Seq[string]) string {
	best, least := "", min(max(len(name)/3, 1), 3)
	for k := range known {
		if d := len(name) - len(k); d > least || -d > least {
			continue
		}
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if d < least || d == least && (best == "" || k < best) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

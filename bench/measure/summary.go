package measure

import (
	"fmt"
	"slices"
)

// Summary is what a list of measurements comes to. N is 0 if there are none.
type Summary struct {
	Median, Min, Max float64
	N                int
}

// Summarize returns the median, the least and the greatest of v. The median of an even number is the mean of the two in
// the middle. It does not change v.
func Summarize(v []float64) Summary {
	if len(v) == 0 {
		return Summary{}
	}
	s := slices.Sorted(slices.Values(v))
	mid := s[len(s)/2]
	if len(s)%2 == 0 {
		mid = (mid + s[len(s)/2-1]) / 2
	}
	return Summary{Median: mid, Min: s[0], Max: s[len(s)-1], N: len(s)}
}

// Ratios returns a[i]/b[i], round by round. Rounds where b is 0 are left out, and so are those that only one has.
func Ratios(a, b []float64) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			r = append(r, a[i]/b[i])
		}
	}
	return r
}

// Less returns a[i]-b[i], round by round, of the rounds that both have.
func Less(a, b []float64) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		r = append(r, a[i]-b[i])
	}
	return r
}

// Sum returns a[i]+b[i], round by round, of the rounds that both have.
func Sum(a, b []float64) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		r = append(r, a[i]+b[i])
	}
	return r
}

// Inverse returns f/v[i]: nanoseconds for a packet from millions of packets in a second, if f is 1000.
func Inverse(v []float64, f float64) []float64 {
	r := slices.Clone(v)
	for i := range r {
		r[i] = f / r[i]
	}
	return r
}

// String returns the median and, of more than one measurement, the least and greatest, with three digits each: "41.2
// (40.1-47.0)".
func (s Summary) String() string {
	switch s.N {
	case 0:
		return "-"
	case 1:
		return digits(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits writes three digits, or all that stand before the point.
func digits(v float64) string {
	switch a := max(v, -v); {
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

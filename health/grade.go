package health

// GradeKind says what a Grade's Value means.
type GradeKind uint8

// What a check may say of a server's weight.
const (
	GradeNone    GradeKind = iota // nothing: the configured weight
	GradeWeight                   // Value is the weight itself (misc_dynamic: exit code - 2)
	GradePercent                  // Value is percent of the configured weight (agent: "75%")
	GradeDelta                    // Value is added to the configured weight (track_file)
)

// Grade is what a check says of a server's weight beside well or not.
type Grade struct {
	Kind  GradeKind
	Value int
	// AtOnce says that the check's Damp does not hold: the grade is an order (drain), not a measurement.
	AtOnce bool
}

// maxWeight is the largest weight of a real server (IPVS_WEIGHT_MAX of keepalived).
const maxWeight = 1<<31 - 1

// Of returns the weight that the grade makes of the configured one, 0..2147483647. A percentage of a weight that is not
// 0 is rounded up, so that it is 0 only if the percentage is.
func (g Grade) Of(configured int) int {
	w := int64(configured)
	switch g.Kind {
	case GradeWeight:
		w = int64(g.Value)
	case GradePercent:
		w = (w*int64(g.Value) + 99) / 100
	case GradeDelta:
		w += int64(g.Value)
	}
	return clampWeight(w)
}

// clampWeight is w as a weight.
func clampWeight(w int64) int { return int(min(max(w, 0), maxWeight)) }

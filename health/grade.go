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
}

// Of returns the weight that the grade makes of the configured one, at least 0.
func (g Grade) Of(configured int) int {
	w := configured
	switch g.Kind {
	case GradeWeight:
		w = g.Value
	case GradePercent:
		w = int((int64(configured)*int64(g.Value) + 99) / 100)
	case GradeDelta:
		w = configured + g.Value
	}
	return max(w, 0)
}

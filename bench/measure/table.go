package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Row is one line of the table.
type Row struct {
	Group  string  `json:"group"`
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Ours   Summary `json:"ours"`
	Peer   string  `json:"peer,omitempty"` // who it is compared with; empty: nobody
	Theirs Summary `json:"theirs,omitzero"`
	Ratio  Summary `json:"ratio,omitzero"` // ours to theirs, in the same round
	Target Target  `json:"target,omitzero"`
	Note   string  `json:"note,omitempty"`
}

// Target is what a row should reach: its ratio, or without a peer its value. The zero Target asks for nothing.
type Target struct {
	AtMost  float64 `json:"atMost,omitzero"`
	AtLeast float64 `json:"atLeast,omitzero"`
}

// reachedBy reports whether v reaches the target.
func (t Target) reachedBy(v float64) bool {
	return (t.AtMost == 0 || v <= t.AtMost) && (t.AtLeast == 0 || v >= t.AtLeast)
}

// String returns the bound; "" of the zero Target.
func (t Target) String() string {
	switch {
	case t.AtMost != 0:
		return "<= " + digits(t.AtMost)
	case t.AtLeast != 0:
		return ">= " + digits(t.AtLeast)
	}
	return ""
}

// verdict returns the target and whether v reaches it.
func (t Target) verdict(v float64) string {
	switch {
	case t == Target{}:
		return ""
	case t.reachedBy(v):
		return t.String() + " reached"
	}
	return t.String() + " missed"
}

// goal returns what the target is about.
func (r *Row) goal() float64 {
	if r.Ratio.N == 0 {
		return r.Ours.Median
	}
	return r.Ratio.Median
}

// Score counts the targets that are reached and tells the others.
func Score(rows []Row) (reached int, missed []string) {
	for i := range rows {
		switch r := &rows[i]; {
		case r.Target == Target{}:
		case r.Target.reachedBy(r.goal()):
			reached++
		default:
			peer := ""
			if r.Peer != "" {
				peer = " beside " + r.Peer
			}
			missed = append(missed, fmt.Sprintf("%s: %s%s: %s, want %s", r.Group, r.Name, peer, digits(r.goal()), r.Target))
		}
	}
	return reached, missed
}

// Compare makes the row of ours against theirs, round by round.
func Compare(group, name, unit string, ours []float64, peer string, theirs []float64, t Target) Row {
	return Row{Group: group, Name: name, Unit: unit, Ours: Summarize(ours), Peer: peer, Theirs: Summarize(theirs),
		Ratio: Summarize(Ratios(ours, theirs)), Target: t}
}

// Print writes rows as a table for people, a heading before each group.
func Print(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	group := ""
	for _, r := range rows {
		if r.Group != group {
			if group != "" {
				fmt.Fprintln(t)
			}
			group = r.Group
			fmt.Fprintf(t, "%s\tunit\tours\tpeer\ttheirs\tratio\ttarget\tnote\n", group)
		}
		peer := r.Peer
		if peer == "" {
			peer = "-"
		}
		fmt.Fprintf(t, "  %s\t%s\t%v\t%s\t%v\t%v\t%s\t%s\n", r.Name, r.Unit, r.Ours, peer, r.Theirs, r.Ratio,
			r.Target.verdict(r.goal()), r.Note)
	}
	return t.Flush()
}

// Report is what a run of all measurements found, for machines.
type Report struct {
	Machine string   `json:"machine"`
	Rounds  int      `json:"rounds"`
	Rows    []Row    `json:"rows"`
	Skipped []string `json:"skipped,omitempty"` // what was not measured, and why

	// For the plot: nanoseconds for a packet by number of connections; millions of packets a second by number of workers,
	// if each gets what it owns, and if half of it is another's.
	Curve      []Point `json:"curve,omitempty"`
	Workers    []Point `json:"workers,omitempty"`
	HandedOver []Point `json:"handedOver,omitempty"`
}

// Point is one of a curve.
type Point struct{ X, Y float64 }

// WriteJSON writes the report with indentation.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(r)
}

package track

// tally counts results until there are enough of a kind, as keepalived counts those of its scripts: n walks from 0 to
// rise+fall-1, the object is up from rise on. A success while up, or a failure while down, starts the count for the
// other way again. The very first result counts at once. Not safe for concurrent use.
type tally struct {
	rise, fall int // at least 1
	n          int
	known      bool // there was a result
}

func newTally(rise, fall int) tally {
	t := tally{rise: max(rise, 1), fall: max(fall, 1)}
	t.n = t.rise - 1 // one success is enough
	return t
}

func (t *tally) up() bool { return t.n >= t.rise }

// add counts a result and reports whether it is news: a change, or the first.
func (t *tally) add(ok bool) bool {
	first, was := !t.known, t.up()
	t.known = true
	switch {
	case ok && t.n >= t.rise-1:
		t.n = t.rise + t.fall - 1
	case ok:
		t.n++
	case first || t.n <= t.rise:
		t.n = 0
	default:
		t.n--
	}
	return first || t.up() != was
}

// keep makes a tally for other limits that is as far up or down as it can be, like o.
func (t *tally) keep(o tally) {
	if !o.known {
		return
	}
	t.known, t.n = true, 0
	if o.up() {
		t.n = t.rise + t.fall - 1
	}
}

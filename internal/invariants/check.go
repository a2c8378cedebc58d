package invariants

import "fmt"

// Check panics with the formatted message when Enabled and ok is false. It may be called from any goroutine. Arguments
// that are costly to compute, or that escape to the heap on a hot path, belong inside `if invariants.Enabled { … }`.
func Check(ok bool, format string, args ...any) {
	if Enabled && !ok {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}

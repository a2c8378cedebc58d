package health

import (
	"fmt"
	"time"

	"dirsw/clock"
)

// localPause is how often a lack of the director's own is logged while it lasts.
const localPause = 10 * time.Second

// localFaults gathers checks that could not be made for want of something of the director's own, so that a lack of
// descriptors is told in one line and not in thousands.
type localFaults struct {
	count  int
	err    error
	logged bool
	at     clock.Mono // of the last line
}

// add counts one.
func (f *localFaults) add(err error) {
	f.count++
	f.err = err
}

// settle queues the line that is due. The Prober's lock is held.
func (f *localFaults) settle(now clock.Mono, p *Prober) {
	if f.count == 0 || f.logged && now.Sub(f.at) < localPause {
		return
	}
	p.line(lineWarn, fmt.Sprintf("%d checks could not be made, and say nothing of their servers: %v. Rescheduling.", f.count, f.err))
	f.count, f.logged, f.at = 0, true, now
}

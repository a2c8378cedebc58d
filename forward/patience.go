package forward

// Bounds of the empty breaths that a worker takes before it sleeps. The most of them take as long as to fall asleep and to be
// woken up, some microseconds: whoever waits that long in vain has lost no more than that again.
const (
	leastSpins = 2
	mostSpins  = 64
)

// patience is how many empty breaths a worker takes before it sleeps: more of them while frames come meanwhile, fewer while they
// do not. They cannot where what receives them shares the worker's processor, which then waits for the worker to sleep.
type patience struct {
	spins  int  // before it is lost
	taken  int  // empty breaths since a frame came
	asleep bool // it has been lost since then
}

func newPatience() patience { return patience{spins: mostSpins} }

// lost is told of an empty breath, and reports whether it is time to sleep. Who has slept sleeps on until a frame comes.
func (p *patience) lost() bool {
	if p.asleep {
		return true
	}
	if p.taken++; p.taken <= p.spins {
		return false
	}
	p.spins, p.asleep = max(p.spins/2, leastSpins), true
	return true
}

// paid is told of a breath with frames.
func (p *patience) paid() {
	if p.taken > 0 && !p.asleep {
		p.spins = min(2*p.spins, mostSpins)
	}
	p.taken, p.asleep = 0, false
}

package xsk

import (
	"slices"
	"time"
)

const (
	// rouses is how often a second a worker is woken up before gathering is tried. Below that there is nothing to be saved.
	rouses = 4000
	// company is how many frames wake a worker up together where they are of several connections. One that waits for each
	// answer before it sends on would only wait longer.
	company = 3
	// together is how many frames are to be gathered at most, on the average: what NAPI takes at once. The ring of veth has 256.
	together = 64
	// steps is how often the longest time is halved for the shortest one.
	steps = 4
	// worse is what the rate must not fall below by gathering, of what it is without.
	worse = 0.9
	// other is how much a rate may change before it is another load, which has to be tried anew.
	other = 1.3

	// In looks, LookBusy each.
	sample   = 3   // of which the best one counts: what disturbs a rate makes it less
	calmDown = 6   // without anything worth gathering before it ends
	restGood = 400 // between two looks at how it is without
	restBad  = 20  // after a step that did not pay; twice as many each time
	restMost = 640
)

// phase is what a pace is at.
type phase uint8

const (
	resting phase = iota // for p.rest looks
	trying               // a step more
	without              // looking what the rate is without gathering
)

// pace finds out how long frames of one interface are gathered before they wake a worker up. It climbs as long as the rate of frames
// does not suffer, as that of clients would who wait for their answers, and looks now and then, and whenever the load has
// become another, what the rate is without. So it does what adaptive moderation of a NIC does, for interfaces that have none.
type pace struct {
	most time.Duration // at the highest step; 0: nothing is ever gathered

	phase phase
	step  int     // in force; 0: nothing is gathered
	back  int     // the step to go back to, while without
	base  float64 // frames a second without gathering
	rate  float64 // with it, as it was judged last
	looks int     // since the step in force was taken
	rest  int
	hold  int // rest after the next step that does not pay
	calm  int
	last  [sample]float64 // frames a second in the last looks
	at    int
}

// gather is how long frames are gathered at a step.
func (p *pace) gather(step int) time.Duration {
	if step == 0 {
		return 0
	}
	return p.most >> (steps - step)
}

// look is told the frames that the busiest queue received, and how often those woke a worker up, a second each. It returns how
// long they are to be gathered from now on.
func (p *pace) look(frames, wakes float64) time.Duration {
	if p.most == 0 || p.quiet(frames, wakes) {
		return p.gather(p.step)
	}
	p.last[p.at%sample] = frames
	p.at++
	p.looks++
	rate, room := slices.Max(p.last[:]), p.room(frames)
	settled := p.looks > sample // in the first look there was still something of the rate before
	switch {
	case p.step > room:
		p.pause(room, restGood)
	case p.phase == trying && settled:
		p.judge(rate, room)
	case p.phase == without && settled:
		p.compare(rate)
	case p.phase == resting && p.step == 0:
		p.begin(rate, room, settled)
	case p.phase == resting && settled:
		p.doze(rate)
	}
	return p.gather(p.step)
}

// quiet reports whether there is nothing worth gathering, and ends gathering once that has lasted.
func (p *pace) quiet(frames, wakes float64) bool {
	if p.step == 0 && p.phase != without {
		return wakes < rouses || frames < company*wakes
	}
	if wakes > 0 && frames >= company*wakes || p.phase == without {
		p.calm = 0
		return false
	}
	if p.calm++; p.calm >= calmDown {
		*p = pace{most: p.most, hold: p.hold}
	}
	return true
}

// room is the highest step that such a rate allows.
func (p *pace) room(frames float64) int {
	step := steps
	for step > 0 && frames*p.gather(step).Seconds() > together {
		step--
	}
	return step
}

// take goes to a step.
func (p *pace) take(step int, to phase) { p.step, p.phase, p.looks = step, to, 0 }

// pause stays at a step for a while.
func (p *pace) pause(step, rest int) {
	p.take(step, resting)
	p.rest, p.rate = rest, 0
}

// begin climbs the first step, as soon as it is known what the rate is without.
func (p *pace) begin(rate float64, room int, settled bool) {
	if p.rest > 0 {
		p.rest--
		return
	}
	if settled && room > 0 {
		p.base = rate
		p.take(1, trying)
	}
}

// judge takes the next step, or takes back the one that is tried.
func (p *pace) judge(rate float64, room int) {
	switch {
	case rate < worse*p.base:
		p.hold = min(max(2*p.hold, restBad), restMost)
		p.pause(p.step-1, p.hold)
	case p.step < room:
		p.take(p.step+1, trying)
	default:
		p.hold = 0
		p.pause(p.step, restGood)
	}
}

// doze rests until it is time to look, or the load is another one.
func (p *pace) doze(rate float64) {
	if p.rate == 0 {
		p.rate = rate
	}
	if p.rest--; p.rest <= 0 || rate*other < p.rate || rate > p.rate*other {
		p.back, p.rate = p.step, rate
		p.take(0, without)
	}
}

// compare goes on where it was if the rate without gathering is no better, and else begins anew.
func (p *pace) compare(rate float64) {
	p.base = rate
	if p.rate < worse*rate {
		p.take(1, trying)
		return
	}
	p.take(p.back, trying) // judged again: a step more if there is room
}

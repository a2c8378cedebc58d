package xsk

import (
	"math/rand/v2"
	"testing"
	"time"
)

// load is traffic as it depends on how long frames are gathered: the frames of a second, and how often they wake a worker up.
type load func(gather time.Duration) (frames, wakes float64)

// open is load of many who do not wait for each other: frames come at a rate of their own, a few at a time.
func open(rate, alone float64) load {
	return func(gather time.Duration) (float64, float64) {
		if gather == 0 {
			return rate, rate / alone
		}
		return rate, min(rate/alone, 1/gather.Seconds())
	}
}

// waiting is load of n who send on when they have been answered, which takes round and, on the average, half of the gathering; alone
// frames come together.
func waiting(n, alone float64, round time.Duration) load {
	return func(gather time.Duration) (float64, float64) {
		rate := n / (round + gather/2).Seconds()
		return open(rate, alone)(gather)
	}
}

// after has the pace look at a load n times, which a disturbance may change, and returns how long it gathers at the end.
func after(p *pace, n int, l load, disturb func(look int, frames float64) float64) (now time.Duration) {
	now = p.gather(p.step)
	for i := range n {
		frames, wakes := l(now)
		if disturb != nil {
			frames = disturb(i, frames)
		}
		now = p.look(frames, wakes)
	}
	return now
}

func TestPace(t *testing.T) {
	const most = 256 * time.Microsecond
	for _, c := range []struct {
		name        string
		load        load
		least, most time.Duration // after three seconds, but for one look in twenty
	}{
		{"nothing", open(0, 1), 0, 0},
		{"few frames", open(5000, 4), 0, 0},
		{"one that waits for its answer", waiting(1, 1, 50*time.Microsecond), 0, 0},
		{"three of them", waiting(3, 1.5, 50*time.Microsecond), 0, 0},
		{"many connections", open(150e3, 8), most / 2, most},
		{"as many as are gathered in half the time", open(500e3, 8), most / 4, most / 2},
		{"too many for the ring of veth", open(5e6, 8), 0, 0},
		{"many at once without gathering", open(2e6, 600), 0, 0},
		{"a few that wait, in a network of 0.1 ms", waiting(16, 4, 100*time.Microsecond), 0, most / 8},
		{"many that wait for 2 ms anyway", waiting(300, 8, 2*time.Millisecond), most / 2, most},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pace{most: most}
			now, without := after(&p, 60, c.load, nil), 0
			for i := range 2000 {
				switch {
				case now > c.most:
					t.Fatalf("after %d looks more: gathers for %v, want %v to %v: %+v", i, now, c.least, c.most, p)
				case now < c.least:
					without++
				}
				now = after(&p, 1, c.load, nil)
			}
			if without > 100 {
				t.Errorf("in %d of 2000 looks less than %v is gathered: %+v", without, c.least, p)
			}
		})
	}
}

// TestPaceOff: 0 is off, whatever comes.
func TestPaceOff(t *testing.T) {
	var p pace
	if now := after(&p, 100, open(150e3, 8), nil); now != 0 {
		t.Errorf("gathers for %v", now)
	}
}

// TestPaceEnds: with the traffic gathering ends, so that the first frame after it is not kept waiting; a gap does not end it.
func TestPaceEnds(t *testing.T) {
	p := pace{most: 256 * time.Microsecond}
	after(&p, 40, open(150e3, 8), nil)
	if now := after(&p, calmDown-1, open(0, 1), nil); now == 0 {
		t.Error("a gap has ended gathering")
	}
	if now := after(&p, 1, open(0, 1), nil); now != 0 {
		t.Errorf("gathers for %v without traffic", now)
	}
}

// TestPaceDisturbed: a rate that something else halves now and then does not keep frames from being gathered.
func TestPaceDisturbed(t *testing.T) {
	p := pace{most: 256 * time.Microsecond}
	gathered, chance := 0, rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		now := after(&p, 1, open(150e3, 8), func(_ int, frames float64) float64 {
			if chance.IntN(4) == 0 {
				return frames / 2
			}
			return frames * (0.9 + 0.1*chance.Float64())
		})
		if now >= 128*time.Microsecond {
			gathered++
		}
	}
	if gathered < 800 {
		t.Errorf("gathered for 128 us or more in %d of 1000 looks", gathered)
	}
}

// TestPaceFollows: who gathers for a crowd ceases to within a second when only a few are left that wait, whether one comes at a time
// or several.
func TestPaceFollows(t *testing.T) {
	for name, few := range map[string]load{"alone": waiting(4, 1.5, 100*time.Microsecond), "several": waiting(16, 4, 100*time.Microsecond)} {
		t.Run(name, func(t *testing.T) {
			p := pace{most: 256 * time.Microsecond}
			if now := after(&p, 60, waiting(300, 8, 2*time.Millisecond), nil); now < 128*time.Microsecond {
				t.Fatalf("gathers for %v only", now)
			}
			if now := after(&p, 20, few, nil); now > 0 {
				t.Errorf("still gathers for %v: %+v", now, p)
			}
		})
	}
}

// TestPaceGivesUp: who waits is tried ever more seldom.
func TestPaceGivesUp(t *testing.T) {
	p := pace{most: 256 * time.Microsecond}
	after(&p, 1000, waiting(16, 4, 100*time.Microsecond), nil)
	gathered := 0
	for range 1000 {
		if after(&p, 1, waiting(16, 4, 100*time.Microsecond), nil) > 0 {
			gathered++
		}
	}
	if gathered == 0 || gathered > 20 {
		t.Errorf("gathered in %d of 1000 looks, want it to be tried now and then", gathered)
	}
}

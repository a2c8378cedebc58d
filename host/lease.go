package host

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// leases prolongs addresses on a goroutine of its own, so that the thread of a VRRP does not wait for the kernel, which
// lets one process at a time change the network: another one's change may take long, and an advert would be late.
type leases struct {
	of *Holdings

	mu    sync.Mutex
	queue map[time.Duration][]*holding // by lifetime

	bell chan struct{} // one place: there is something in the queue
	done sync.WaitGroup
}

func (l *leases) start(o *Holdings) {
	l.of, l.queue, l.bell = o, map[time.Duration][]*holding{}, make(chan struct{}, 1)
	l.done.Add(1)
	go l.run()
}

// stop waits until what is under way is done.
func (l *leases) stop() {
	if l.of != nil {
		close(l.bell)
		l.done.Wait()
	}
}

// add queues h, which is held. If the kernel is so slow that more is in the queue than is held, nothing is added.
func (l *leases) add(h *holding, lifetime time.Duration) {
	limit := l.of.Held()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue[lifetime]) <= limit {
		l.queue[lifetime] = append(l.queue[lifetime], h)
	}
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

func (l *leases) run() {
	defer l.done.Done()
	for range l.bell {
		l.mu.Lock()
		queue := l.queue
		l.queue = map[time.Duration][]*holding{}
		l.mu.Unlock()
		for lifetime, batch := range queue {
			if err := l.of.prolongAll(batch, lifetime); err != nil {
				l.of.log.Warn("cannot prolong virtual addresses", zap.Error(err))
			}
		}
	}
}

// Own sets an address as Hold does, at once; if it is held already its lifetime is prolonged by another goroutine, soon. A
// refresh costs the calling thread well under a microsecond, so that one who holds thousands may call it for each.
func (v *VRRP) Own(a Address, lifetime time.Duration) error {
	v.know(a.Link)
	index, err := v.indexOf(a.Link)
	if err != nil || index == 0 {
		return fmt.Errorf("add %v: %w: %s", a.Prefix, ErrNoLink, a.Link)
	}
	h := newHolding(index, &a)
	if was := v.Holdings.at(h.key); was != nil && was.spec == h.spec {
		v.leases.add(was, lifetime)
		return nil
	}
	return v.Holdings.hold([]*holding{h}, lifetime)
}

// Disown takes away an address that Own set. That it is gone already, or its link, is no error. One that was there for
// good before is left; Evict takes it.
func (v *VRRP) Disown(a Address) error {
	v.know(a.Link)
	index, err := v.indexOf(a.Link)
	if err != nil || index == 0 {
		return nil
	}
	return v.Holdings.removeAll([]*holding{newHolding(index, &a)}, false)
}

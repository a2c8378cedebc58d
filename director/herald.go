package director

import (
	"context"
	"sync"

	"dirsw/notify"
)

// herald tells the notifier what the election says, in its order, on a goroutine of its own: the notifier may wait for whoever
// reads the log, and the election's thread must not.
type herald struct {
	mu   sync.Mutex
	list []notify.Event
	came chan struct{} // holds one
}

// say never blocks.
func (h *herald) say(e notify.Event) {
	h.mu.Lock()
	h.list = append(h.list, e)
	h.mu.Unlock()
	select {
	case h.came <- struct{}{}:
	default:
	}
}

// run passes on what is said until ctx is done: all that was said by then.
func (h *herald) run(ctx context.Context, tell func(notify.Event)) {
	for {
		last := ctx.Err() != nil
		h.mu.Lock()
		list := h.list
		h.list = nil
		h.mu.Unlock()
		for _, e := range list {
			tell(e)
		}
		if last {
			return
		}
		select {
		case <-h.came:
		case <-ctx.Done():
		}
	}
}

package director

import (
	"context"
	"sync"
)

// inbox keeps what others say, in their order, for one who takes it when there is time. Who puts something in never waits: the
// threads of the election and of the checks must not.
type inbox[T any] struct {
	mu   sync.Mutex
	list []T
	came chan struct{} // holds one: there is something
}

func newInbox[T any]() *inbox[T] { return &inbox[T]{came: make(chan struct{}, 1)} }

// put adds to what there is. Any goroutine.
func (b *inbox[T]) put(v T) {
	b.mu.Lock()
	b.list = append(b.list, v)
	b.mu.Unlock()
	select {
	case b.came <- struct{}{}:
	default:
	}
}

// take returns all that has come since the last call.
func (b *inbox[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	return list
}

// run passes on what comes until ctx is done: all that had come by then.
func (b *inbox[T]) run(ctx context.Context, tell func(T)) {
	for {
		last := ctx.Err() != nil
		for _, v := range b.take() {
			tell(v)
		}
		if last {
			return
		}
		select {
		case <-b.came:
		case <-ctx.Done():
		}
	}
}

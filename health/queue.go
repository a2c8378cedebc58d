package health

import (
	"container/heap"

	"dirsw/clock"
)

// queue holds the checks that wait for their time, the earliest first. It is a container/heap; use add, drop and take.
type queue []*item

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].probe.Due() < q[j].probe.Due() }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i+1, j+1
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	it := x.(*item)
	*q = append(*q, it)
	it.place = len(*q)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	n := len(*q) - 1
	it := (*q)[n]
	(*q)[n] = nil
	*q = (*q)[:n]
	it.place = 0
	return it
}

// add queues it, or moves it to where its time puts it.
func (q *queue) add(it *item) {
	if it.place != 0 {
		heap.Fix(q, it.place-1)
		return
	}
	heap.Push(q, it)
}

// drop takes it out, if it is in.
func (q *queue) drop(it *item) {
	if it.place != 0 {
		heap.Remove(q, it.place-1)
	}
}

// next returns when the first falls due.
func (q queue) next() (clock.Mono, bool) {
	if len(q) == 0 {
		return 0, false
	}
	return q[0].probe.Due(), true
}

// take removes and returns the first if it is due, else nil.
func (q *queue) take(now clock.Mono) *item {
	if at, ok := q.next(); !ok || at > now {
		return nil
	}
	return heap.Pop(q).(*item)
}

package health

import (
	"container/heap"

	"dirsw/clock"
)

// queue holds the checks that wait for their time, the earliest first. It is a container/heap; use add, drop and take. The times
// stand in it, so that thousands of checks are put in order without looking at each.
type queue []waiting

type waiting struct {
	due clock.Mono
	it  *item
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].it.place, q[j].it.place = i+1, j+1
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	it := x.(*item)
	*q = append(*q, waiting{it.probe.Due(), it})
	it.place = len(*q)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	n := len(*q) - 1
	it := (*q)[n].it
	(*q)[n] = waiting{}
	*q = (*q)[:n]
	it.place = 0
	return it
}

// add queues it, or moves it to where its time puts it.
func (q *queue) add(it *item) {
	if it.place != 0 {
		(*q)[it.place-1].due = it.probe.Due()
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
	return q[0].due, true
}

// take removes and returns the first if it is due, else nil.
func (q *queue) take(now clock.Mono) *item {
	if at, ok := q.next(); !ok || at > now {
		return nil
	}
	return heap.Pop(q).(*item)
}

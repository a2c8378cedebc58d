package lab

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dirsw/clock"
)

// watch is somebody who asks for a page again and again, each time by a new connection and without waiting for the answers
// before: so it sees what the users of a service see.
type watch struct {
	clk  clock.Clock
	stop context.CancelFunc
	ends sync.WaitGroup

	mu   sync.Mutex
	list []asked
}

// asked is a request.
type asked struct {
	at     clock.Mono // when it was made
	done   clock.Mono // when it was answered or given up
	server string     // the first line of the answer
	err    error
}

// How long a watch waits for an answer: longer than SYN takes to be sent again, once; twice where there is slack, but each
// request that waits is a thread.
const (
	patience     = 1500 * time.Millisecond
	morePatience = 3500 * time.Millisecond
)

// watch begins to ask from a node, every so often, until it is ended.
func (s *scene) watch(node, url string, every time.Duration) *watch {
	ctx, stop := context.WithCancel(s.ctx)
	w := &watch{clk: s.c.clk, stop: stop}
	client := s.c.usersClient(node)
	client.Timeout = patience + min(s.slack, morePatience)
	w.ends.Go(func() {
		for next := w.clk.Now(); ctx.Err() == nil; next = next.Add(every) {
			if wait := next.Sub(w.clk.Now()); wait > 0 && pause(ctx, w.clk, wait) != nil {
				return
			}
			w.ends.Go(func() { w.ask(s.ctx, client, url) })
		}
	})
	return w
}

func (w *watch) ask(ctx context.Context, client *http.Client, url string) {
	a := asked{at: w.clk.Now()}
	a.server, a.err = Fetch(ctx, client, url)
	a.done = w.clk.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, a)
}

// end stops asking, waits for what is under way, and returns all requests in the order they were made.
func (w *watch) end() []asked {
	w.stop()
	w.ends.Wait()
	slices.SortFunc(w.list, func(a, b asked) int { return int(a.at - b.at) })
	return w.list
}

// outage is how long after begin nobody was answered: until the first answer to a request that was made since.
func outage(list []asked, begin clock.Mono) (time.Duration, error) {
	first := clock.Mono(0)
	for _, a := range list {
		if a.at >= begin && a.err == nil && (first == 0 || a.done < first) {
			first = a.done
		}
	}
	if first == 0 {
		return 0, fmt.Errorf("no request of %d was answered", len(list))
	}
	return first.Sub(begin), nil
}

// failures are the requests made between two times that were not answered.
func failures(list []asked, from, to clock.Mono) (out []asked) {
	for _, a := range list {
		if a.at >= from && a.at < to && a.err != nil {
			out = append(out, a)
		}
	}
	return out
}

// reasons says in a few words why requests were not answered: each reason once, with its first time since begin.
func reasons(failed []asked, begin clock.Mono) string {
	seen := map[string]bool{}
	var out []string
	for _, a := range failed {
		text := a.err.Error()
		if i := strings.LastIndex(text, ": "); i >= 0 {
			text = text[i+2:]
		}
		if !seen[text] && len(out) < 3 {
			seen[text] = true
			out = append(out, fmt.Sprintf("%.2f s: %s", a.at.Sub(begin).Seconds(), text))
		}
	}
	return strings.Join(out, "; ")
}

// servers are those that answered, each once, sorted.
func serversOf(list []asked) (out []string) {
	for _, a := range list {
		if a.err == nil && !slices.Contains(out, a.server) {
			out = append(out, a.server)
		}
	}
	slices.Sort(out)
	return out
}

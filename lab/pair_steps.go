package lab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// death kills a director: the other takes over what it was master of.
func (p *pair) death(lb int) error {
	dead := p.lbs[lb]
	p.begin("The master dies: the backup takes over.")
	p.did("a request every %v from %s; kill -9 of dirsw in %s", p.pace(), demoClient, dead.node)
	begin, moved, err := p.killed(lb, func() error { return dead.d.stop(unix.SIGKILL, final) })
	if err != nil {
		return err
	}
	for _, s := range moved {
		err := poll(p.ctx, p.c.clk, s.lives+5*time.Second+p.slack, func() (bool, error) { return !p.has(dead.node, s.vip), nil })
		p.must(err, "the kernel of %s has given up %v %.1f s after the kill", dead.node, s.vip, p.c.clk.Now().Sub(begin).Seconds())
		if err := p.holder(s); err != nil {
			return err
		}
	}
	return nil
}

// killed has f kill a director, and says when that was and what the other has taken over.
func (p *pair) killed(lb int, f func() error) (clock.Mono, []*site, error) {
	moved := p.of(lb)
	lists, begin, err := p.during(1-lb, moved, p.patience(moved), f)
	if err != nil {
		return 0, nil, err
	}
	for _, s := range moved {
		p.told(s, lists[s], begin, s.limit[1-lb]+haMargin, p.lbs[1-lb].node)
	}
	p.undisturbed(lists, moved)
	return begin, moved, nil
}

// patience is how long to wait for the backup of sites.
func (p *pair) patience(sites []*site) time.Duration {
	most := ample
	for _, s := range sites {
		most = max(most, 2*s.limit[0], 2*s.limit[1])
	}
	return most
}

// comeback starts a director again: it is master again of what it takes back, and the backup of the rest.
func (p *pair) comeback(lb int) error {
	back := p.lbs[lb]
	var taken, left []*site
	for _, s := range p.sites {
		switch {
		case s.at != lb && s.preferred == lb && s.reclaims:
			taken = append(taken, s)
		case s.at != lb:
			left = append(left, s)
		}
	}
	switch {
	case len(left) == 0:
		p.begin("It returns and is master again: its priority is higher.")
	case len(taken) == 0:
		p.begin("It returns and is the backup: it does not take back what the other has.")
	default:
		p.begin("It returns and takes back what it is to take back, and no more.")
	}
	p.did("a request every %v; %s in %s", p.pace(), p.program(back), back.node)
	wait := p.patience(taken)
	for _, s := range taken {
		wait = max(wait, s.delay+2*s.limit[lb]+ample)
	}
	lists, begin, err := p.during(lb, taken, wait, func() error {
		if err := p.launch(back); err != nil || len(left) == 0 {
			return err
		}
		return pause(p.ctx, p.c.clk, p.silence(lb, left))
	})
	if err != nil {
		return err
	}
	for _, s := range p.sites {
		failed := failures(lists[s], 0, clock.Mono(1<<62))
		p.saw("%s: %d requests, %d not answered", s.url, len(lists[s]), len(failed))
		if len(failed) > 0 {
			p.saw("%s", reasons(failed, begin))
		}
		p.check(len(failed) <= len(lists[s])/20, "the return costs next to nothing")
		if slices.Contains(left, s) {
			p.check(lineWith(back.logged(place{}), masterLine(s.name(lb))...) == "", "%s has not become master of %s", back.node, s.name(lb))
		}
		if err := p.holder(s); err != nil {
			return err
		}
	}
	return nil
}

// program is what a director runs.
func (p *pair) program(lb *scene) string {
	if p.runs[lb.node] != "" {
		return p.runs[lb.node]
	}
	return "dirsw"
}

// silence is how long a director that does not become master must have been watched to know that.
func (p *pair) silence(lb int, sites []*site) time.Duration {
	var d time.Duration
	for _, s := range sites {
		d = max(d, s.limit[lb]+s.delay+time.Second)
	}
	return d
}

// farewell stops a director as systemd does.
func (p *pair) farewell(lb int) error {
	gone := p.lbs[lb]
	p.begin("The master is stopped: it says so, and nobody waits.")
	p.did("a request every %v; SIGTERM to %s in %s", p.pace(), p.program(gone), gone.node)
	moved := p.of(lb)
	lists, begin, err := p.during(1-lb, moved, p.patience(moved), func() error { return gone.d.stop(unix.SIGTERM, gentle) })
	if err != nil {
		return err
	}
	for _, s := range moved {
		p.told(s, lists[s], begin, haMargin, p.lbs[lb].node, p.lbs[1-lb].node)
	}
	p.undisturbed(lists, moved)
	for _, s := range moved {
		if err := p.holder(s); err != nil {
			return err
		}
	}
	return nil
}

// watched lists the pages that a web server and others serve, each once.
func (w *web) watched() (out []string) {
	for _, s := range w.seats {
		if !s.alone && !slices.Contains(out, s.url) {
			out = append(out, s.url)
		}
	}
	return out
}

// change watches the pages of a web server while f is called, until the masters say of each of its seats what happened, and for
// a second more. It returns the requests, and when f was called and when the last seat was told of.
func (p *pair) change(w *web, f func() error, words func(seat) [][]string) (list []asked, begin, end clock.Mono, err error) {
	since := [2]place{p.lbs[0].here(), p.lbs[1].here()}
	var watches []*watch
	for _, url := range w.watched() {
		watches = append(watches, p.watch(demoClient, url, p.every))
	}
	begin = p.c.clk.Now()
	err = f()
	for _, s := range w.seats {
		if err == nil {
			told := p.saidAny(p.lbs[s.site.at], since[s.site.at], s.found, words(s))
			p.must(told, "%s logs %q", p.lbs[s.site.at].node, words(s)[0][0])
		}
	}
	end = p.c.clk.Now()
	err = errors.Join(err, pause(p.ctx, p.c.clk, time.Second))
	for _, x := range watches {
		list = append(list, x.end()...)
	}
	return list, begin, end, err
}

// saidAny waits until a director has logged a line with all words of one of several lists.
func (p *pair) saidAny(lb *scene, since place, within time.Duration, lists [][]string) error {
	err := poll(p.ctx, p.c.clk, within, func() (bool, error) {
		return slices.ContainsFunc(lists, func(words []string) bool { return lineWith(lb.logged(since), words...) != "" }), nil
	})
	if err != nil {
		return fmt.Errorf("%s does not log %q within %v: %w", lb.node, strings.Join(lists[0], " … "), within, err)
	}
	return nil
}

// gone are the lines of which dirsw logs one when a web server is missed.
func (s seat) gone() [][]string {
	return [][]string{{"Removing service " + s.real + " from VS " + s.service}, {"Disabling service " + s.real + " of VS " + s.service}}
}

// back are the lines of which dirsw logs one when it is there again.
func (s seat) back() [][]string {
	return [][]string{{"Adding service " + s.real + " to VS " + s.service}, {"Enabling service " + s.real + " of VS " + s.service}}
}

// serverLost stops a web server.
func (p *pair) serverLost(w *web) error {
	p.begin("A web server stops: it is taken out, and no request fails from then on.")
	p.did("a request every %v; the web server of %s stopped", p.every, w.node)
	list, begin, found, err := p.change(w, func() error { w.stop(); return nil }, seat.gone)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		p.saw("out after %.1f s; nobody else of whom it is known serves its pages", found.Sub(begin).Seconds())
		return nil
	}
	after := failures(list, found, clock.Mono(1<<62))
	p.saw("%d requests, %d not answered in the %.1f s until it was out, %d after", len(list), len(failures(list, begin, found)),
		found.Sub(begin).Seconds(), len(after))
	if len(after) > 0 {
		p.saw("%s", reasons(after, found))
	}
	p.check(len(after) == 0, "no request fails after it was taken out")
	return nil
}

// serverBack starts it again.
func (p *pair) serverBack(w *web) error {
	p.begin("It comes back: it is put in, and no request fails.")
	p.did("a request every %v; the web server of %s started", p.every, w.node)
	list, begin, found, err := p.change(w, w.start, seat.back)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		p.saw("put in after %.1f s", found.Sub(begin).Seconds())
		return nil
	}
	p.saw("put in after %.1f s; %d requests, answered by %s", found.Sub(begin).Seconds(), len(list), strings.Join(serversOf(list), " and "))
	if failed := failures(list, 0, clock.Mono(1<<62)); !p.check(len(failed) == 0, "every request was answered") {
		p.saw("%s", reasons(failed, begin))
	}
	if w.turns {
		p.check(slices.Contains(serversOf(list), w.page), "%s answers again", w.page)
	}
	return nil
}

// sorry stops all web servers of a service that has a server for that, and starts them again.
func (p *pair) sorry(a apology) error {
	p.begin("No web server is left: another says sorry.")
	var stopped []string
	lb := p.lbs[a.site.at]
	stop := lb.here()
	for _, w := range a.webs {
		w.stop()
		stopped = append(stopped, w.node)
	}
	p.did("the web servers of %s stopped", strings.Join(stopped, ", "))
	to := [][]string{{"Adding sorry server", "to VS " + a.service}, {"Enabling sorry server", "to VS " + a.service}}
	if err := p.saidAny(lb, stop, a.found, to); err != nil {
		return err
	}
	p.saw("%s", lineWith(lb.logged(stop), "Lost quorum", "VS "+a.service))
	if err := p.answered(a.url, 4, func(page string) bool { return page == a.page }, "by the sorry server"); err != nil {
		return err
	}
	p.did("they are started")
	since := lb.here()
	for _, w := range a.webs {
		if err := w.start(); err != nil {
			return err
		}
	}
	from := [][]string{{"Removing sorry server", "from VS " + a.service}, {"Disabling sorry server", "from VS " + a.service}}
	if err := p.saidAny(lb, since, a.found, from); err != nil {
		return err
	}
	for _, w := range a.webs {
		for _, s := range w.seats { // other services may not have had the time to miss it
			if s.service == a.service && slices.ContainsFunc(s.gone(), func(words []string) bool { return lineWith(lb.logged(stop), words...) != "" }) {
				if err := p.saidAny(lb, since, s.found, s.back()); err != nil {
					return err
				}
			}
		}
	}
	return p.answered(a.url, 4, func(page string) bool { return page != a.page }, "by the web servers again")
}

// answered asks for a page n times and checks who answers.
func (p *pair) answered(url string, n int, ok func(page string) bool, by string) error {
	client := p.c.usersClient(demoClient)
	var pages []string
	var failed error
	for range n {
		page, err := Fetch(p.ctx, client, url)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		pages = append(pages, page)
	}
	p.saw("%d requests for %s: %s", n, url, strings.Join(pages, " "))
	p.must(failed, "every request is answered")
	p.check(len(pages) > 0 && !slices.ContainsFunc(pages, func(s string) bool { return !ok(s) }), "%s", by)
	return p.ctx.Err()
}

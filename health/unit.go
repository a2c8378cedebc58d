package health

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"dirsw/clock"
)

// unit is a Target with the state of its checks. The Prober's lock guards it.
type unit struct {
	target    Target
	items     []*item
	suspended bool
	up        bool
	weight    int
}

// item is one check with its state. The Prober's lock guards it.
type item struct {
	unit    *unit // nil: gone, its answer is dropped
	check   Check
	probe   *Probe
	place   int // in the queue, counted from 1; 0: not in it
	running bool
	asking  int // the step that is asked

	delta   int // what the check adds to the configured weight
	grade   Grade
	damper  damper
	asked   uint64
	failed  uint64
	last    string
	at      clock.Mono
	took    time.Duration
	differs clock.Mono // since when an advisory check disagrees; 0: it does not
	alarmed bool
	silent  bool // the last answer was ErrSilent
}

// isUp reports whether all checks that count hold.
func (u *unit) isUp() bool {
	for _, it := range u.items {
		if !it.check.Advisory && !it.probe.Up() {
			return false
		}
	}
	return true
}

// weigh is the configured weight with what the checks add to it, as keepalived adds them up.
func (u *unit) weigh() int {
	w := int64(u.target.Weight)
	for _, it := range u.items {
		if !it.check.Advisory {
			w += int64(it.delta)
		}
	}
	return clampWeight(w)
}

// takeIn gives an answer to its check's Probe, and queues what follows from it. The lock is held.
func (p *Prober) takeIn(a answer) {
	it := a.it
	it.running = false
	if it.unit == nil {
		return
	}
	it.at, it.took = a.end, a.end.Sub(a.start)
	switch {
	case errors.Is(a.err, ErrLocal):
		it.last = a.err.Error()
		p.local.add(a.err)
		it.probe.Skip(a.end)
	case errors.Is(a.err, ErrSilent):
		it.last = a.err.Error()
		p.silence(it, true)
		it.probe.Skip(a.end)
	default:
		p.silence(it, false)
		p.judge(a)
	}
	it.asking = it.probe.Step()
	if !it.unit.suspended {
		p.queue.add(it)
	}
}

// silence logs that the means of a check went, or is back: what it said before holds meanwhile.
func (p *Prober) silence(it *item, silent bool) {
	if it.silent == silent {
		return
	}
	it.silent = silent
	n := it.unit.target.Names
	if silent {
		p.line(lineWarn, fmt.Sprintf("%s on service %s for VS %s has no answer, what it last said holds: %s", it.check.Kind, n.Server, n.Service, it.last))
		return
	}
	p.line(lineInfo, fmt.Sprintf("%s on service %s for VS %s has an answer again", it.check.Kind, n.Server, n.Service))
}

// judge takes in an answer that says something about the server.
func (p *Prober) judge(a answer) {
	it := a.it
	n, w, try := it.unit.target.Names, it.check.wording(), it.probe.Try()
	if r, ok := it.check.Checker.(Remarker); ok {
		p.line(lineInfo, r.Remark(n))
	}
	wasUp, first := it.probe.Up(), !it.probe.Ran()
	if a.err == nil {
		it.graded(a.end, a.grade)
		p.weighed(it, a.end)
	}
	o := it.probe.Result(a.start, a.end, a.err)
	it.last = ""
	if a.err != nil {
		it.last = a.err.Error()
		it.failed++
		if it.check.LogAll && (wasUp || first && it.check.Kind.counting() != CountPlain) {
			p.line(lineInfo, failedLine(w, n, a.err, try, o))
		}
	} else if s, ok := it.check.Checker.(Sequence); ok && !wasUp {
		p.line(lineInfo, s.StepUp(n, it.asking))
	}
	switch o {
	case Up:
		p.line(lineInfo, w.Up(n))
	case Down:
		p.line(lineInfo, w.Down(n, a.err, try))
		it.graded(a.end, Grade{AtOnce: true}) // a check that fails says nothing of the weight
	}
	p.changed(it, wasUp, first && o != StepUp && o != Forgiven, a.end, a.err)
}

// failedLine is the line for a failure, unless the one that follows says the same.
func failedLine(w Wording, n Names, err error, try Try, o Outcome) string {
	text := w.Failed(n, err, try)
	if o == Down && strings.HasPrefix(w.Down(n, err, try), text) {
		return ""
	}
	return text
}

// graded takes in what the check says of the weight.
func (it *item) graded(now clock.Mono, g Grade) {
	it.grade = g
	configured := it.unit.target.Weight
	want := g.Of(configured) - configured
	if g.AtOnce {
		it.delta = want
		return
	}
	it.delta = it.damper.step(now, it.check.Damp, it.delta, want)
}

// weighed reports a new weight, before what the check logs, as keepalived does.
func (p *Prober) weighed(it *item, now clock.Mono) {
	u := it.unit
	w := u.weigh()
	if w == u.weight {
		return
	}
	u.weight = w
	p.out = append(p.out, notice{event: &Event{
		Key: u.target.Key, Names: u.target.Names, Up: u.up, Weight: w, Weighed: true, Kind: it.check.Kind, At: now,
	}})
}

// changed reports what an answer changed about the server. err is what the check said, wasUp how it stood before, first that
// this is its first outcome.
func (p *Prober) changed(it *item, wasUp, first bool, now clock.Mono, err error) {
	u := it.unit
	e := Event{Key: u.target.Key, Names: u.target.Names, Up: u.isUp(), Weight: u.weigh(), Kind: it.check.Kind, At: now}
	if err != nil {
		e.Why = err.Error()
	}
	if up := it.probe.Up(); !it.check.Advisory && up != wasUp {
		e.CheckChanged, e.CheckUp, e.Subject = true, up, it.check.subject(up, err)
	} else if !it.check.Advisory && first && !up {
		e.Unproven = true
	}
	e.Changed, e.Weighed = e.Up != u.up, e.Weight != u.weight
	u.up, u.weight = e.Up, e.Weight
	if e.Changed || e.Weighed || e.Unproven || e.CheckChanged {
		p.out = append(p.out, notice{event: &e})
	}
	p.compare(u, now)
}

// wording is the Checker's, or a plain one.
func (c *Check) wording() Wording {
	if w, ok := c.Checker.(Wording); ok {
		return w
	}
	return plainWording{c.Kind}
}

// plainWording is for checks that keepalived has not.
type plainWording struct{ kind Kind }

var _ Wording = plainWording{}

func (w plainWording) Up(n Names) string {
	return fmt.Sprintf("%s on service %s success.", w.kind, n.Server)
}

func (w plainWording) Down(n Names, err error, try Try) string {
	return fmt.Sprintf("%s on service %s failed%s: %v.", w.kind, n.Server, try.Retries(), err)
}

func (w plainWording) Failed(n Names, err error, _ Try) string {
	return fmt.Sprintf("%s on service %s failed: %v.", w.kind, n.Server, err)
}

// subject is what keepalived's mail about a change of the check says.
func (c *Check) subject(up bool, err error) string {
	word := "failed"
	if up {
		word = "succeed"
	}
	switch c.Kind {
	case KindTCP:
		return "=> TCP CHECK " + word + " on service <="
	case KindUDP:
		return "=> UDP CHECK " + word + " on service <="
	case KindPing:
		return "=> ICMP CHECK " + word + " on service <="
	case KindDNS:
		return "=> DNS_CHECK: " + word + " on service <="
	case KindHTTP, KindSSL:
		return "=> CHECK " + word + " on service" + pick(up, "", " : HTTP request failed") + " <="
	case KindSMTP:
		if up {
			return "=> CHECK succeed on service <="
		}
		return "=> CHECK failed on service : " + strings.TrimPrefix(c.wording().Failed(Names{}, err, Try{}), "SMTP_CHECK ") + " <="
	case KindMisc:
		if !up && errors.Is(err, ErrTimeout) {
			return "=> MISC CHECK timed out on service <="
		}
		return "=> MISC CHECK " + pick(up, "succeeded", word) + " on service <="
	case KindBFD:
		return "=> BFD CHECK " + c.Feed + " " + pick(up, "succeeded", word) + " on service <="
	default:
		return fmt.Sprintf("=> %s %s on service <=", c.Kind, word)
	}
}

func pick[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}

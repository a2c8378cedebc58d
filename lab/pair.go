package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// pair is two directors of a scenario, what users ask of them, and the web servers behind.
type pair struct {
	*scene
	lbs    [2]*scene // as seen from each director; the first is the scene of the scenario itself
	launch func(s *scene) error
	sites  []*site
	webs   []*web
	runs   map[string]string // what directors run that do not run dirsw
	every  time.Duration     // between two requests while web servers come and go
}

// site is a page that users ask for, and the virtual router whose address it is at.
type site struct {
	instance string // the name of the vrrp_instance in the first configuration
	theirs   string // and in the second
	url      string
	vip      netip.Addr
	link     string // of the client, by which it reaches the address

	limit     [2]time.Duration // how soon each director takes over from one that has died
	preferred int              // who has the higher priority
	reclaims  bool             // whether that one takes the address back when it returns
	delay     time.Duration    // how long it waits before it does (preempt_delay)
	lives     time.Duration    // how long the kernel keeps the address of one that has died

	pages []string // who may answer
	own   bool     // the directors do themselves: each with its name

	at int // who is master
}

// name is what a director calls the virtual router.
func (s *site) name(lb int) string {
	if lb == 1 {
		return s.theirs
	}
	return s.instance
}

// web is a web server behind the directors.
type web struct {
	node, page string
	turns      bool // it is to be seen among the answers of its first seat's site when it is there
	stop       func()
	start      func() error
	seats      []seat
}

// seat is a place of a web server in a service: the names that the log of dirsw has for both.
type seat struct {
	real, service string
	url           string        // of the service
	site          *site         // of the same virtual router
	found         time.Duration // within what time dirsw finds out that it is gone, or back
	alone         bool          // without it nobody answers
}

// apology is a service that has a server for the time when no other is left.
type apology struct {
	service, url, page string
	site               *site // of the same virtual router
	webs               []*web
	found              time.Duration // as in seat
}

// place is a place in the log of a director.
type place struct {
	d *director
	n int
}

// here is the end of what a director has logged so far.
func (s *scene) here() place {
	if s.d == nil {
		return place{}
	}
	return place{s.d, s.d.log.size()}
}

// logged is what a director has logged since; all of it, if it was started anew.
func (s *scene) logged(since place) string {
	if s.d == nil {
		return ""
	}
	if s.d != since.d {
		return s.d.log.text()
	}
	return s.d.log.since(since.n)
}

// said waits until a director has logged a line with all words.
func (s *scene) said(since place, within time.Duration, words ...string) error {
	err := poll(s.ctx, s.c.clk, within, func() (bool, error) {
		if lineWith(s.logged(since), words...) != "" {
			return true, nil
		}
		select {
		case <-s.d.ended:
			return false, fmt.Errorf("dirsw ended: %w; it said:\n%s", s.d.err, s.d.log.tail(10))
		default:
			return false, nil
		}
	})
	if err != nil {
		return fmt.Errorf("%s does not log %q: %w", s.node, strings.Join(words, " … "), err)
	}
	return nil
}

// masterLine are the words by which a director says that it has become master of a site.
func masterLine(name string) []string { return []string{"(" + name + ") Entering MASTER STATE"} }

// of lists the sites whose master is a director.
func (p *pair) of(lb int) (out []*site) {
	for _, s := range p.sites {
		if s.at == lb {
			out = append(out, s)
		}
	}
	return out
}

// has reports whether a director has an address.
func (s *scene) has(node string, addr netip.Addr) bool {
	h, err := s.c.Netlink(node)
	if err != nil {
		return false
	}
	defer h.Close()
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	all, err := h.AddrList(nil, family)
	return err == nil && slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.IP.Equal(net.IP(addr.AsSlice())) })
}

// settled is how long the addresses of a pair may take to be as its states say.
const settled = 2 * time.Second

// holder checks that a director, and no other, has the address of a site and answers for it.
func (p *pair) holder(s *site) error {
	node, other := p.lbs[s.at].node, p.lbs[1-s.at].node
	begin := p.c.clk.Now()
	err := poll(p.ctx, p.c.clk, settled+p.slack, func() (bool, error) { return p.has(node, s.vip) && !p.has(other, s.vip), nil })
	if late := p.c.clk.Now().Sub(begin); late > 100*time.Millisecond {
		p.saw("after %.1f s more", late.Seconds())
	}
	p.must(err, "%s has %v, and %s has not", node, s.vip, other)
	if s.vip.Is6() {
		return nil
	}
	from, err := p.sourceOn(demoClient, s.link, s.vip)
	if err != nil {
		return err
	}
	macs, err := p.c.whoHas(p.ctx, demoClient, s.link, from, s.vip, 300*time.Millisecond)
	if err != nil {
		return err
	}
	p.check(len(macs) == 1, "one machine answers ARP for %v: %v", s.vip, macs)
	return nil
}

// sourceOn returns the address of a node's interface to ask from for another one.
func (s *scene) sourceOn(node, link string, target netip.Addr) (netip.Addr, error) {
	for _, w := range s.c.nodes[node].spec.interfaces() {
		for _, a := range w.Addrs {
			if w.Interface == link && a.Contains(target) {
				return a.Addr(), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no address on %s from which it reaches %v", node, link, target)
}

// pace is how often each page is asked for while a director comes or goes: a hundred times a second all of them together, so
// that it is the directors that are measured and not the machine.
func (p *pair) pace() time.Duration { return haEvery * time.Duration(len(p.sites)) }

// during runs f while somebody asks for each page, and waits until a director is master of the
// sites. It returns the requests for each of the pair's sites and when f was called.
func (p *pair) during(there int, sites []*site, within time.Duration, f func() error) (map[*site][]asked, clock.Mono, error) {
	lb := p.lbs[there]
	since := lb.here()
	watches := map[*site]*watch{}
	for _, s := range p.sites {
		watches[s] = p.watch(demoClient, s.url, p.pace())
	}
	err := pause(p.ctx, p.c.clk, 300*time.Millisecond)
	begin := p.c.clk.Now()
	err = errors.Join(err, f())
	for _, s := range sites {
		if err == nil {
			err = lb.said(since, within, masterLine(s.name(there))...)
			s.at = there
		}
	}
	err = errors.Join(err, pause(p.ctx, p.c.clk, 500*time.Millisecond))
	lists := map[*site][]asked{}
	for _, w := range watches {
		w.stop()
	}
	for s, w := range watches {
		lists[s] = w.end()
	}
	return lists, begin, err
}

// judged returns the requests as they are to be judged: answers of others than the web servers, or than one of these
// directors where they answer themselves, do not count.
func (s *site) judged(list []asked, directors []string) (out []asked) {
	for _, a := range list {
		if a.err == nil && (s.own && !slices.Contains(directors, strings.ToLower(a.server)) || !s.own && !slices.Contains(s.pages, a.server)) {
			a.err = fmt.Errorf("%s answered", a.server)
		}
		out = append(out, a)
	}
	return out
}

// told says what the requests for a site saw while its master changed, and checks how long nobody was answered: by the web
// servers, or by one of these directors where they answer themselves.
func (p *pair) told(s *site, list []asked, begin clock.Mono, most time.Duration, directors ...string) {
	list = s.judged(list, directors)
	gap, err := outage(list, begin)
	if !p.must(err, "%s is answered again", s.url) {
		return
	}
	p.saw("%s: %d requests, %d not answered; the first answer came %.2f s after", s.url, len(list),
		len(failures(list, begin, begin.Add(time.Hour))), gap.Seconds())
	p.within(gap, most, "that is within %.2f s", most.Seconds())
}

// undisturbed checks the requests for the sites whose master did not change.
func (p *pair) undisturbed(lists map[*site][]asked, changed []*site) {
	for _, s := range p.sites {
		if !slices.Contains(changed, s) {
			failed := failures(lists[s], 0, clock.Mono(1<<62))
			if len(failed) > 0 {
				p.saw("%s", reasons(failed, lists[s][0].at))
			}
			p.check(len(failed) == 0, "all %d requests for %s, whose master is the other, were answered", len(lists[s]), s.url)
		}
	}
}

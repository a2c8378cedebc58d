package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dirsw/config"
)

// plan is the cluster that follows from the configurations of two directors, and what to do in it.
type plan struct {
	members  [2]member
	nets     []*lan
	taken    map[netip.Addr]bool // addresses that have an owner
	nodes    []*host             // the web servers
	services []*served
	targets  []*site
	left     []string // what is not played, and why
	faults   []string // of the pair
	notes    []string
	unfit    bool                // the files do not make a pair
	gateways map[netip.Addr]bool // that routes of the files go by; the client has them
	stopped  int                 // how many web servers are stopped one after the other; negative: all
	own      bool                // the directors serve a page themselves, at addresses without a service
}

// lan is a network of the cluster.
type lan struct {
	name     string
	links    [2][]string    // the interfaces of each director in it
	prefixes []netip.Prefix // what is on it
	addrs    [2]map[string][]netip.Prefix
	client   []netip.Prefix
	far      bool // the directors are not in it: the client is the router to it
}

// host is a machine with web servers.
type host struct {
	name, page string
	addr       netip.Addr
	lan        *lan
	bits       int
	vips       []netip.Addr
	ports      map[uint16]*port // TCP
	gateway    netip.Addr
	local      bool // on the directors themselves
	tunnels    []config.Tunnel
	// masqueraded says that it is reached by NAT: its gateway is a director.
	masqueraded bool
}

// port is a TCP port on which pages are served.
type port struct {
	tls   bool
	plain bool           // a check asks without TLS
	codes map[string]int // by path: what to answer, if not 200
}

// derive plans the cluster of a pair.
func derive(pair [2]member) (*plan, error) {
	p := &plan{members: pair, taken: map[netip.Addr]bool{}, gateways: map[netip.Addr]bool{}}
	p.compared()
	if len(pair[0].model.Instances) == 0 || len(pair[1].model.Instances) == 0 {
		return nil, errors.New("a file has no vrrp_instance: nobody would take over")
	}
	p.networks()
	p.prefixes()
	p.reserve()
	p.servers()
	if err := p.addresses(); err != nil {
		return nil, err
	}
	p.gates()
	p.landmarks()
	return p, nil
}

// member returns the director of a node.
func (p *plan) member(node string) *member {
	if node == p.members[1].node {
		return &p.members[1]
	}
	return &p.members[0]
}

// leave notes that something is not played.
func (p *plan) leave(pos config.Pos, format string, args ...any) {
	line := fmt.Sprintf("%v: %s", pos, fmt.Sprintf(format, args...))
	if !slices.Contains(p.left, line) {
		p.left = append(p.left, line)
	}
}

// blame notes a fault of the pair.
func (p *plan) blame(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !slices.Contains(p.faults, line) {
		p.faults = append(p.faults, line)
	}
}

// partnerOf finds the instance of the second director that stands for the same virtual router.
func (p *plan) partnerOf(in *config.Instance) *config.Instance {
	list := p.members[1].model.Instances
	for i := range list {
		if list[i].RouterID == in.RouterID && list[i].Is6() == in.Is6() && list[i].Name == in.Name {
			return &list[i]
		}
	}
	for i := range list {
		if list[i].RouterID == in.RouterID && list[i].Is6() == in.Is6() {
			return &list[i]
		}
	}
	for i := range list {
		if list[i].Name == in.Name { // the number is a mistake, of which compared tells
			return &list[i]
		}
	}
	return nil
}

// unnamed is the interface of an instance that names none.
const unnamed = "eth0"

func linkOf(in *config.Instance) string {
	if in.Interface == "" {
		return unnamed
	}
	return in.Interface
}

// networks finds out which interfaces of the directors are in the same network: those of the same virtual router, and else
// those of the same name.
func (p *plan) networks() {
	a := p.members[0].model
	for i := range a.Instances {
		in := &a.Instances[i]
		n := p.join(0, linkOf(in))
		if other := p.partnerOf(in); other != nil {
			p.joinTo(n, 1, linkOf(other))
		}
	}
	for k := range p.members {
		for _, link := range linksOf(p.members[k].model) {
			if p.lanOf(k, link) != nil {
				continue
			}
			if n := p.lanOf(1-k, link); n != nil && len(n.links[k]) == 0 {
				p.joinTo(n, k, link)
				continue
			}
			p.join(k, link)
		}
	}
}

// lanOf returns the network of a director's interface; nil, if it is in none yet.
func (p *plan) lanOf(k int, link string) *lan {
	i := slices.IndexFunc(p.nets, func(n *lan) bool { return slices.Contains(n.links[k], link) })
	if i < 0 {
		return nil
	}
	return p.nets[i]
}

// join returns the network of an interface, a new one if need be.
func (p *plan) join(k int, link string) *lan {
	if n := p.lanOf(k, link); n != nil {
		return n
	}
	n := p.addLan()
	n.links[k] = append(n.links[k], link)
	return n
}

func (p *plan) addLan() *lan {
	n := &lan{addrs: [2]map[string][]netip.Prefix{{}, {}}}
	if len(p.nets) > 0 {
		n.name = fmt.Sprintf("net%d", len(p.nets)+1)
	}
	p.nets = append(p.nets, n)
	return n
}

// joinTo puts an interface into a network; if it is in another one, that is the same from then on.
func (p *plan) joinTo(n *lan, k int, link string) {
	old := p.lanOf(k, link)
	switch {
	case old == n:
		return
	case old == nil:
		n.links[k] = append(n.links[k], link)
		return
	}
	for i := range old.links {
		n.links[i] = append(n.links[i], old.links[i]...)
	}
	p.nets = slices.DeleteFunc(p.nets, func(x *lan) bool { return x == old })
}

// linksOf lists the interfaces that a configuration names, each once.
func linksOf(m *config.Model) (out []string) {
	made := map[string]bool{"lo": true, "": true}
	for i := range m.Instances {
		made[m.Instances[i].VMAC.Name] = true
	}
	add := func(links ...string) {
		for _, l := range links {
			if !made[l] && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	for i := range m.Instances {
		in := &m.Instances[i]
		add(linkOf(in))
		for _, a := range in.Addresses {
			add(a.Dev)
		}
		for _, h := range in.Heartbeats {
			add(h.Interface)
		}
		for _, t := range in.Tracks {
			if t.Kind == config.TrackInterface {
				add(t.Name)
			}
		}
	}
	for _, g := range m.VRRP.Groups {
		for _, t := range g.Tracks {
			if t.Kind == config.TrackInterface {
				add(t.Name)
			}
		}
	}
	for _, a := range m.VRRP.Static.Addresses {
		add(a.Dev)
	}
	add(m.Dataplane.Interfaces...)
	return out
}

// landmarks notes what users ask for: the first page of each virtual router.
func (p *plan) landmarks() {
	a := p.members[0].model
	for i := range a.Instances {
		in := &a.Instances[i]
		other := p.partnerOf(in)
		if other == nil {
			continue // compared has told
		}
		s := p.site(in, other)
		found := slices.IndexFunc(p.services, func(v *served) bool { return v.instance == in.Name })
		switch {
		case found >= 0:
			v := p.services[found]
			s.vip, s.url = v.vip, v.url
			for _, b := range v.backs {
				s.pages = append(s.pages, b.host.page)
			}
		case len(in.Addresses) > 0:
			p.own, s.own = true, true
			s.vip = in.Addresses[0].Prefix.Addr()
			if s.vip.IsLinkLocalUnicast() && len(in.Addresses) > 1 {
				s.vip = in.Addresses[1].Prefix.Addr()
			}
			s.url = pageURL(s.vip, ownPagePort, false)
			p.notes = append(p.notes, fmt.Sprintf("%v: no service is played at the addresses of %s: the directors themselves serve a page there", in.Pos, in.Name))
		default:
			p.leave(in.Pos, "%s has no address", in.Name)
			continue
		}
		s.link = p.lanOf(0, linkOf(in)).clientLink(p)
		for _, v := range p.services {
			if v.instance == in.Name {
				v.site = s
			}
		}
		p.targets = append(p.targets, s)
	}
}

// site is what the configurations of a virtual router promise.
func (p *plan) site(a, b *config.Instance) *site {
	s := &site{instance: a.Name, theirs: b.Name}
	advert := max(a.AdvertInt, b.AdvertInt)
	for i, in := range []*config.Instance{a, b} {
		unit := time.Second
		if in.Version == 3 {
			unit = advert
		}
		s.limit[i] = time.Duration(max(in.DownAdverts, 1))*advert + unit*time.Duration(256-int(in.Priority))/256
	}
	s.lives = max(3*advert+time.Second, 3*time.Second) + 2*time.Second
	if b.Priority > a.Priority {
		s.preferred = 1
	}
	chosen := [2]*config.Instance{a, b}[s.preferred]
	s.reclaims = a.Priority != b.Priority && !chosen.NoPreempt
	s.delay = chosen.PreemptDelay
	for i, in := range []*config.Instance{a, b} {
		for _, t := range in.Tracks {
			if t.Kind != config.TrackInterface {
				p.notes = append(p.notes, fmt.Sprintf("%v: %s of %s tracks %v %s: what that says here decides, too", t.Pos, in.Name, p.members[i].node, t.Kind, t.Name))
			}
		}
	}
	return s
}

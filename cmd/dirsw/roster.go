package main

import (
	"errors"
	"slices"
	"sync"

	"dirsw/config"
	"dirsw/director"
	"dirsw/host"
	"dirsw/xsk"
)

// roster is the interfaces that the workers use. The place of each is its number as a port for as long as dirsw runs, also
// while it is not there. Its methods may be called from any goroutine.
type roster struct {
	host  *host.Host
	local *localDelivery
	plane *config.Dataplane // as at the start

	mu      sync.Mutex
	places  []place
	workers int // that the interfaces are opened for; 0: not opened yet
}

// place is one of them.
type place struct {
	name    string
	receive bool
	tap     bool // the way to the network stack of this host
	link    int  // index of the interface as it was opened; 0: it was not there
	queues  int  // that it had then
	opened  bool // it was there once
	refused int  // index of an interface that cannot be opened
}

// enlist adds the interfaces that a model needs and that have no place yet. It reports whether there is something to open: also
// one that was to send only and is to receive, or that was refused. An interface that dirsw does not run on is an error, and
// so is one that does not exist, unless they may come later (dynamic_interfaces).
func (r *roster) enlist(m *config.Model) (news bool, err error) {
	links, err := r.host.Links()
	if err != nil {
		return false, err
	}
	names, receive, err := director.Interfaces(m, r.host, links)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	places := slices.Clone(r.places)
	for _, n := range names {
		at := slices.IndexFunc(places, func(p place) bool { return p.name == n })
		if at < 0 {
			if err := r.suits(n); err != nil && !(m.Globals.Interfaces.Dynamic && errors.Is(err, host.ErrNoLink)) {
				return false, err
			}
			at, places = len(places), append(places, place{name: n})
			news = true
		}
		p := &places[at]
		news = news || receive[n] && !p.receive || p.refused != 0
		p.receive, p.refused = p.receive || receive[n], 0
	}
	r.places = places
	return news, nil
}

// suits says why dirsw does not run on an interface.
func (r *roster) suits(name string) error {
	nic, err := r.host.NIC(name)
	if err != nil {
		return err
	}
	return unsuited(&nic, r.plane.Mode == config.ModeGeneric)
}

// addTap gives the way to the network stack of this host a place, if it can be had.
func (r *roster) addTap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.local.port(r.shortest()); ok {
		r.places = append(r.places, place{name: p.Name, tap: true})
	}
}

// shortest returns the least MTU of the interfaces: what local programs answer must fit into any. It needs r.mu.
func (r *roster) shortest() int {
	mtu := maxTapMTU
	for i := range r.places {
		if l, err := r.host.Link(r.places[i].name); err == nil && !r.places[i].tap {
			mtu = min(mtu, l.MTU)
		}
	}
	return mtu
}

// ports describes the interfaces as they are now, and how many workers they have queues for. One that is not there is absent,
// and so are newcomers unless they are asked for: those that are there and not open. Any says whether there are some.
func (r *roster) ports(newcomers bool) (out []xsk.PortOptions, queues int, any bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var there []xsk.PortOptions
	var tx []int
	for i := range r.places {
		p := &r.places[i]
		port := xsk.PortOptions{Name: p.name, Absent: true}
		if p.tap {
			if t, ok := r.local.port(r.shortest()); ok {
				port, p.name = t, t.Name
			}
			out = append(out, port)
			continue
		}
		l, err := r.host.Link(p.name)
		switch {
		case errors.Is(err, host.ErrNoLink):
		case err != nil:
			return nil, 0, false, err
		case l.Index == p.refused:
		case l.Index != p.link && !newcomers:
			any = true
		default:
			any = any || l.Index != p.link
			port = xsk.PortOptions{Name: p.name, Index: l.Index, MAC: l.MAC, MTU: l.MTU, Queues: l.Queues, Receive: p.receive,
				Unfinished: l.Unfinished}
			there, tx = append(there, port), append(tx, l.TxQueues)
		}
		out = append(out, port)
	}
	return out, fewestQueues(there, tx, r.plane.Queues), any, nil
}

// opened notes what was opened for that many workers, and returns the interfaces that are back.
func (r *roster) opened(ports []xsk.PortOptions, workers int) (back []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workers = workers
	for i := range ports {
		p := &r.places[i]
		if p.opened && ports[i].Index != 0 && ports[i].Index != p.link {
			back = append(back, p.name)
		}
		p.link, p.queues = ports[i].Index, ports[i].Queues
		p.opened = p.opened || p.link != 0
	}
	return back
}

// refuse notes the newcomers among ports, which cannot be opened as they are, and returns their names.
func (r *roster) refuse(ports []xsk.PortOptions) (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range ports {
		if p := &r.places[i]; !p.tap && ports[i].Index != 0 && ports[i].Index != p.link {
			p.refused = ports[i].Index
			names = append(names, p.name)
		}
	}
	return names
}

// awaits reports whether an interface that was not there is there now, or one has another number of queues, all of which are to
// be served: not if these are too few for the workers, which could not be opened again.
func (r *roster) awaits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.places {
		p := &r.places[i]
		if p.tap {
			continue
		}
		l, err := r.host.Link(p.name)
		switch {
		case err != nil:
		case p.link == 0 && l.Index != p.refused:
			return true
		case p.link == l.Index && p.receive && r.plane.Queues == 0 && l.Queues != p.queues && min(l.Queues, l.TxQueues) >= r.workers:
			return true
		}
	}
	return false
}

// forDirector lists the ports for it, by their numbers.
func (r *roster) forDirector() []director.Port {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []director.Port
	for i := range r.places {
		p := &r.places[i]
		port := director.Port{Name: p.name, SendOnly: true}
		if t := r.local.tap; p.tap && t != nil {
			port = director.Port{Name: t.Link.Name, Link: t.Link.Index, MAC: t.Link.MAC, Local: true}
		} else if l, err := r.host.Link(p.name); err == nil && l.Index == p.link && !p.tap {
			port = director.Port{Name: p.name, Link: l.Index, MAC: l.MAC, SendOnly: !p.receive}
		}
		out = append(out, port)
	}
	return out
}

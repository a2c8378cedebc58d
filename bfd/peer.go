package bfd

import (
	"fmt"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// peer is a session and what it is reached by.
type peer struct {
	session  *Session
	sender   sender
	open     bool // sender is
	told     bool // that it could not be opened, or that sending failed
	status   Status
	listener listening
}

// adopt makes the sessions those that Set wants.
func (r *Runner) adopt() {
	r.mu.Lock()
	wanted, news := r.wanted, r.news
	r.news = false
	r.mu.Unlock()
	if !news {
		return
	}
	r.fresh = true
	now := r.opt.Clock.Now()
	before := r.peers
	r.peers = make([]*peer, 0, len(wanted))
	for _, c := range wanted {
		c = c.withDefaults()
		i := slices.IndexFunc(before, func(p *peer) bool { return p.session.config.sameSession(&c) })
		if i >= 0 {
			p := before[i]
			before = slices.Delete(before, i, i+1)
			r.peers = append(r.peers, p)
			r.act(p, p.session.Configure(now, c), now)
			continue
		}
		p := &peer{session: NewSession(c, r.discriminator(before), now, r.opt.Random), listener: listening{!c.Neighbor.Is4(), c.Multihop}}
		p.status.Since = now
		r.peers = append(r.peers, p)
	}
	for _, p := range before {
		r.end(p)
	}
	for _, p := range r.peers {
		r.notify(p, p.session.State(), now)
	}
	r.closeUnused()
	r.openMissing()
}

// discriminator returns a number that no session has, those that end included.
func (r *Runner) discriminator(ending []*peer) uint32 {
	for {
		d := uint32(r.opt.Random() * (1 << 32))
		taken := func(p *peer) bool { return p.session.local == d }
		if d != 0 && !slices.ContainsFunc(r.peers, taken) && !slices.ContainsFunc(ending, taken) {
			return d
		}
	}
}

// end tells the neighbour that a session ends.
func (r *Runner) end(p *peer) {
	from := p.session.State()
	packet, tell := p.session.Close()
	if p.open {
		if tell {
			r.send(p, &packet)
		}
		p.sender.close()
	}
	p.open = false
	if from != AdminDown {
		r.changed(p, Action{From: from, To: AdminDown}, r.opt.Clock.Now())
	}
}

// closeUnused closes the listening sockets that no session needs.
func (r *Runner) closeUnused() {
	for l, fd := range r.listeners {
		if !slices.ContainsFunc(r.peers, func(p *peer) bool { return p.listener == l }) {
			unix.Close(fd)
			delete(r.listeners, l)
		}
	}
}

// openMissing opens the sockets that are not open. What fails is told once and tried again.
func (r *Runner) openMissing() {
	r.reopen = never
	later := r.opt.Clock.Now().Add(reopenPause)
	for _, p := range r.peers {
		if _, ok := r.listeners[p.listener]; !ok {
			fd, err := listen(p.listener)
			if err == nil {
				r.listeners[p.listener] = fd
				r.failed[p.listener] = false
			} else {
				r.reopen = later
				if !r.failed[p.listener] {
					r.opt.Log.Error("Unable to open listening socket", zap.Error(err))
				}
				r.failed[p.listener] = true
			}
		}
		if p.open {
			continue
		}
		c := &p.session.config
		s, err := openSender(c, uint32(r.opt.Random()*(1<<32)))
		if err != nil {
			r.reopen = later
			if !p.told {
				r.opt.Log.Error(fmt.Sprintf("(%s) Unable to open output socket", c.Name), zap.Error(err))
			}
			p.told = true
			continue
		}
		p.sender, p.open, p.told = s, true, false
	}
}

package keepalived

import (
	"time"

	"dirsw/config"
)

// staticAddresses reads static_ipaddress.
func (p *parser) staticAddresses(s *statement) {
	link := p.inherit().link
	for _, line := range p.values(s) {
		a, ok := p.virtualAddress(line, "a static address")
		if !ok {
			continue
		}
		if a.Dev == "" {
			a.Dev = link
			p.note(a.Pos, "%s names no dev: it is set on %s, the default_interface", a.Prefix, link)
		}
		p.model.VRRP.Static.Addresses = append(p.model.VRRP.Static.Addresses, a)
	}
}

// linkDelays reads lines of INTERFACE DOWN [UP].
func (p *parser) linkDelays(s *statement) {
	const most = 255 * time.Second
	for _, line := range p.values(s) {
		if !p.link(line.words[0]) {
			continue
		}
		d := config.InterfaceDelay{Pos: line.pos(), Interface: line.name()}
		r := reader{p: p, words: line.words, at: 1, what: "a delay"}
		w, ok := r.value()
		if !ok {
			continue
		}
		if d.Down, ok = p.duration(w, 0, most); !ok {
			continue
		}
		d.Up = d.Down
		if r.more() {
			if d.Up, ok = p.duration(r.next(), 0, most); !ok {
				continue
			}
		}
		if r.more() {
			p.stray(r.next(), "one delay for down and one for up", line.name())
			continue
		}
		p.model.VRRP.Delays = append(p.model.VRRP.Delays, d)
	}
}

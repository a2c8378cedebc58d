package keepalived

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"dirsw/config"
)

// instance reads a vrrp_instance.
func (p *parser) instance(outer *block, s *statement) {
	v := config.Instance{Pos: s.pos(), State: "BACKUP", Priority: 100, AdvertInt: time.Second}
	p.setText(outer, s, &v.Name)
	p.noteIdle(vrrpTuning, s.name(), s.pos())
	b := s.block
	p.each(b, func(s *statement) { p.instanceKeyword(b, s, &v) })
	if v.NoPreempt && v.State == "MASTER" {
		p.note(v.Pos, "nopreempt works with `state BACKUP` only: keepalived ignores it here")
	}
	p.model.Instances = append(p.model.Instances, v)
}

func (p *parser) instanceKeyword(b *block, s *statement, v *config.Instance) {
	switch s.name() {
	case "state":
		p.choice(b, s, func(i int) { v.State = [...]string{"MASTER", "BACKUP"}[i] }, "MASTER", "BACKUP")
	case "interface":
		p.setText(b, s, &v.Interface)
	case "virtual_router_id":
		if n, ok := p.number(b, s, 1, 255); ok {
			v.RouterID = uint8(n)
		}
	case "priority":
		if n, ok := p.number(b, s, 1, 255); ok {
			v.Priority = uint8(n)
		}
	case "advert_int":
		p.setTime(b, s, 10*time.Millisecond, 255*time.Second, &v.AdvertInt)
	case "version":
		p.setInt(b, s, 2, 3, &v.Version)
	case "authentication":
		p.authentication(s.block, v)
	case "nopreempt":
		p.bare(b, s)
		v.NoPreempt = true
	case "preempt":
		p.bare(b, s)
		v.NoPreempt = false
	case "preempt_delay":
		p.setTime(b, s, 0, 1000*time.Second, &v.PreemptDelay)
	case "mcast_src_ip":
		p.setAddr(b, s, &v.McastSrcIP)
	case "unicast_src_ip":
		p.setAddr(b, s, &v.UnicastSrcIP)
	case "unicast_peer":
		for _, line := range p.values(s) {
			if a, ok := p.address(line.words[0]); ok {
				v.UnicastPeers = append(v.UnicastPeers, a)
			}
		}
	case "virtual_ipaddress", "virtual_ipaddress_excluded":
		for _, line := range p.values(s) {
			p.virtualAddress(line, s.name() == "virtual_ipaddress_excluded", v)
		}
	}
}

// authentication reads auth_type and auth_pass. Only the first eight bytes of a password are sent (RFC 2338, 5.3.6.1).
func (p *parser) authentication(b *block, v *config.Instance) {
	p.each(b, func(s *statement) {
		switch s.name() {
		case "auth_type":
			p.choice(b, s, func(i int) { v.AuthType = [...]string{"PASS", "AH"}[i] }, "PASS", "AH")
		case "auth_pass":
			args, ok := p.args(b, s, 1, 1)
			if !ok {
				return
			}
			v.AuthPass = args[0].text
			if args[0].cut {
				p.note(args[0].pos, "the password ends before the ! or #, which begins a comment, in keepalived as well; "+
					"put it in quotation marks if it belongs to the password")
			}
			if len(v.AuthPass) > 8 {
				p.note(args[0].pos, "only the first eight bytes of a password are used")
			}
		}
	})
}

// virtualAddress reads ADDRESS[/LENGTH] [brd A] [dev IF] [scope S] [label L] ….
func (p *parser) virtualAddress(line *statement, excluded bool, v *config.Instance) {
	first := line.words[0]
	a := config.VirtualAddress{Pos: first.pos, Excluded: excluded}
	if strings.Contains(first.text, "/") {
		prefix, err := netip.ParsePrefix(first.text)
		if err != nil {
			p.fail(first.pos, "write ADDRESS or ADDRESS/LENGTH", "malformed address %s", show(first.text))
			return
		}
		a.Prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits())
	} else {
		addr, ok := p.address(first)
		if !ok {
			return
		}
		a.Prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	for i := 1; i < len(line.words); i++ {
		w := line.words[i]
		switch w.text {
		case "dev", "label", "scope", "brd", "broadcast", "peer", "preferred_lft", "use_vmac_mode", "track_group":
			if i++; i == len(line.words) {
				p.fail(w.pos, "write it on the same line", "%q is missing its value", w.text)
				return
			}
			switch w.text {
			case "dev":
				a.Dev = line.words[i].text
			case "label":
				a.Label = line.words[i].text
			case "scope":
				a.Scope = line.words[i].text
			}
		case "use_vmac", "home", "-nodad", "nodad", "mngtmpaddr", "noprefixroute", "autojoin", "no_track":
		default:
			p.strayWord(w, v)
			return
		}
	}
	v.Addresses = append(v.Addresses, a)
}

// strayWord complains about a word that an address cannot be followed by.
func (p *parser) strayWord(w token, v *config.Instance) {
	fix := "write dev, label or scope, or nothing"
	if _, err := netip.ParseAddr(w.text); err == nil {
		fix = "write each address on a line of its own"
	} else if !isASCII(w.text) {
		fix = "write # before a comment"
	}
	p.fail(w.pos, fix, "%s after a virtual address%s", show(w.text), inInstance(v))
}

func inInstance(v *config.Instance) string {
	if v.Name == "" {
		return ""
	}
	return fmt.Sprintf(" of %s", v.Name)
}

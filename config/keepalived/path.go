package keepalived

import (
	"math"
	"net/netip"
	"strings"

	"dirsw/config"
)

// pathKeyword reads the way that adverts take.
func (p *parser) pathKeyword(b *block, s *statement, d *draft) bool {
	switch s.name() {
	case "interface":
		p.setLink(b, s, &d.Interface)
	case "vrf":
		p.setLink(b, s, &d.VRF)
	case "mcast_src_ip":
		p.setAddr(b, s, &d.McastSrcIP)
	case "mcast_dst_ip":
		p.mcastDst(b, s, d)
	case "unicast_src_ip":
		p.setAddr(b, s, &d.UnicastSrcIP)
	case "unicast_peer":
		p.peers(s, &d.UnicastPeers)
	case "unicast_ttl":
		p.setInt(b, s, 0, 255, &d.UnicastTTL)
	case "check_unicast_src":
		p.setFlag(b, s, &d.CheckPeers)
	case "unicast_fault_no_peer":
		p.setFlag(b, s, &d.FaultNoPeer)
	case "track_src_ip":
		p.setFlag(b, s, &d.TrackSrcIP)
	case "old_unicast_checksum":
		p.oldChecksum(b, s, d)
	case "v3_checksum_as_v2":
		p.setBool(b, s, &d.ChecksumAsV2)
	case "kernel_rx_buf_size":
		p.setInt(b, s, 0, math.MaxInt32, &d.ReceiveBuffer)
	default:
		return false
	}
	return true
}

// maxLink is the longest name of an interface, in bytes.
const maxLink = 15

// setLink stores the name of an interface.
func (p *parser) setLink(b *block, s *statement, to *string) {
	if args, ok := p.args(b, s, 1, 1); ok && p.link(args[0]) {
		*to = args[0].text
	}
}

// link reports whether a word can be the name of an interface.
func (p *parser) link(w token) bool {
	if w.text == "" || len(w.text) > maxLink || strings.ContainsAny(w.text, "/ \t") || w.text == "." || w.text == ".." {
		p.fail(w.pos, "write a name of 1 to 15 characters", "%s cannot be the name of an interface", show(w.text))
		return false
	}
	return true
}

func (p *parser) mcastDst(b *block, s *statement, d *draft) {
	var a netip.Addr
	p.setAddr(b, s, &a)
	switch {
	case !a.IsValid():
	case !a.IsMulticast():
		p.fail(s.args()[0].pos, "write a multicast address", "mcast_dst_ip %s is no multicast address", a)
	case a.Is6() && !a.IsLinkLocalMulticast():
		p.fail(s.args()[0].pos, "write one that begins with ff02:", "mcast_dst_ip %s leaves the link", a)
	default:
		d.McastGroup = a
	}
}

// peers reads lines of ADDRESS [min_ttl N] [max_ttl N].
func (p *parser) peers(s *statement, to *[]config.Peer) {
	for _, line := range p.values(s) {
		a, ok := p.address(line.words[0])
		if !ok {
			continue
		}
		peer := config.Peer{Pos: line.pos(), Addr: a, MaxTTL: 255}
		for i := 1; i < len(line.words); i++ {
			w := line.words[i]
			ttl := map[string]*int{"min_ttl": &peer.MinTTL, "max_ttl": &peer.MaxTTL}[w.text]
			if ttl == nil {
				p.stray(w, "min_ttl or max_ttl", "a unicast peer")
				break
			}
			if i++; i == len(line.words) {
				p.fail(w.pos, "write 0 to 255 after it", "%q is missing its value", w.text)
				break
			}
			if n, ok := p.integer(line.words[i], 0, 255); ok {
				*ttl = int(n)
			}
		}
		*to = append(*to, peer)
	}
}

// stray complains about a word that does not belong behind what.
func (p *parser) stray(w token, options, what string) {
	fix := "write " + options + ", or nothing"
	if _, err := netip.ParseAddr(w.text); err == nil {
		fix = "write each address on a line of its own"
	} else if !isASCII(w.text) {
		fix = "write # before a comment"
	}
	p.fail(w.pos, fix, "%s after %s", show(w.text), what)
}

func (p *parser) oldChecksum(b *block, s *statement, d *draft) {
	args, _ := p.args(b, s, 0, 1)
	d.UnicastOldSum = config.OldSumOn
	if len(args) > 0 {
		if args[0].text != "never" {
			p.fail(args[0].pos, "write never, or nothing", "%s after %q", show(args[0].text), s.name())
			return
		}
		d.UnicastOldSum = config.OldSumNever
	}
}

// vmacKeyword reads whether the addresses have a link of their own.
func (p *parser) vmacKeyword(b *block, s *statement, d *draft) bool {
	switch s.name() {
	case "use_vmac", "use_ipvlan":
		if d.VMAC.Use {
			p.note(s.pos(), "a macvlan or ipvlan is there already: that one counts")
			return true
		}
		d.VMAC.IPVLAN = s.name() == "use_ipvlan"
		p.useVMAC(s, d)
	case "use_vmac_addr":
		p.setFlag(b, s, &d.VMAC.OtherLinks)
	case "vmac_xmit_base":
		p.setFlag(b, s, &d.VMAC.XmitBase)
	default:
		return false
	}
	return true
}

// useVMAC reads [[name] NAME] [MAC] [netlink_notify_msg] [group N], or of an ipvlan [[name] NAME] [ADDRESS]
// [bridge|private|vepa] [group N].
func (p *parser) useVMAC(s *statement, d *draft) {
	v := &d.VMAC
	v.Use = true
	r := reader{p: p, words: s.words, at: 1, what: s.name()}
	for r.more() && !r.bad {
		w := r.next()
		mode := w.text == "bridge" || w.text == "private" || w.text == "vepa"
		switch {
		case w.text == "netlink_notify_msg":
			p.note(w.pos, "netlink_notify_msg has no effect: the kernel tells of the macvlan in any case")
		case w.text == "group":
			r.number(&v.Group)
		case w.text == "name":
			r.link(&v.Name)
		case v.IPVLAN && mode:
			v.Mode = w.text
		case v.IPVLAN && strings.ContainsAny(w.text, ".:") && looksLikeAddress(w.text):
			v.Addr, _ = p.prefix(w)
		case !v.IPVLAN && strings.Count(w.text, ":") >= 4:
			p.vmacAddress(w, d)
		case v.Name == "":
			if p.link(w) {
				v.Name = w.text
			}
		default:
			p.stray(w, "a MAC address, group or name", r.what)
			return
		}
	}
}

// looksLikeAddress reports whether a word is meant as an IP address: names of interfaces have dots as well.
func looksLikeAddress(s string) bool {
	addr, _, _ := strings.Cut(s, "/")
	_, err := netip.ParseAddr(addr)
	return err == nil
}

// vmacAddress reads a MAC of six bytes, or of five: then virtual_router_id is the last.
func (p *parser) vmacAddress(w token, d *draft) {
	text, short := w.text, strings.Count(w.text, ":") == 4
	if short {
		text += ":00"
	}
	mac, ok := config.ParseMAC(text)
	switch {
	case !ok:
		p.fail(w.pos, "write six bytes in hexadecimal, like 02:00:5e:10:01:33", "malformed MAC address %s", show(w.text))
	case mac[0]&1 != 0:
		p.fail(w.pos, "write one whose first byte is even", "%s is a multicast address", show(w.text))
	default:
		d.VMAC.MAC, d.shortMAC = mac, short
	}
}

// heartbeat reads a second way for the adverts.
func (p *parser) heartbeat(s *statement, d *draft) {
	h := config.Heartbeat{Pos: s.pos()}
	b := s.block
	p.each(b, func(s *statement) {
		switch s.name() {
		case "interface":
			p.setLink(b, s, &h.Interface)
		case "source_ip":
			p.setAddr(b, s, &h.SrcIP)
		case "unicast_peer":
			p.peers(s, &h.Peers)
		}
	})
	d.Heartbeats = append(d.Heartbeats, h)
}

// or returns v, or what stands for its zero value.
func or[T comparable](v, zero T) T {
	if v == *new(T) {
		return zero
	}
	return v
}

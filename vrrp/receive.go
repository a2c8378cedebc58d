package vrrp

import (
	"crypto/subtle"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dirsw/clock"
)

// Bits of Instance.logged, beside one for each Reject.
const (
	loggedOwners = uint(numRejects) + iota
)

// received takes a packet with the instance's VRID.
func (i *Instance) received(now clock.Mono, p *Packet, path int) {
	if i.m.delayed(now) || i.state != Backup && i.state != Master {
		i.stats.Rejects[RejectStopped]++
		return
	}
	a, seq, r, detail := i.check(p, path)
	if r != Accepted {
		i.rejected(now, p, r, detail)
		return
	}
	i.stats.AdvertRcvd++
	i.heard[path] = now
	i.listen(now, path)
	if a.Priority == PriorityStop {
		i.stats.PriZeroRcvd++
	}
	// Another master may be wrong in other ways; that masters alternate is no reason to tell everything each time.
	if i.state == Backup && i.master != p.Src && now.Sub(i.loggedAt) >= i.downTime() {
		i.logged, i.loggedAt = 0, now
	}
	i.noteAddrs(now, a, p.Src)
	if i.state == Backup {
		i.receivedBackup(now, a, p.Src)
	} else {
		i.receivedMaster(now, a, p.Src, path, seq)
	}
}

// listen tells a backup whose master has several ways that one of them has fallen silent: the next fault would make two masters.
func (i *Instance) listen(now clock.Mono, path int) {
	if len(i.heard) < 2 || i.state != Backup {
		return
	}
	for q := range i.heard {
		quiet := q != path && now.Sub(max(i.heard[q], i.lastTransition)) >= i.downTime()
		if quiet == i.quiet[q] {
			continue
		}
		if i.quiet[q] = quiet; quiet {
			i.m.warnf(i, "(%s) adverts come by %s and not by %s", i.cfg.Name, i.wayName(path), i.wayName(q))
		} else {
			i.logf("(%s) adverts come by %s again", i.cfg.Name, i.wayName(q))
		}
	}
}

// wayName names a path for people.
func (i *Instance) wayName(path int) string {
	if p := &i.paths[path]; p.Link != "" {
		return p.Link
	}
	return "unicast"
}

// rejected counts, and tells once what is wrong. A peer that is configured differently is a conflict.
func (i *Instance) rejected(now clock.Mono, p *Packet, r Reject, detail string) {
	i.stats.Rejects[r]++
	if !i.once(uint(r)) {
		return
	}
	if detail != "" {
		i.m.warnf(i, "%s", detail)
	}
	switch r {
	case RejectVersion, RejectAuthUnknown, RejectAuthType, RejectAuthData, RejectAHUnexpected, RejectAHMissing, RejectInterval,
		RejectChecksum, RejectCast, RejectPeer, RejectAddrs, RejectOwnAddress:
		i.conflict(now, p.Src, r, detail)
	}
}

// conflict tells that somebody uses our VRID with other settings.
func (i *Instance) conflict(now clock.Mono, peer netip.Addr, r Reject, why string) {
	i.m.notice(i, Notice{Kind: Conflict, Name: i.cfg.Name, Old: i.state, New: i.state, Priority: i.priority, At: now, Peer: peer, Reject: r, Why: why})
}

// check verifies a packet, in the order of keepalived's vrrp_check_packet (RFC 9568, section 7.1; RFC 3768, section 7.1).
// The advert is valid until the next call. detail is keepalived's log line.
func (i *Instance) check(p *Packet, path int) (a *Advert, seq uint32, r Reject, detail string) {
	c, msg := i.cfg, p.Data
	name := func(format string, args ...any) string { return "(" + c.Name + ") " + fmt.Sprintf(format, args...) }
	if !c.IPv6 && (p.Protocol == ProtocolAH) != (c.Auth == AuthAH) {
		if p.Protocol == ProtocolAH {
			return nil, 0, RejectAHUnexpected, name("Received AH header but auth type not AH")
		}
		return nil, 0, RejectAHMissing, name("No AH header but auth type is AH")
	}
	var sealed ah
	authentic := true
	if c.Auth == AuthAH && !c.IPv6 {
		var whole bool
		if sealed, msg, whole, authentic = openAH(p.Header, p.Data, c.Password, !p.Dst.IsMulticast()); !whole {
			return nil, 0, RejectLength, fmt.Sprintf("IPv4 VRRP packet with AH too short - %d bytes", len(p.Header)+len(p.Data))
		}
	}
	sum := Pseudo{Src: p.Src, Dst: p.Dst, Plain: c.ChecksumAsV2}
	if i.oldSum || c.OldUnicast && c.Unicast() {
		sum.Dst = c.checksumGroup()
	}
	a = &i.advert
	parsed := ParseAdvert(a, msg, sum)
	if parsed == RejectLength {
		return nil, 0, parsed, i.lengthDetail(p, msg)
	}
	if r, detail = i.checkTTL(p, path); r != Accepted {
		return nil, 0, r, detail
	}
	if parsed == RejectVersion || a.Version != c.Version {
		return nil, 0, RejectVersion, name("wrong version. Received %d and expect %d", a.Version, c.Version)
	}
	if c.Version == 2 {
		if r, detail = i.checkAuth(a, sealed, authentic); r != Accepted {
			return nil, 0, r, detail
		}
		if a.Interval != c.Interval {
			return nil, 0, RejectInterval, name("advertisement interval mismatch mine=%d sec rcv'd=%d sec", c.Interval/time.Second, a.Interval/time.Second)
		}
	} else if a.Interval == 0 { // whoever followed it would take over at once, again and again
		return nil, 0, RejectInterval, name("advertisement interval mismatch ours = %d centi-sec rcv'd=0 centi-sec", c.Interval/centisecond)
	}
	if parsed == RejectType {
		return nil, 0, parsed, name("Invalid packet type. %d and expect %d", msg[0]&0x0f, typeAdvertisement)
	}
	if parsed == RejectChecksum && !i.learnsOldSum(a, msg, p) {
		return nil, 0, parsed, name("Invalid VRRPv%d checksum", c.Version)
	}
	if unicast := i.paths[path].Unicast(); p.Dst.IsMulticast() == unicast {
		mine, got := "mult", "un"
		if unicast {
			mine, got = got, mine
		}
		return nil, 0, RejectCast, name("Expected %sicast packet but received %sicast packet", mine, got)
	}
	if c.OwnerIgnore && i.priority == PriorityOwner {
		return nil, 0, RejectOwner, ""
	}
	if r, detail = i.checkPeer(p, path); r != Accepted {
		return nil, 0, r, detail
	}
	if !i.sharesAddr(a) && !(c.SkipCheckAdvAddr && i.state == Backup && i.master == p.Src) {
		i.stats.AddrListErr++
		return nil, 0, RejectAddrs, i.addrsDetail(a)
	}
	if p.Src == i.sources[path].Addr && i.state == Master && a.Priority == i.priority {
		return nil, 0, RejectOwnAddress, name("WARNING - equal priority advert received from remote host with our IP address.")
	}
	return a, sealed.seq, Accepted, ""
}

// lengthDetail is keepalived's line about a packet that is not as long as it says.
func (i *Instance) lengthDetail(p *Packet, msg []byte) string {
	got := len(p.Header) + len(p.Data)
	if len(msg) < headerLen {
		return fmt.Sprintf("IPv%d VRRP packet too short - %d bytes", 4+2*btoi(i.cfg.IPv6), got)
	}
	want := got - len(msg) + messageLen(msg[0]>>4, i.cfg.IPv6, int(msg[3]))
	word := "short"
	if got > want {
		word = "long"
	}
	return fmt.Sprintf("(%s) vrrp packet too %s, length %d and expect %d", i.cfg.Name, word, got, want)
}

// checkTTL: a packet of a group must come from the link itself (RFC 9568, section 5.1.1.3).
func (i *Instance) checkTTL(p *Packet, path int) (Reject, string) {
	if p.TTL < 0 || p.TTL == hopLimit || i.paths[path].Unicast() {
		return Accepted, ""
	}
	return RejectTTL, fmt.Sprintf("(%s) invalid TTL/HL. Received %d and expect %d", i.cfg.Name, p.TTL, hopLimit)
}

// checkAuth verifies the authentication of version 2 (RFC 2338, section 5.3.6).
func (i *Instance) checkAuth(a *Advert, sealed ah, authentic bool) (Reject, string) {
	c := i.cfg
	switch {
	case a.AuthType > AuthAH:
		return RejectAuthUnknown, fmt.Sprintf("(%s) Invalid auth type: %d", c.Name, a.AuthType)
	case a.AuthType != c.Auth:
		return RejectAuthType, fmt.Sprintf("(%s) received a %d auth, expecting %d!", c.Name, a.AuthType, c.Auth)
	case c.Auth == AuthPass && subtle.ConstantTimeCompare(a.Auth[:], c.Password[:]) == 0:
		return RejectAuthData, fmt.Sprintf("(%s) received an invalid passwd!", c.Name)
	case c.Auth != AuthAH:
		return Accepted, ""
	case !authentic:
		return RejectAuthData, fmt.Sprintf("(%s) IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !", c.Name)
	}
	seen := i.ahSeen[sealed.spi]
	switch {
	case sealed.seq == seen && len(i.paths) > 1: // the copy from another path
		return RejectReplay, ""
	case sealed.seq <= seen:
		return RejectReplay, fmt.Sprintf("(%s) IPSEC-AH : sequence number %d already processed. Packet dropped. Local(%d)", c.Name, sealed.seq, seen)
	}
	if i.ahSeen == nil {
		i.ahSeen = make(map[uint32]uint32)
	}
	i.ahSeen[sealed.spi] = sealed.seq
	// keepalived has one counter for all that it sends and hears: ours must not fall behind it.
	i.ahSeq = max(i.ahSeq, sealed.seq)
	return Accepted, ""
}

// learnsOldSum looks whether a checksum that is wrong is one of an old keepalived, which computed that of version 3 over
// unicast with the address of the multicast group. From then on we do so too.
func (i *Instance) learnsOldSum(a *Advert, msg []byte, p *Packet) bool {
	c := i.cfg
	if c.Version != 3 || c.IPv6 || !c.Unicast() || i.oldSum || c.OldUnicast || c.NeverOldUnicast {
		return false
	}
	if ParseAdvert(a, msg, Pseudo{Src: p.Src, Dst: c.checksumGroup()}) != Accepted {
		return false
	}
	i.oldSum = true
	i.logf("(%s) Setting unicast VRRPv3 checksum to old version", c.Name)
	return true
}

// OldChecksum reports whether version 3 adverts to peers have the checksum of the multicast group.
func (i *Instance) OldChecksum() bool { return i.cfg.Unicast() && (i.oldSum || i.cfg.OldUnicast) }

// checkPeer verifies that a unicast packet is from a configured peer, if that was asked for, or if the path is a second
// one, and comes from as far as it may.
func (i *Instance) checkPeer(p *Packet, path int) (Reject, string) {
	way := &i.paths[path]
	if !way.Unicast() || !i.cfg.CheckPeer && path == 0 {
		return Accepted, ""
	}
	n := slices.IndexFunc(way.Peers, func(peer Peer) bool { return peer.Addr == p.Src })
	if n < 0 {
		return RejectPeer, fmt.Sprintf("(%s) unicast source address %v not a unicast peer", i.cfg.Name, p.Src)
	}
	lo, hi := int(way.Peers[n].MinTTL), int(way.Peers[n].MaxTTL)
	if hi == 0 {
		hi = hopLimit
	}
	if p.TTL >= 0 && (p.TTL < lo || p.TTL > hi) {
		return RejectTTL, fmt.Sprintf("(%s) TTL/HL %d not in range %d - %d", i.cfg.Name, p.TTL, lo, hi)
	}
	return Accepted, ""
}

// sharesAddr reports whether an advert names any of our addresses, or neither of us has any.
func (i *Instance) sharesAddr(a *Advert) bool {
	for n := range i.cfg.Addresses {
		if slices.Contains(a.Addrs, i.cfg.Addresses[n].Prefix.Addr()) {
			return true
		}
	}
	return len(i.cfg.Addresses) == 0 && len(a.Addrs) == 0
}

// addrsDetail is keepalived's line about an advert whose addresses are not ours; empty: they are.
func (i *Instance) addrsDetail(a *Advert) string {
	c := i.cfg
	if len(a.Addrs) != len(c.Addresses) {
		return fmt.Sprintf("(%s) received an unexpected ip number count %d, expected %d!", c.Name, len(a.Addrs), len(c.Addresses))
	}
	for n := range c.Addresses {
		if v := c.Addresses[n].Prefix.Addr(); !slices.Contains(a.Addrs, v) {
			return fmt.Sprintf("(%s) ip address associated with VRID %d not present in MASTER advert: %v", c.Name, c.VRID, v)
		}
	}
	return ""
}

// noteAddrs tells of an advert with some of our addresses, but not the same ones. It counts nevertheless (RFC 9568,
// section 7.1): while an address is added to both of a pair, first to one and then to the other, there must not be two
// masters. keepalived 2.2.7 drops it, later ones do not.
func (i *Instance) noteAddrs(now clock.Mono, a *Advert, src netip.Addr) {
	c := i.cfg
	if c.Version == 3 && a.Interval != c.Interval {
		i.stats.IntervalErr++
	}
	if c.SkipCheckAdvAddr && i.state == Backup && i.master == src {
		return
	}
	detail := i.addrsDetail(a)
	if detail == "" {
		return
	}
	i.stats.AddrListErr++
	if i.once(uint(RejectAddrs)) {
		i.m.warnf(i, "%s", detail)
		i.conflict(now, src, RejectAddrs, detail)
	}
}

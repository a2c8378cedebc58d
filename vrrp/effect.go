package vrrp

import (
	"fmt"
	"net/netip"
	"strings"

	"dirsw/clock"
)

// EventKind is what happens to one instance.
type EventKind uint8

// Kinds of events.
const (
	// TimerDue: time has reached the instance's Next.
	TimerDue EventKind = iota + 1
	// PacketReceived: a packet with the instance's VRID came on one of its paths.
	PacketReceived
)

// Event is what Instance.Handle takes.
type Event struct {
	Kind   EventKind
	Packet *Packet // of PacketReceived; not kept
	Path   int     // on which of Config.Paths it came
}

// EffectKind is what an Effect asks for.
type EffectKind uint8

// Kinds of effects.
const (
	EffectLog      EffectKind = iota + 1 // write Text
	EffectAdvert                         // send an advert with Priority by every path, to every peer
	EffectOwn                            // set Address
	EffectDisown                         // remove Address
	EffectSet                            // set Extra
	EffectUnset                          // remove Extra
	EffectAnnounce                       // announce Addr on Link
	EffectNotice                         // tell Notice
)

// Effect is one thing to be done. Effects are carried out in their order, each before the next; adverts alone need not wait
// for what is before them.
type Effect struct {
	Kind     EffectKind
	Instance *Instance // whose it is; nil: of a group, or of nobody
	Text     string
	Warn     bool // of EffectLog: something is wrong
	Priority uint8
	Seq      uint32     // of EffectAdvert: the sequence number of the authentication header
	Due      clock.Mono // of EffectAdvert: when it should have left; 0: now
	Address  Address    // its Link is filled in
	Extra    Extra
	Link     string
	Addr     netip.Addr
	Held     bool // of EffectAnnounce: Addr is a virtual address; else the instance's own
	Notice   Notice
}

// String writes the effect in a line, as the traces of the tests do.
func (e Effect) String() string {
	name := ""
	if e.Instance != nil {
		name = e.Instance.cfg.Name + " "
	}
	switch e.Kind {
	case EffectLog:
		return "log " + e.Text
	case EffectAdvert:
		return fmt.Sprintf("%sadvert %d", name, e.Priority)
	case EffectOwn:
		return fmt.Sprintf("%sown %v %s", name, e.Address.Prefix, e.Address.Link)
	case EffectDisown:
		return fmt.Sprintf("%sdisown %v %s", name, e.Address.Prefix, e.Address.Link)
	case EffectSet:
		return name + "set " + e.Extra.Text
	case EffectUnset:
		return name + "unset " + e.Extra.Text
	case EffectAnnounce:
		return fmt.Sprintf("%sannounce %v %s", name, e.Addr, e.Link)
	case EffectNotice:
		return "notice " + e.Notice.line()
	}
	return "invalid"
}

// line writes the notice in a line.
func (n *Notice) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", n.Kind, n.Name)
	if n.Group {
		b.WriteString(" (group)")
	}
	if n.Kind == StateChanged {
		fmt.Fprintf(&b, " %v>%v", n.Old, n.New)
	}
	if n.Kind == PriorityChanged {
		fmt.Fprintf(&b, " %d", n.Priority)
	}
	if n.Kind == Conflict {
		fmt.Fprintf(&b, " %v", n.Reject)
	}
	if n.Peer.IsValid() {
		fmt.Fprintf(&b, " %v", n.Peer)
	}
	return b.String()
}

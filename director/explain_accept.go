package director

import (
	"fmt"
	"slices"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/packet"
)

// refusal says why a packet that no service wants is dropped instead of given to the network stack of this host, or, on a
// host that does not have its address now, what a master would do with it.
type refusal struct {
	in   *config.Instance // nil: none does
	here bool             // this host has the address, or the question is about a file and not about a host
}

// refusalOf looks whether packets to dst are not accepted (RFC 9568, section 6.4.3; see shut). Without a model there is no
// name for who does not.
func refusalOf(m *config.Model, s *forward.Snapshot, dst packet.Addr) (r refusal) {
	if m == nil {
		return r
	}
	for i := range m.Instances {
		v := &m.Instances[i]
		if !slices.ContainsFunc(v.Addresses, func(a config.VirtualAddress) bool { return packet.AddrFrom(a.Prefix.Addr()) == dst }) {
			continue
		}
		if v.Accept || v.Priority == 255 {
			return refusal{}
		}
		r.in = v
	}
	r.here = slices.Contains(s.Shut, dst) || len(s.Local) == 0
	return r
}

// text is the answer's last line about a packet that no service wants.
func (r refusal) text(dst packet.Addr) string {
	word := "no_accept"
	if r.in.Strict {
		word = "no_accept, which vrrp_strict and strict_mode imply"
	}
	if r.here {
		return fmt.Sprintf("dropped: %v: %s\nbecause: vrrp_instance %s (%v) has %s; write accept there, or a virtual_server for this port\n",
			packet.DropNotAccepted, DropText(packet.DropNotAccepted), r.in.Name, r.in.Pos, word)
	}
	return fmt.Sprintf("note:    this host does not have %v now; the master of vrrp_instance %s (%v) drops such packets: it has %s\n",
		dst, r.in.Name, r.in.Pos, word)
}

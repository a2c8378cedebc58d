package main

import (
	"fmt"

	"dirsw/host"
)

// unsuited says why dirsw does not run on an interface, and what to use instead; nil if it does. Generic is whether the
// operator has written mode generic, in which the kernel itself sorts out which frames are a macvlan's. It could do so for
// others; what has not been seen to work is refused.
func unsuited(n *host.NIC, generic bool) error {
	switch {
	case n.MemberOf != "" && n.MasterKind != "vrf":
		return fmt.Errorf("%s is a part of %s, whose addresses and routes are not its own; give dirsw %s, or take %s out of it",
			n.Name, n.MemberOf, n.MemberOf, n.Name)
	case n.MAC == [6]byte{}:
		return fmt.Errorf("%s (%s) does not carry Ethernet frames; give dirsw an Ethernet interface", n.Name, n.Kind)
	case n.Kind == "bond" || n.Kind == "team":
		return fmt.Errorf("%s is a %s: frames arrive at its members, and not at sockets on it; give dirsw an interface that is in "+
			"no %[2]s", n.Name, n.Kind)
	case n.Kind == "vlan":
		return fmt.Errorf("%s is a VLAN on %s: frames arrive at that one, with their tags; let the switch deliver the VLAN untagged "+
			"on an interface of its own", n.Name, n.Over)
	case n.Kind == "macvlan" && generic:
		return nil
	case n.Kind == "macvlan":
		return fmt.Errorf("%s is a macvlan on %s: frames arrive at that one; give dirsw %s, or write `mode generic`", n.Name, n.Over, n.Over)
	case n.Kind == "macvtap" || n.Kind == "ipvlan" || n.Kind == "ipvtap":
		return fmt.Errorf("%s (%s) stands on %s: frames arrive at that one; give dirsw %s", n.Name, n.Kind, n.Over, n.Over)
	}
	return nil
}

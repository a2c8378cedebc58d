package config

import (
	"fmt"
	"net/netip"
	"time"
)

// instances checks each vrrp_instance, and that no two fight over a virtual router or an address.
func (v *validator) instances(list []Instance) {
	type router struct {
		dev string
		id  uint8
		six bool
	}
	names, routers, addrs := map[string]Pos{}, map[router]string{}, map[netip.Addr]string{}
	for i := range list {
		in := &list[i]
		if p, ok := names[in.Name]; ok {
			v.fail(in.Pos, "give each its own name", "the vrrp_instance %q is there twice%s", in.Name, at(p))
			continue
		}
		names[in.Name] = in.Pos
		v.instance(in)
		key := router{in.Interface, in.RouterID, in.is6()}
		if other, ok := routers[key]; ok && in.RouterID != 0 {
			v.fail(in.Pos, "give each its own number", "the virtual_router_id %d of %q on %s is also that of %q", in.RouterID, in.Name, in.Interface, other)
		}
		routers[key] = in.Name
		for _, a := range in.Addresses {
			if other, ok := addrs[a.Prefix.Addr()]; ok {
				v.fail(a.Pos, "keep one of them", "the address %s of %q is there already, in %q", a.Prefix.Addr(), in.Name, other)
			}
			addrs[a.Prefix.Addr()] = in.Name
		}
	}
}

// is6 reports whether the instance is one of IPv6: its first address in adverts says so.
func (in *Instance) is6() bool {
	for _, a := range in.Addresses {
		if !a.Excluded {
			return a.Prefix.Addr().Is6()
		}
	}
	return false
}

func (v *validator) instance(in *Instance) {
	if in.Interface == "" {
		v.fail(in.Pos, "write `interface NAME`", "the vrrp_instance %q names no interface", in.Name)
	}
	if in.RouterID == 0 {
		v.fail(in.Pos, "write `virtual_router_id` with 1 to 255", "the vrrp_instance %q has no virtual router id", in.Name)
	}
	if in.Priority == 0 {
		v.fail(in.Pos, "write 1 to 255", "the priority of %q is 0", in.Name)
	}
	if in.State != "MASTER" && in.State != "BACKUP" {
		v.fail(in.Pos, "write MASTER or BACKUP", "the state of %q is %q", in.Name, in.State)
	}
	v.advertInt(in)
	six := in.is6()
	for _, a := range in.Addresses {
		switch {
		case !a.Prefix.IsValid():
			v.fail(a.Pos, "write ADDRESS or ADDRESS/LENGTH", "a virtual address of %q is none", in.Name)
		case a.Prefix.Addr().IsMulticast() || a.Prefix.Addr().IsUnspecified():
			v.fail(a.Pos, "write a unicast address", "the virtual address %s of %q is not one of a host", a.Prefix.Addr(), in.Name)
		case !a.Excluded && a.Prefix.Addr().Is6() != six:
			v.fail(a.Pos, "write it in virtual_ipaddress_excluded", "the virtual address %s of %q is of another family than the first", a.Prefix.Addr(), in.Name)
		}
	}
}

// advertInt checks the interval: a byte of seconds in VRRPv2 (RFC 3768, 5.3.7), 12 bits of centiseconds in VRRPv3
// (RFC 9568, 5.2.7).
func (v *validator) advertInt(in *Instance) {
	version := in.Version
	if version == 0 {
		version = 2
		if in.is6() {
			version = 3
		}
	}
	unit, most := time.Second, 255*time.Second
	if version == 3 {
		unit, most = 10*time.Millisecond, 40950*time.Millisecond
	}
	if in.AdvertInt < unit || in.AdvertInt > most || in.AdvertInt%unit != 0 {
		fix := fmt.Sprintf("write %g to %g seconds", unit.Seconds(), most.Seconds())
		if version == 2 {
			fix = "write whole seconds, 1 to 255, or `version 3`"
		}
		v.fail(in.Pos, fix, "the advert_int %s of %q is none that VRRP version %d has", in.AdvertInt, in.Name, version)
	}
}

package ipvsadm

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// ipvsadm sorts by differences of 32-bit words taken as signed ones: 192.0.2.1 stands before 10.0.0.1, and mark
// 4294967295 before mark 1. Over more than half of the range that is no order at all, so the outcome depends on the way
// of sorting, which is glibc's: a merge sort that halves from the top.

// sorted returns the services as a listing shows them.
func sorted(list []Service) []Service {
	list = slices.Clone(list)
	mergeSort(list, make([]Service, len(list)), compareServices)
	for i := range list {
		list[i].Dests = slices.Clone(list[i].Dests)
		mergeSort(list[i].Dests, make([]Dest, len(list[i].Dests)), compareDests)
	}
	return list
}

func compareServices(a, b *Service) int {
	if c := difference(a.Mark, b.Mark); c != 0 {
		return c
	}
	if a.Is6() != b.Is6() {
		return family(a.Is6()) - family(b.Is6())
	}
	if a.Proto != b.Proto {
		return int(a.Proto) - int(b.Proto)
	}
	if c := compareAddrs(a.Addr, b.Addr); c != 0 {
		return c
	}
	return int(a.Port) - int(b.Port)
}

func compareDests(a, b *Dest) int {
	if c := family(a.Addr.Is6()) - family(b.Addr.Is6()); c != 0 {
		return c
	}
	if c := compareAddrs(a.Addr, b.Addr); c != 0 {
		return c
	}
	return int(a.Port) - int(b.Port)
}

func family(six bool) int {
	if six {
		return 10
	}
	return 2
}

// compareAddrs compares two addresses of one family; those of marks are unset and equal.
func compareAddrs(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	for i := 0; i+4 <= len(x) && i+4 <= len(y); i += 4 {
		if c := difference(binary.BigEndian.Uint32(x[i:]), binary.BigEndian.Uint32(y[i:])); c != 0 {
			return c
		}
	}
	return 0
}

// difference is a-b as C has it in an int.
func difference(a, b uint32) int { return int(int32(a - b)) }

// mergeSort sorts list with the help of tmp, which is as long. Equal elements keep their order.
func mergeSort[T any](list, tmp []T, compare func(a, b *T) int) {
	if len(list) < 2 {
		return
	}
	a, b := list[:len(list)/2], list[len(list)/2:]
	mergeSort(a, tmp, compare)
	mergeSort(b, tmp, compare)
	n := 0
	for len(a) > 0 && len(b) > 0 {
		if compare(&a[0], &b[0]) <= 0 {
			tmp[n], a = a[0], a[1:]
		} else {
			tmp[n], b = b[0], b[1:]
		}
		n++
	}
	n += copy(tmp[n:], a)
	copy(list, tmp[:n]) // what is left of b stands in its place
}

package director

import (
	"dirsw/forward"
	"dirsw/packet"
)

// steer says how clients are shared out among the workers: by what the snapshot's services need together. Ports is whether
// their ports may count.
func steer(s *forward.Snapshot, workers int, ports bool) forward.Steer {
	st := forward.Steer{Workers: workers, Ports: ports}
	if workers <= 1 {
		return st
	}
	var virtual, servers []packet.Addr
	for i := range s.Services {
		svc := &s.Services[i]
		if svc.Gone {
			continue
		}
		if !svc.Key.ByMark() {
			virtual = append(virtual, svc.Key.Addr)
		}
		if svc.Persistence > 0 {
			coarsen(&st, svc)
		}
	}
	for i := range s.Dests {
		d := &s.Dests[i]
		if d.Method == forward.NAT || d.WasNAT { // those that are gone too: their connections end
			servers = append(servers, d.Addr)
		}
		if key := &s.Services[d.Service].Key; d.Hop.Local && d.Method != forward.NAT && !key.ByMark() {
			servers = append(servers, key.Addr) // the director's own stack answers from the address that it was asked at
		}
	}
	st.Virtual, st.Servers = forward.NewAddrSet(virtual), forward.NewAddrSet(servers)
	return st
}

// coarsen leaves of the mask what the templates of svc tell apart.
func coarsen(st *forward.Steer, svc *forward.Service) {
	to := &st.Mask6
	if svc.Key.Addr.Is4() {
		to = &st.Mask4
	}
	if *to == (packet.Addr{}) {
		*to = svc.Mask
		return
	}
	for i := range to {
		to[i] &= svc.Mask[i]
	}
}

package config

import (
	"fmt"
	"net/netip"
)

// ServiceKey identifies a virtual service: no two services of a Model may share it. Comparable.
type ServiceKey struct {
	Addr  netip.Addr
	Port  uint16
	Proto Protocol
	Mark  uint32 // not 0: the fields above are unset
	IPv6  bool   // of a Mark service
}

// Key returns what identifies s.
func (s *Service) Key() ServiceKey {
	if s.Mark != 0 {
		return ServiceKey{Mark: s.Mark, IPv6: s.IPv6}
	}
	return ServiceKey{Addr: s.Addr, Port: s.Port, Proto: s.Proto}
}

// Is6 reports whether the service is one of IPv6.
func (k ServiceKey) Is6() bool { return k.IPv6 || k.Addr.Is6() }

// String returns "TCP 192.0.2.100:80" or "fwmark 7".
func (k ServiceKey) String() string {
	switch {
	case k.Mark != 0 && k.IPv6:
		return fmt.Sprintf("fwmark %d IPv6", k.Mark)
	case k.Mark != 0:
		return fmt.Sprintf("fwmark %d", k.Mark)
	}
	return k.Proto.String() + " " + netip.AddrPortFrom(k.Addr, k.Port).String()
}

// RealKey identifies a real server within its service. Comparable.
type RealKey struct {
	Addr netip.Addr
	Port uint16
}

// Key returns what identifies r within its service.
func (r *Real) Key() RealKey { return RealKey{r.Addr, r.Port} }

// String returns "192.0.2.11:80".
func (k RealKey) String() string { return netip.AddrPortFrom(k.Addr, k.Port).String() }

// Service returns the service with that key, nil if there is none. It points into m.
func (m *Model) Service(k ServiceKey) *Service { return findService(m.Services, 0, k) }

// Real returns the real server with that key, nil if there is none. It points into s.
func (s *Service) Real(k RealKey) *Real { return findReal(s.Reals, 0, k) }

// ProbePort returns the port that checks connect to unless they name one.
func (r *Real) ProbePort() uint16 {
	if r.CheckPort != 0 {
		return r.CheckPort
	}
	return r.Port
}

// String returns "NAME TCP", or "" for none.
func (g Group) String() string {
	if g.Proto == 0 {
		return g.Name
	}
	return g.Name + " " + g.Proto.String()
}

package ipvsadm

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dirsw/config"
)

// View is what a listing shows.
type View uint8

// The views, with the options of -L.
const (
	ViewTable          View = iota // services and real servers
	ViewStats                      // --stats
	ViewRate                       // --rate
	ViewThresholds                 // --thresholds
	ViewPersistentConn             // --persistent-conn
	ViewTunnels                    // --tun-info
	ViewConns                      // -c
	ViewTimeouts                   // --timeout
	ViewDaemons                    // --daemon
	ViewSave                       // -S: commands that make the table
)

// Format is how to print a listing.
type Format struct {
	View    View
	Only    *config.ServiceKey // -t, -u, -f with -L: this service alone, without the version line; nil: all
	Numeric bool               // -n
	Exact   bool               // --exact: no K, M, G, T
	NoSort  bool               // --nosort
	Engines bool               // -c --persistent-conn: with the data of persistence engines
	Origin  bool               // --origin, our own: where each entry comes from, at the end of its line
	Names   Names              // used unless Numeric
}

// Names gives names to addresses and ports, "" where there is none. A nil field stands for no names at all.
type Names struct {
	Host func(netip.Addr) string
	Port func(uint16, config.Protocol) string
}

// endpoint writes address and port as ipvsadm does, in brackets for IPv6.
func (f *Format) endpoint(a netip.Addr, port uint16, proto config.Protocol) string {
	host, service := "", ""
	if !f.Numeric && f.Names.Host != nil {
		host = f.Names.Host(a)
	}
	if !f.Numeric && f.Names.Port != nil {
		service = f.Names.Port(port, proto)
	}
	if host == "" {
		host = a.String()
	}
	if service == "" {
		service = strconv.Itoa(int(port))
	}
	if a.Is6() {
		return "[" + host + "]:" + service
	}
	return host + ":" + service
}

// title is the first word of a service's line and its address, cut to the column for IPv4.
func (f *Format) title(s *Service) string {
	if s.Mark != 0 {
		name := fmt.Sprintf("FWM  %d", int32(s.Mark))
		if s.IPv6 {
			name += " IPv6"
		}
		return name
	}
	return cut(fmt.Sprintf("%-4s %s", s.Proto, f.endpoint(s.Addr, s.Port, s.Proto)), 33, s.Is6())
}

// dest is a real server's address, cut to the column for IPv4.
func (f *Format) dest(s *Service, d *Dest) string {
	return cut(f.endpoint(d.Addr, d.Port, s.Proto), 28, d.Addr.Is6())
}

func cut(s string, width int, six bool) string {
	if six || len(s) <= width {
		return s
	}
	return s[:width]
}

// number writes a counter in nine columns: in full below 10^8, then in K, M, G or T, always in full when exact.
func (f *Format) number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	switch {
	case f.Exact:
		return fmt.Sprintf("%*s", max(9, len(s)+1), s)
	case n < 1e8:
		return fmt.Sprintf("%9s", s)
	case n < 1e9:
		return fmt.Sprintf("%8dK", n/1e3)
	case n < 1e11:
		return fmt.Sprintf("%8dM", n/1e6)
	case n < 1e14:
		return fmt.Sprintf("%8dG", n/1e9)
	}
	return fmt.Sprintf("%8dT", n/1e12)
}

// method is the word for a forwarding method.
func method(m config.Method) string {
	switch m {
	case config.TUN:
		return "Tunnel"
	case config.NAT:
		return "Masq"
	}
	return "Route"
}

// tunnel is the word of --tun-info for an encapsulation.
func tunnel(d *Dest) string {
	if d.Method != config.TUN {
		return "n/a"
	}
	sum := [...]string{"-c", "+c", "r+c"}[d.Tunnel.Sum%3]
	switch d.Tunnel.Type {
	case config.GUE:
		return fmt.Sprintf("gue:%d:%s", d.Tunnel.Port, sum)
	case config.GRE:
		return "gre:" + sum
	}
	return "ipip"
}

// Mask returns the mask of templates as ipvsadm writes it, "" when it is all bits.
func (s *Service) mask() string {
	switch {
	case s.Netmask.IsValid():
		return s.Netmask.String()
	case s.Granularity == 0:
		return ""
	case s.Is6():
		return strconv.Itoa(s.Granularity)
	}
	m := ^uint32(0) << (32 - min(s.Granularity, 32))
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// flags names the scheduler flags by what they mean to the scheduler; ok is false when there are none. A flag that the
// scheduler has no name for is not named, yet it is there.
func (s *Service) flags() (names string, ok bool) {
	bits := flagBits(s.SchedFlags)
	table := flagNames(s.Scheduler)
	var list []string
	for i, name := range table {
		if bits&(1<<i) != 0 && name != "" {
			list = append(list, name)
		}
	}
	return strings.Join(list, ","), bits != 0
}

// flagNames returns the names of flags 1, 2 and 3 with a scheduler.
func flagNames(scheduler string) [3]string {
	switch scheduler {
	case "sh":
		return [3]string{"sh-fallback", "sh-port"}
	case "mh":
		return [3]string{"mh-fallback", "mh-port"}
	}
	return [3]string{"flag-1", "flag-2", "flag-3"}
}

// flagBits returns the flags as bits, flag 1 being bit 0.
func flagBits(names []string) uint {
	bits := uint(0)
	for _, n := range names {
		switch n {
		case "flag-1", "sh-fallback", "mh-fallback":
			bits |= 1
		case "flag-2", "sh-port", "mh-port":
			bits |= 2
		case "flag-3":
			bits |= 4
		}
	}
	return bits
}

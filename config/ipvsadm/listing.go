package ipvsadm

import (
	"net/netip"
	"time"

	"dirsw/config"
)

// Listing is what a table holds at a moment, as plain data: what Print prints.
type Listing struct {
	Size     int // of the connection table, told in the first line; 0 stands for the kernel's default, 4096
	Services []Service
	// Conns gives all connections to yield, in the order of the table, until yield returns false. nil: there are none.
	Conns    func(yield func(*Conn) bool) error
	Timeouts config.Timeouts
	Daemons  []Daemon
	Total    Totals
}

// Service is a virtual service with its counters. The fields that say what it is are those of config.Service.
type Service struct {
	config.ServiceKey
	Scheduler   string
	SchedFlags  []string
	Persistence time.Duration
	Granularity int        // prefix length; 0: all bits
	Netmask     netip.Addr // where no prefix length says it
	Engine      string
	OnePacket   bool
	Stats       Counters
	Rate        Counters // a second
	Dests       []Dest   // newest first, as the kernel keeps them; --nosort shows this order
	Origin      string   // where it comes from, in words; shown with --origin
}

// Dest is a real server with its counters.
type Dest struct {
	config.RealKey
	Method       config.Method
	Tunnel       config.Tunnel
	Weight       int
	Upper, Lower uint32
	Active       uint32 // connections that are established or about to be
	Inactive     uint32 // all others
	Persistent   uint32 // templates
	Stats        Counters
	Rate         Counters // a second
	Origin       string   // as that of a service
}

// Counters counts connections, packets and bytes; In is from the client, Out from the real server.
type Counters struct {
	Conns, InPkts, OutPkts, InBytes, OutBytes uint64
}

// Conn is a connection or a template (whose client port is 0).
type Conn struct {
	Proto                 config.Protocol // also 50 and 51, ESP and AH; 0: IP, of a template for a firewall mark
	Client, Virtual, Dest netip.AddrPort
	State                 string        // as the kernel names it: ESTABLISHED
	Expires               time.Duration // from now
	Engine, EngineData    string        // of a persistence engine; empty: none
	Synced                bool          // another director has told of it
}

// Protocols of connections that no service can have.
const (
	protoESP config.Protocol = 50
	protoAH  config.Protocol = 51
)

// Daemon is a connection synchronisation daemon.
type Daemon = config.SyncDaemon

// FromModel returns the listing of a table that was just set up so: all counters are zero, there are no connections, the
// timeouts are those asked for or the kernel's.
func FromModel(m *config.Model) Listing {
	l := Listing{Timeouts: m.Globals.Timeouts.OrDefault(), Daemons: m.Daemons}
	for i := range m.Services {
		s := &m.Services[i]
		out := Service{ServiceKey: s.Key(), Scheduler: s.Scheduler, SchedFlags: s.SchedFlags, Persistence: s.Persistence,
			Granularity: s.Granularity, Netmask: s.Netmask, Engine: s.Engine, OnePacket: s.OnePacket, Origin: s.Whence()}
		for j := len(s.Reals) - 1; j >= 0; j-- {
			r := &s.Reals[j]
			out.Dests = append(out.Dests, Dest{RealKey: r.Key(), Method: r.Method, Tunnel: r.Tunnel, Weight: r.Weight,
				Upper: r.Upper, Lower: r.Lower, Origin: r.Whence()})
		}
		l.Services = append(l.Services, out)
	}
	return l
}

// Service returns the service with that key, nil if it is not listed. It points into l.
func (l *Listing) Service(k config.ServiceKey) *Service {
	for i := range l.Services {
		if l.Services[i].ServiceKey == k {
			return &l.Services[i]
		}
	}
	return nil
}

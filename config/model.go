package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Pos is a place in a configuration file. The zero Pos is "not from a file". Lines and columns count from 1, columns in
// characters.
type Pos struct {
	File      string
	Line, Col int
}

func (p Pos) String() string {
	if p == (Pos{}) {
		return "-"
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Model is everything an operator asked for.
type Model struct {
	Name      string // of this dirsw among others on the host (the keyword instance); empty: none
	Globals   Globals
	Dataplane Dataplane
	Services  []Service
	Instances []Instance
	VRRP      VRRP
	TLS       TLSClient // of SSL_GET
	Marks     Marks
	Daemons   []SyncDaemon

	// Births counts what commands have made, see Service.Birth.
	Births uint64
}

// Timeouts are those that lvs_timeouts and ipvsadm --set change: of an established TCP connection, of one after FIN,
// and of UDP. 0 leaves the default (900 s, 120 s, 300 s).
type Timeouts struct {
	TCP, TCPFin, UDP time.Duration
}

// Dataplane is the block dataplane, dirsw's own. Command line flags win over it.
type Dataplane struct {
	Pos         Pos
	Interfaces  []string // empty: chosen from the vrrp instances and the routes
	Queues      int      // queues to serve on each interface; 0: all
	Workers     int      // 0: as many as Cores, or AutoCores say; else one
	Cores       []int    // one per worker; empty: not pinned
	AutoCores   bool     // as many workers as queues and CPUs allow, each pinned to one
	Steer       Steer
	Mode        Mode
	ZeroCopy    ZeroCopy
	Wait        Wait
	Connections int  // room in the connection table; 0: default
	Replace     bool // displace a foreign XDP program
	Accelerate  int  // connections that the XDP program may forward by itself; 0: none
	Coalesce    int  // microseconds, at most, that interfaces gather frames for; 0: DefaultCoalesce, or NoCoalesce
	Sysctls     []Sysctl
}

// DefaultCoalesce is what `coalesce auto` stands for: about what adaptive moderation of NICs goes up to. NoCoalesce is off.
const (
	DefaultCoalesce = 250
	NoCoalesce      = -1
)

// DefaultAccelerate is how many connections `accelerate on` stands for.
const DefaultAccelerate = 65536

// Steer is what decides which worker serves a packet.
type Steer uint8

// The choices.
const (
	SteerClient Steer = iota // the client's address
	SteerFlow                // its address and port
)

// String returns the choice as the dataplane block writes it.
func (s Steer) String() string { return word(int(s), "client", "flow") }

// Mode is where the XDP program runs.
type Mode uint8

// The modes.
const (
	ModeAuto Mode = iota
	ModeNative
	ModeGeneric
)

// String returns the mode as the dataplane block writes it.
func (m Mode) String() string { return word(int(m), "auto", "native", "generic") }

// ZeroCopy is whether the driver may use the frames in place.
type ZeroCopy uint8

// The choices.
const (
	ZeroCopyAuto ZeroCopy = iota
	ZeroCopyOn
	ZeroCopyOff
)

// String returns the choice as the dataplane block writes it.
func (z ZeroCopy) String() string { return word(int(z), "auto", "on", "off") }

// Wait is what a worker does when there is no traffic.
type Wait uint8

// The choices: sleep in poll(2), or spin on the rings.
const (
	WaitAuto Wait = iota
	WaitSleep
	WaitBusy
)

// String returns the choice as the dataplane block writes it.
func (w Wait) String() string { return word(int(w), "auto", "sleep", "busy-poll") }

// Protocol is an IP protocol number.
type Protocol uint8

// The protocols of virtual services.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the name in capitals, as keepalived.conf writes it and ipvsadm lists it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// Method is how a frame reaches a real server.
type Method uint8

// The forwarding methods, with ipvsadm's options -g, -i, -m.
const (
	DR Method = iota
	TUN
	NAT
)

// String returns the name as keepalived.conf writes it.
func (m Method) String() string { return word(int(m), "DR", "TUN", "NAT") }

// TunnelType is the encapsulation of the method TUN.
type TunnelType uint8

// The encapsulations; IPIP stands for every combination of IPv4 and IPv6.
const (
	IPIP TunnelType = iota
	GUE
	GRE
)

// String returns the name as ipvsadm --tun-type takes it.
func (t TunnelType) String() string { return word(int(t), "ipip", "gue", "gre") }

// TunnelSum is what becomes of checksums in GUE and GRE.
type TunnelSum uint8

// The choices of ipvsadm: --tun-nocsum, --tun-csum, --tun-remcsum.
const (
	NoSum TunnelSum = iota
	Sum
	RemoteSum
)

// String returns the choice as keepalived.conf writes it.
func (t TunnelSum) String() string { return word(int(t), "nocsum", "csum", "remcsum") }

// Tunnel is how the method TUN encapsulates. The zero value is IP in IP.
type Tunnel struct {
	Type TunnelType
	Port uint16 // destination port of GUE
	Sum  TunnelSum
}

// Origin says who made an entry: a reload of the file replaces what came from the file only, see Merge.
type Origin uint8

// The origins.
const (
	FromFile Origin = iota
	FromCommand
)

// String returns "file" or "command".
func (o Origin) String() string { return word(int(o), "file", "command") }

// Group is a virtual_server of a virtual_server_group: several services that have one list of real servers, one health and
// one quorum. Each entry of the group is a Service of its own in the Model, and all of them say the same but for what they
// select. The zero Group is none.
type Group struct {
	Name  string   // of the virtual_server_group
	Proto Protocol // of the virtual_server; there may be one for each
}

// Service is a virtual service: an address, protocol and port, or a firewall mark.
type Service struct {
	Pos    Pos
	Origin Origin
	// Edited is when a command made or changed the entry last; zero: none did.
	Edited time.Time
	// Birth tells the entry from one of the same key that was deleted before it: both may come between two looks at the
	// Model, and what was deleted starts anew. 0 in what a file says.
	Birth uint64

	Addr  netip.Addr
	Port  uint16 // 0: all ports (persistent services only)
	Proto Protocol
	Mark  uint32 // not 0: selected by firewall mark; Addr, Port and Proto are then unset
	IPv6  bool   // family of a Mark service
	Group Group  // the virtual_server group that it is a member of

	Scheduler   string        // kernel name: "rr"
	SchedPos    Pos           // where it is named; zero: it is not
	SchedFlags  []string      // as ipvsadm -b
	Persistence time.Duration // 0: not persistent
	Granularity int           // prefix length of a template's client address; 0 stands for all bits
	// Netmask is the template's mask where no Granularity can say it: 0.0.0.0, or one with holes, which ipvsadm -M
	// takes. Normally it is unset.
	Netmask   netip.Addr
	Engine    string // persistence engine ("sip") or empty
	OnePacket bool
	// Established is how long connections live that are established, or of UDP; 0: as lvs_timeouts says. Whole seconds.
	Established     time.Duration
	ExpireQuiescent bool   // connections of a real server with weight 0 end
	Method          Method // default for the reals of a keepalived.conf
	Tunnel          Tunnel // default for the reals of a keepalived.conf

	DelayLoop    time.Duration
	Quorum       int // weight that must be up; 0 and 1 are the same
	Hysteresis   int
	QuorumUp     Command
	QuorumDown   Command
	SMTPAlert    bool   // mail when the quorum is gained or lost
	SNMPName     string // a name for people; shown with the service
	Alpha        bool   // real servers count as down until their first check succeeds
	Omega        bool   // run the down notifications at shutdown
	HASuspend    bool   // no checks while the address is not ours
	VirtualHost  string // default Host header of HTTP checks
	SorryServer  *Real
	SorryInhibit bool   // the sorry server's failure handling follows inhibit_on_failure
	Reals        []Real // in the order they were added
}

// Real is a real server of one service.
type Real struct {
	Pos          Pos
	Origin       Origin
	Edited       time.Time // by a command, as in Service
	Birth        uint64    // as in Service
	Edits        uint64    // another number each time that a command edits the entry, even to what it was; wrr begins anew then
	Addr         netip.Addr
	Port         uint16
	CheckPort    uint16 // the port that the file gives it, where the service makes it another one; 0: it does not
	Weight       int
	Method       Method
	Tunnel       Tunnel // used by TUN
	Upper, Lower uint32 // connection thresholds; 0: none
	Inhibit      bool   // failed: weight 0 instead of removal
	NotifyUp     Command
	NotifyDown   Command
	SMTPAlert    bool   // mail when it comes or goes
	SNMPName     string // a name for people; shown with the real server
	VirtualHost  string // default Host header of its HTTP checks
	Checks       []Check
}

// word returns the i-th name of a closed list.
func word(i int, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}

// OrDefault returns t with the kernel's values where nothing was asked for.
func (t Timeouts) OrDefault() Timeouts {
	for _, e := range []struct {
		d       *time.Duration
		seconds time.Duration
	}{{&t.TCP, 900}, {&t.TCPFin, 120}, {&t.UDP, 300}} {
		if *e.d == 0 {
			*e.d = e.seconds * time.Second
		}
	}
	return t
}

// Clone returns a Model that shares nothing with m that commands change: its lists of services and real servers are its
// own. Lists that nothing changes in place (checks, flags, addresses) are shared.
func (m *Model) Clone() *Model {
	c := *m
	c.Services = slices.Clone(m.Services)
	for i := range c.Services {
		c.Services[i].Reals = slices.Clone(c.Services[i].Reals)
	}
	c.Instances = slices.Clone(m.Instances)
	c.Daemons = slices.Clone(m.Daemons)
	c.Dataplane.Sysctls = slices.Clone(m.Dataplane.Sysctls)
	c.Marks = m.Marks.Clone()
	return &c
}

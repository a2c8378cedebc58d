package stats

import (
	"net/netip"
	"time"
)

// Stats is one view of everything but the connections.
type Stats struct {
	Version    string    `json:"version"`    // of dirsw
	Start      time.Time `json:"start"`      // wall clock
	Generation uint64    `json:"generation"` // of the snapshot that all workers have adopted
	Config     string    `json:"config"`     // path of the configuration file in force; empty if there is none

	Workers  []Worker  `json:"workers"`
	Ports    []Port    `json:"ports"`
	Services []Service `json:"services"`
	Drops    []Drop    `json:"drops"` // in the order of packet.DropReason; reasons with a zero count may be left out

	Forwarded uint64 `json:"forwarded"` // frames sent on
	Answered  uint64 `json:"answered"`  // RSTs and ICMP errors that the workers sent themselves
	Mended    uint64 `json:"mended"`    // frames whose unfinished transport checksum was finished
	Joined    uint64 `json:"joined"`    // datagrams put together from their fragments
	Cut       uint64 `json:"cut"`       // packets that left in fragments
	GivenBack uint64 `json:"givenBack"` // frames that were nobody's, handed to the network stack of this host; forwarded, too
	Shed      uint64 `json:"shed"`      // connections and templates that drop_entry ended

	Accelerated uint64 `json:"accelerated"` // packets that the XDP program forwarded by itself; not in Forwarded

	Connections int      `json:"connections"` // entries in the tables of all workers, templates not counted
	Quick       int      `json:"quick"`       // of the connections those that the XDP program forwards by itself
	Templates   int      `json:"templates"`   // persistence templates of all workers
	TableRoom   int      `json:"tableRoom"`   // entries that the tables can hold together
	MemoryBytes uint64   `json:"memoryBytes"` // resident set of the process
	Timeouts    Timeouts `json:"timeouts"`

	// Counters, Listed and Rate are of all services that there ever were, see Service.
	Counters
	Listed Counters `json:"listed"`
	Rate   Counters `json:"rate"`
	// Daemons are those of connection synchronisation.
	Daemons []Daemon `json:"daemons,omitempty"`
	// Sync is what they have done, in the same order; SyncRecords what the workers have.
	Sync        []Sync      `json:"sync,omitempty"`
	SyncRecords SyncRecords `json:"syncRecords"`
}

// Sync is what a daemon of connection synchronisation has done since it was started: a master has sent, a backup received.
type Sync struct {
	Master   bool          `json:"master"`
	Messages uint64        `json:"messages"`
	Records  uint64        `json:"records"`          // connections and templates in those messages, each time that they were told of
	Errors   uint64        `json:"errors"`           // messages that could not be sent
	Dropped  uint64        `json:"dropped"`          // records lost here: not sent, or more than the workers took in
	Queued   int           `json:"queued"`           // messages that wait to be sent
	From     netip.Addr    `json:"from"`             // the master that was heard last
	Last     time.Duration `json:"last"`             // how long ago; encoded in nanoseconds
	Faults   []Drop        `json:"faults,omitempty"` // messages, or entries, that were not taken; reasons with a zero count are left out
}

// SyncRecords are the workers' side of connection synchronisation, in records.
type SyncRecords struct {
	Told    uint64 `json:"told"`              // given to the master daemon
	Lost    uint64 `json:"lost"`              // that it had no room for
	Learned uint64 `json:"learned"`           // from another director, of what was not known
	Renewed uint64 `json:"renewed"`           // of what was known
	Refused []Drop `json:"refused,omitempty"` // by reason; those with a zero count are left out
}

// Daemon is a connection synchronisation daemon, as `ipvsadm -L --daemon` lists it.
type Daemon struct {
	Master    bool       `json:"master"` // sends; otherwise it receives
	Interface string     `json:"interface"`
	SyncID    int        `json:"syncID"`
	MaxLen    int        `json:"maxLen"` // bytes of a message
	Group     netip.Addr `json:"group"`
	Port      uint16     `json:"port"`
	TTL       int        `json:"ttl"`
}

// Timeouts are the three that `ipvsadm --set` knows. Encoded in nanoseconds.
type Timeouts struct {
	TCP    time.Duration `json:"tcp"`    // ESTABLISHED
	TCPFin time.Duration `json:"tcpFin"` // FIN_WAIT
	UDP    time.Duration `json:"udp"`
}

// Worker is one forwarding thread.
type Worker struct {
	ID          int    `json:"id"`
	Core        int    `json:"core"` // CPU it is pinned to; -1 if to none
	Generation  uint64 `json:"generation"`
	Connections int    `json:"connections"`
	Templates   int    `json:"templates"`
	Breaths     uint64 `json:"breaths"` // turns of the loop
	Frames      uint64 `json:"frames"`  // received by it
	Forwarded   uint64 `json:"forwarded"`
	HandedOver  uint64 `json:"handedOver"` // of those received, given to the worker that owns their client
	Lane        Lane   `json:"lane"`
}

// Lane is what the queues of one worker counted, in frames.
type Lane struct {
	Received   uint64 `json:"received"`
	Sent       uint64 `json:"sent"`
	SendFull   uint64 `json:"sendFull"`   // freed because the transmit ring had no room
	SendFailed uint64 `json:"sendFailed"` // freed because the port was gone or down
	RxDropped  uint64 `json:"rxDropped"`  // dropped by the kernel before they reached the worker
	Wakeups    uint64 `json:"wakeups"`    // system calls that started a transmission
	WakeErrors uint64 `json:"wakeErrors"` // of these, failed ones
}

// Port is a network interface that the director forwards on.
type Port struct {
	Name     string `json:"name"`
	Mode     string `json:"mode"` // where the XDP program runs: "native" or "generic"; "send only"; "local": the tap to this host
	ZeroCopy bool   `json:"zeroCopy"`
	Queues   int    `json:"queues"` // receive queues served
	Up       bool   `json:"up"`

	// Coalesce is for how long the interface gathers frames at present before it wakes up a worker. Encoded in nanoseconds.
	Coalesce time.Duration `json:"coalesce"`
}

// Drop counts frames that were not forwarded for one reason.
type Drop struct {
	Reason string `json:"reason"` // as packet.DropReason names it
	Frames uint64 `json:"frames"`
}

// Counters are the five of `ipvsadm --stats`. A direct-routed or tunnelled service sees no answers: its Out counters
// stay 0.
type Counters struct {
	Conns    uint64 `json:"conns"`
	InPkts   uint64 `json:"inPkts"`
	OutPkts  uint64 `json:"outPkts"`
	InBytes  uint64 `json:"inBytes"`
	OutBytes uint64 `json:"outBytes"`
}

// Add adds o to c.
func (c *Counters) Add(o Counters) {
	c.Conns += o.Conns
	c.InPkts += o.InPkts
	c.OutPkts += o.OutPkts
	c.InBytes += o.InBytes
	c.OutBytes += o.OutBytes
}

// Service is a virtual service.
type Service struct {
	Proto string     `json:"proto"` // "TCP", "UDP", "SCTP"; empty for a Mark service
	Addr  netip.Addr `json:"addr"`  // invalid for a Mark service
	Port  uint16     `json:"port"`  // 0: all ports
	Mark  uint32     `json:"mark"`  // not 0: selected by firewall mark
	IPv6  bool       `json:"ipv6"`  // family, also of a Mark service

	Scheduler   string        `json:"scheduler"`
	Flags       []string      `json:"flags,omitempty"` // of the scheduler, as `ipvsadm -b`
	Persistence time.Duration `json:"persistence"`     // 0: not persistent; encoded in nanoseconds
	Granularity int           `json:"granularity"`     // prefix length of a template's client address
	Netmask     netip.Addr    `json:"netmask"`         // mask of a template's client address, where no prefix length says it
	Engine      string        `json:"engine,omitempty"`
	OnePacket   bool          `json:"onePacket"`
	Origin      string        `json:"origin"` // who made it: "file" or "command"
	Whence      string        `json:"whence"` // the same in full: "lvs.conf:12:1", "command 2026-11-21 12:30:05"

	Counters          // now
	Listed   Counters `json:"listed"` // as `ipvsadm --stats` lists them: at the last of the looks every two seconds
	Rate     Counters `json:"rate"`   // a second, as `ipvsadm --rate` lists them
	Dests    []Dest   `json:"dests"`  // in the order in which the scheduler sees them
}

// Dest is a real server of one service.
type Dest struct {
	Addr   netip.Addr `json:"addr"`
	Port   uint16     `json:"port"`
	Method string     `json:"method"` // as `ipvsadm -L` names it: "Route", "Tunnel", "Masq", "Local"
	Weight int        `json:"weight"`
	Upper  uint32     `json:"upper"` // connection thresholds; 0: none
	Lower  uint32     `json:"lower"`

	Active     int `json:"active"`     // connections
	Inactive   int `json:"inactive"`   // connections
	Persistent int `json:"persistent"` // templates

	Counters
	Listed  Counters `json:"listed"` // as in Service
	Rate    Counters `json:"rate"`
	NextHop string   `json:"nextHop"` // the way there in words: "via eth1 to 02:00:00:00:00:01", or why there is none
	Local   bool     `json:"local"`   // an address of the director itself
	Tunnel  *Tunnel  `json:"tunnel,omitempty"`
	Origin  string   `json:"origin"` // as in Service
	Whence  string   `json:"whence"`
}

// Tunnel is how packets are wrapped on their way to a real server.
type Tunnel struct {
	Type     string `json:"type"`           // "ipip", "gue" or "gre"
	Port     uint16 `json:"port,omitempty"` // of gue
	Checksum string `json:"checksum"`       // "nocsum", "csum" or "remcsum"
}

// Synced is the flag of a connection that another director has told of.
const Synced = "synced"

// Conn is an entry of a connection table.
type Conn struct {
	Proto    string         `json:"proto"`
	Client   netip.AddrPort `json:"client"` // port 0 in a template; the address is masked by the granularity
	Virtual  netip.AddrPort `json:"virtual"`
	Dest     netip.AddrPort `json:"dest"`
	State    string         `json:"state"` // kernel's name: "ESTABLISHED"; a template's is "NONE" or "ASSURED"
	Left     time.Duration  `json:"left"`  // until the entry ends if no further packet comes; encoded in nanoseconds
	Template bool           `json:"template"`
	Flags    []string       `json:"flags,omitempty"` // "inactive", "no-server" (its real server was removed), Synced
	Worker   int            `json:"worker"`

	Engine     string `json:"engine,omitempty"`     // persistence engine of a template
	EngineData string `json:"engineData,omitempty"` // what it knows its clients by: a Call-ID
}

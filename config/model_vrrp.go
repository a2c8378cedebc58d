package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// VRRP is what stands around the vrrp_instances. Every default is filled in: an Instance has what the vrrp_ settings of
// global_defs (Globals.VRRP) gave it.
type VRRP struct {
	Groups    []SyncGroup
	Scripts   []Script
	Files     []TrackFile
	Processes []TrackProcess
	BFDs      []BFD
	Arbiters  []Arbiter
	Delays    []InterfaceDelay
	Pacing    []GARPGroup
	Static    Static
}

// Instance is a vrrp_instance. What keepalived corrects while it reads (an interval that the version cannot say,
// nopreempt beside state MASTER) is corrected here too, with a note.
type Instance struct {
	Pos       Pos
	Name      string
	State     string // MASTER or BACKUP: what it begins as
	Interface string // empty: unicast without one
	VRF       string // of unicast without an interface; empty: none
	RouterID  uint8  // 0: not given
	Priority  uint8  // 255: the owner of the addresses
	Version   int    // 2 or 3
	Strict    bool   // nothing besides the RFC; what follows from it is in the other fields
	Accept    bool   // packets to the addresses are taken though the priority is below 255

	AdvertInt    time.Duration
	DownAdverts  int // adverts that may be missing until the master counts as gone: 3
	NoPreempt    bool
	PreemptDelay time.Duration
	// StallPriority is not 0 where a stalled master steps down (timer_expired_backup): the highest priority that a backup
	// has, which says how soon one can have taken over.
	StallPriority uint8
	// SkipAddressCheck leaves the addresses of an advert unread if the one before came from the same master.
	SkipAddressCheck bool
	LowerSilent      bool // lower_prio_no_advert: an advert of lower priority is not answered
	HigherAnswer     bool // higher_prio_send_advert: one last advert before yielding to a higher priority
	OwnerIgnores     bool // owner_ignore_adverts: with priority 255 the adverts of others are not read
	ChecksumAsV2     bool // v3_checksum_as_v2: the version 3 checksum of IPv4 leaves the pseudo header out

	AuthType string // "", PASS or AH; version 2 only
	AuthPass string // at most 8 bytes count

	McastGroup   netip.Addr // where adverts go to without UnicastPeers
	McastSrcIP   netip.Addr // unset: the interface's own
	UnicastSrcIP netip.Addr // unset: the interface's own
	UnicastPeers []Peer
	UnicastTTL   int  // of what is sent; 255
	CheckPeers   bool // only adverts of UnicastPeers count
	FaultNoPeer  bool // unicast_fault_no_peer: without peers it is in FAULT instead of multicasting
	TrackSrcIP   bool // FAULT while the source address is not there
	// UnicastOldSum is the checksum of version 3 in unicast: as keepalived 1.3.6 and before had it.
	UnicastOldSum OldSum
	ReceiveBuffer int // bytes of the socket's buffer; 0: the system's

	VMAC VMAC
	Garp GarpTiming // when the addresses are announced

	Addresses []VirtualAddress // an empty list is allowed with NoAddresses
	// NoAddresses says that there are none on purpose.
	NoAddresses        bool
	PromoteSecondaries bool
	Routes             []Route
	Rules              []Rule

	Tracks           []Track
	DontTrackPrimary bool // Interface may be down

	Notify    Notify
	SMTPAlert bool

	Heartbeats       []Heartbeat // further ways for the same adverts
	SplitBrainScript Command     // run when two masters are seen
	ProbeAddresses   bool        // as master, ask now and then by ARP who else answers for the addresses
}

// Is6 reports whether the instance is one of IPv6: its first address in adverts says so, or, where there is none, the
// unicast peers and sources.
func (in *Instance) Is6() bool {
	for _, a := range in.Addresses {
		if !a.Excluded {
			return a.Prefix.Addr().Is6()
		}
	}
	for _, p := range in.UnicastPeers {
		return p.Addr.Is6()
	}
	for _, a := range []netip.Addr{in.UnicastSrcIP, in.McastSrcIP} {
		if a.IsValid() {
			return a.Is6()
		}
	}
	return in.McastGroup.Is6()
}

// OldSum is whether old checksums of unicast VRRPv3 are used.
type OldSum uint8

// The choices of old_unicast_checksum.
const (
	OldSumAuto  OldSum = iota // sent when the peer is seen to use them
	OldSumOn                  // always
	OldSumNever               // never
)

// String returns "auto", "on" or "never".
func (o OldSum) String() string { return word(int(o), "auto", "on", "never") }

// Peer is a line of unicast_peer.
type Peer struct {
	Pos            Pos
	Addr           netip.Addr
	MinTTL, MaxTTL int // of what is received: 0 and 255 take all
}

// Heartbeat is a second way for the adverts of an instance: out of another interface by multicast, or to unicast peers.
// What comes in by it counts as what comes in by the first way.
type Heartbeat struct {
	Pos       Pos
	Interface string     // empty: as the routes say, to Peers only
	SrcIP     netip.Addr // unset: the interface's own
	Peers     []Peer     // empty: multicast
}

// VMAC is whether the addresses have a MAC of their own, on a macvlan; or are on an ipvlan, which has the interface's.
type VMAC struct {
	Use        bool
	Name       string // of the macvlan or ipvlan
	MAC        MAC    // zero: 00:00:5e:00:01:VRID, or 00:00:5e:00:02:VRID of IPv6
	XmitBase   bool   // adverts leave and come by the interface itself
	OtherLinks bool   // use_vmac_addr: one for each other interface that has addresses too
	Group      uint32 // group of interfaces that it is in; 0: the default one
	IPVLAN     bool
	Mode       string       // of an ipvlan: bridge, private or vepa
	Addr       netip.Prefix // of an ipvlan; adverts of IPv4 come from it
}

// MAC is a link layer address, the first byte first. The zero value is none.
type MAC [6]byte

// String returns "00:00:5e:00:01:33".
func (m MAC) String() string {
	parts := make([]string, len(m))
	for i, b := range m {
		parts[i] = fmt.Sprintf("%02x", b)
	}
	return strings.Join(parts, ":")
}

// ParseMAC reads six bytes in hexadecimal, set apart by colons.
func ParseMAC(s string) (m MAC, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) != len(m) {
		return MAC{}, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) > 2 {
			return MAC{}, false
		}
		m[i] = byte(n)
	}
	return m, true
}

// VirtualAddress is a line of virtual_ipaddress, of virtual_ipaddress_excluded or of static_ipaddress.
type VirtualAddress struct {
	Pos      Pos
	Prefix   netip.Prefix // /32 or /128 when the line names no length
	Dev      string       // empty: the instance's interface
	Label    string       // of IPv4
	Scope    string       // global, site, link, host, nowhere or a number; empty: global
	Excluded bool         // from virtual_ipaddress_excluded: held, but not in adverts

	Broadcast     netip.Addr   // of IPv4; unset: none
	Peer          netip.Prefix // of the other end of a point to point link; Prefix is a host's then
	UseVMAC       bool         // on a macvlan over Dev, with the virtual router's MAC
	VMAC          string       // the name of that; empty: the instance's own, or none
	Home          bool         // of IPv6: the home address (RFC 6275)
	NoDAD         bool         // of IPv6: used at once, without asking whether somebody has it
	ManageTemp    bool         // of IPv6: mngtmpaddr, a template of temporary addresses
	NoPrefixRoute bool
	AutoJoin      bool          // of multicast groups
	NoTrack       bool          // its loss is not repaired, and is no reason to step down
	Deprecated    bool          // of IPv6: not a source of new connections; a /128 is so where preferred_lft does not say otherwise
	PreferredLft  time.Duration // of IPv6: until it is deprecated; 0: for ever
	TrackGroup    string        // of static_ipaddress; has no effect
}

// TrackKind is what a Track looks at.
type TrackKind uint8

// The kinds of what is tracked.
const (
	TrackInterface TrackKind = iota
	TrackScript
	TrackOfFile
	TrackOfProcess
	TrackBFD
	TrackArbiter
)

// String returns the keyword of the block: "track_script".
func (k TrackKind) String() string {
	return word(int(k), "track_interface", "track_script", "track_file", "track_process", "track_bfd", "track_arbiter")
}

// Track is a line of a track_ block. The weight of what is tracked is filled in where the line names none.
type Track struct {
	Pos  Pos
	Kind TrackKind
	Name string // of the interface, script, file, process, BFD session or arbiter
	// Weight 0: FAULT while it is down. Positive: added to the priority while it is up. Negative: added while it is down.
	// The content of a file is multiplied by it; with 0, content other than 0 is FAULT.
	Weight  int
	Reverse bool // up and down are exchanged
	// Takeover, of BFD and dirsw's own: the session is one with the master. When it ends the backup takes over without waiting
	// for adverts that are missing; weight and state of the session do not matter otherwise.
	Takeover bool
}

// Notify is the programs that are told of changes of an instance or a sync group, and what else the FIFOs get.
type Notify struct {
	Master, Backup, Fault, Stop Command
	Any                         Command // notify: run after the others
	LowerPriority               Command // notify_master_rx_lower_pri, of instances
	Deleted                     Command // notify_deleted, of instances
	TellDeleted                 bool    // a reload that removes it says DELETED instead of FAULT
	PriorityChanges             bool    // notify_priority_changes, to the FIFOs
}

// SyncGroup is a vrrp_sync_group: instances that change their state together.
type SyncGroup struct {
	Pos       Pos
	Name      string
	Instances []Ref
	Tracks    []Track
	// Weights allows what the instances track to have weights (sync_group_tracking_weight).
	Weights   bool
	Notify    Notify
	SMTPAlert bool
}

// Ref names something that stands elsewhere in the file.
type Ref struct {
	Pos  Pos
	Name string
}

// Script is a vrrp_script.
type Script struct {
	Pos        Pos
	Name       string
	Command    Command
	Interval   time.Duration // from start to start; 1 s
	Timeout    time.Duration // the Interval if not given
	Weight     int           // -253 to 253, see Track
	Reverse    bool
	Rise, Fall int  // in a row; 1
	InitFail   bool // counts as failed until it succeeded
}

// TrackFile is a track_file: a number in a file.
type TrackFile struct {
	Pos     Pos
	Name    string
	Path    string
	Weight  int // -254 to 254; 1
	Reverse bool
	Init    FileInit
	Value   int // that Init writes
}

// FileInit is whether a tracked file is made at the start.
type FileInit uint8

// The choices of init_file.
const (
	FileInitNo FileInit = iota
	FileInitMissing
	FileInitAlways // overwrite
)

// String returns "no", "missing" or "always".
func (f FileInit) String() string { return word(int(f), "no", "missing", "always") }

// TrackProcess is a vrrp_track_process: whether processes run.
type TrackProcess struct {
	Pos         Pos
	Name        string
	Command     string   // the name of the executable, with or without its path
	Params      []string // its arguments; they are compared if Match says so
	Match       ParamMatch
	Weight      int // -254 to 254
	Reverse     bool
	Quorum      int           // at least so many: 1
	QuorumMax   int           // and at most so many; NoQuorumMax: no limit
	UpDelay     time.Duration // fork_delay
	DownDelay   time.Duration // terminate_delay
	FullCommand bool          // Command is compared with the command line, not with the short name of the process
}

// NoQuorumMax is the QuorumMax of a TrackProcess that has no limit.
const NoQuorumMax = -1

// ParamMatch is how the arguments of a process are compared.
type ParamMatch uint8

// The choices of param_match.
const (
	ParamAny     ParamMatch = iota // not at all: none are given
	ParamExact                     // all of them, and no more
	ParamInitial                   // the first ones, and the last of them may go on
	ParamPartial                   // the first ones, and there may be more
)

// String returns "any", "exact", "initial" or "partial".
func (p ParamMatch) String() string { return word(int(p), "any", "exact", "initial", "partial") }

// BFD is a bfd_instance: a session of RFC 5880 with a neighbour.
type BFD struct {
	Pos        Pos
	Name       string
	Neighbor   netip.Addr
	Source     netip.Addr    // unset: as the routes say
	MinRx      time.Duration // RequiredMinRxInterval: 10 ms
	MinTx      time.Duration // DesiredMinTxInterval: 10 ms
	IdleTx     time.Duration // DesiredMinTxInterval while not up: 1 s
	Multiplier int           // 5
	Passive    bool
	TTL        int // of what is sent, TTL or hop limit: 255, or 64 of IPv6
	MaxHops    int // by which the TTL of what is received may be less than TTL; 255: any
	Multihop   bool
	Weight     int // -253 to 253
	Reverse    bool
	NoVRRP     bool // `checker` alone: not for instances
	NoChecker  bool // `vrrp` alone: not for health checks
}

// Arbiter is a vrrp_arbiter, dirsw's own: addresses that answer pings as long as this director's network works. It is up
// while at least Quorum of them answer.
type Arbiter struct {
	Pos        Pos
	Name       string
	Addresses  []netip.Addr
	Quorum     int // the majority of them if not given
	Interval   time.Duration
	Timeout    time.Duration // for one answer
	Rise, Fall int           // rounds in a row
	Weight     int           // -253 to 253, see Track
	Reverse    bool
}

// InterfaceDelay is a line of interface_up_down_delays: how long a link must be down, or up, until that counts.
type InterfaceDelay struct {
	Pos       Pos
	Interface string
	Down, Up  time.Duration
}

// GARPGroup is a garp_group: how far apart announcements are on some interfaces together.
type GARPGroup struct {
	Pos        Pos
	ARP        time.Duration // between two gratuitous ARPs; 0: nothing is waited for
	NA         time.Duration // between two unsolicited neighbour advertisements
	Interfaces []string
}

// Static is what is set on the host while dirsw runs, whoever is master.
type Static struct {
	Addresses []VirtualAddress // Dev is filled in
	Routes    []Route
	Rules     []Rule
}

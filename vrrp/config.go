package vrrp

import (
	"net/netip"
	"time"
)

// Plan is everything that a Runner is to do: what Apply brings about. It is not changed after it was given away.
type Plan struct {
	Instances []Config // names are unique
	Groups    []GroupConfig

	StartupDelay time.Duration // vrrp_startup_delay: nothing is sent or believed until it is over; counts from the first Apply
	Pacing       []Pacing      // vrrp_garp_interval, vrrp_gna_interval, garp_group
	LogUnknown   bool          // log_unknown_vrids: tell of adverts whose VRID no instance has
	Priority     int           // vrrp_rt_priority: 1 to 99; 0: DefaultRTPriority; negative: no real time
	CPUs         []int         // vrrp_cpu_affinity; empty: all
	KeepVIPs     bool          // --dont-release-vrrp: a stop leaves addresses, routes and rules
}

// DefaultRTPriority is the SCHED_RR priority of the Runner's thread when the configuration names none.
const DefaultRTPriority = 50

// Pacing is a distance between announcements. Links of one Pacing share it: a switch that drops bursts sees the sum.
type Pacing struct {
	Links []string      // empty: each link that no other Pacing names, by itself
	ARP   time.Duration // between gratuitous ARP requests; 0: none
	NA    time.Duration // between unsolicited neighbour advertisements; 0: none
}

// Config is a vrrp_instance. Begin with Defaults, whose values are keepalived 2.2.7's.
type Config struct {
	Name      string
	VRID      uint8
	Version   uint8 // 2 or 3
	IPv6      bool
	Interface string // where adverts go, or what the VMAC stands on; empty: unicast by the routing table
	VMAC      *VMAC  // nil: none
	VMACs     []VMAC // of addresses that are on others
	XmitBase  bool   // vmac_xmit_base: adverts leave by Interface, not by the VMAC

	Master   bool  // `state MASTER`; else BACKUP
	Priority uint8 // base priority
	Interval time.Duration
	Auth     AuthType
	Password [authLen]byte // for AuthPass and AuthAH, padded with zeros

	Source    netip.Addr // mcast_src_ip or unicast_src_ip; not valid: the interface's
	Group     netip.Addr // multicast group; not valid: unicast to Peers
	Peers     []Peer     // unicast_peer
	TTL       int        // unicast_ttl; 0: 255
	CheckPeer bool       // check_unicast_src
	VRF       string
	RxBuf     int    // kernel_rx_buf_size
	Second    []Path // further ways to send and hear the same adverts: a second heartbeat

	Addresses []Address // virtual_ipaddress: in adverts, of the family, at most MaxAddrs
	Excluded  []Address // virtual_ipaddress_excluded: of either family
	Routes    []Extra
	Rules     []Extra

	NoPreempt         bool
	PreemptDelay      time.Duration
	DownTimerAdverts  int  // down_timer_adverts
	Strict            bool // strict_mode: what it forbids is the validator's matter; here it is only reported
	NoAccept          bool // no_accept: the data plane drops what is not balanced; here it is only reported
	SkipCheckAdvAddr  bool // skip_check_adv_addr
	LowerPrioNoAdvert bool // lower_prio_no_advert
	HigherPrioAdvert  bool // higher_prio_send_advert
	OwnerIgnore       bool // owner_ignore_adverts
	ChecksumAsV2      bool // v3_checksum_as_v2
	OldUnicast        bool // old_unicast_checksum: version 3 unicast with the checksum of the multicast group
	NeverOldUnicast   bool // old_unicast_checksum never: such a checksum is not learnt from a peer
	DontTrackPrimary  bool // dont_track_primary
	FaultNoPeer       bool // unicast_fault_no_peer, and there are no peers: FAULT for good
	TrackSource       bool // track_src_ip: without the source address on a link, FAULT
	TimerExpired      bool // timer_expired_backup: a master that stalled longer than its backups wait steps down
	OtherPriority     int  // its argument: the highest priority among the others; 0: 254
	PriorityNotices   bool // notify_priority_changes

	GARP  GARP
	Track []Track
	// How long a link is down, or up, before that counts; 0: at once.
	Debounce, DebounceUp time.Duration
}

// GARP is when the addresses of a master are announced. A delay of 0 means that there is no second burst.
type GARP struct {
	Repeat        int           // announcements of each address in a burst, on becoming master and in the second burst
	Delay         time.Duration // until the second burst
	Refresh       time.Duration // between bursts while master; 0: none
	RefreshRepeat int
	LowerRepeat   int           // in a burst after an advert of lower priority; 0: none
	LowerDelay    time.Duration // until the second burst after such an advert
	ExtraIf       time.Duration // garp_extra_if: between single announcements on the other links of addresses; 0: none
	ExtraAll      bool          // on all such links, not only on VMACs
}

// Defaults returns a Config with the defaults of keepalived 2.2.7: version 2 over IPv4, priority 100, one advert in a
// second, the takeover after three, preemption, and five announcements of each address at once and after 5 s.
func Defaults() Config {
	return Config{
		Version: 2, Priority: 100, Interval: time.Second, DownTimerAdverts: 3, Group: netip.AddrFrom4([4]byte{224, 0, 0, 18}),
		GARP: GARP{Repeat: 5, Delay: 5 * time.Second, RefreshRepeat: 1, LowerRepeat: 5, LowerDelay: 5 * time.Second},
	}
}

// Group6 is the multicast group of VRRP over IPv6, ff02::12 (RFC 9568, section 5.1.2.2).
func Group6() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12}) }

// Group4 is the multicast group of VRRP over IPv4, 224.0.0.18 (RFC 9568, section 5.1.1.2).
func Group4() netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, 18}) }

// Unicast reports whether the instance speaks to peers instead of a group.
func (c *Config) Unicast() bool { return !c.Group.IsValid() }

// OwnLink is the link that virtual addresses without a link of their own go to.
func (c *Config) OwnLink() string {
	if c.VMAC != nil {
		return c.VMAC.Name
	}
	return c.Interface
}

// AdvertLink is the link by which adverts leave.
func (c *Config) AdvertLink() string {
	if c.VMAC != nil && !c.XmitBase {
		return c.VMAC.Name
	}
	return c.Interface
}

// Paths returns the ways of the instance's adverts, the first one being the one that an ordinary configuration has.
func (c *Config) Paths() []Path {
	p := Path{
		Link: c.AdvertLink(), VRF: c.VRF, IPv6: c.IPv6, AH: c.Auth == AuthAH, Source: c.Source, Group: c.Group,
		Peers: c.Peers, TTL: c.TTL, RxBuf: c.RxBuf,
	}
	if p.Link != c.Interface {
		p.Base = c.Interface
	}
	return append([]Path{p}, c.Second...)
}

// macvlans are all that the instance has.
func (c *Config) macvlans() []VMAC {
	if c.VMAC == nil {
		return c.VMACs
	}
	return append([]VMAC{*c.VMAC}, c.VMACs...)
}

// linkOf is the link of an address.
func (c *Config) linkOf(a *Address) string {
	if a.Link != "" {
		return a.Link
	}
	return c.OwnLink()
}

// sameSocket compares everything but the peers, which no socket knows of.
func (p *Path) sameSocket(o *Path) bool {
	return p.Link == o.Link && p.VRF == o.VRF && p.IPv6 == o.IPv6 && p.AH == o.AH && p.Source == o.Source &&
		p.Base == o.Base && p.Group == o.Group && p.TTL == o.TTL && p.RxBuf == o.RxBuf
}

// sameVMAC compares what two configurations say of their VMAC.
func sameVMAC(a, b *VMAC) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// GroupConfig is a vrrp_sync_group: instances that are master together or not at all.
type GroupConfig struct {
	Name    string
	Members []string // names of instances
	Track   []Track  // of all members
	// TrackingWeight lets what members track change their priorities (sync_group_tracking_weight, and the older
	// global_tracking). Without it only weights of processes do, and those of the group's own Track.
	TrackingWeight bool
}

// TrackKind is a kind of thing that an instance depends on.
type TrackKind uint8

// Kinds of trackers.
const (
	TrackInterface TrackKind = iota + 1
	TrackScript
	TrackFile
	TrackProcess
	TrackBFD
	TrackArbiter
	numTrackKinds
)

// String returns the word that the configuration has for it.
func (k TrackKind) String() string {
	names := [numTrackKinds]string{"", "interface", "script", "file", "process", "bfd", "arbiter"}
	if k > 0 && k < numTrackKinds {
		return names[k]
	}
	return "invalid"
}

// Track is a line of a track_… block: what the state of the thing means for the instance. A weight of 0 means that the
// instance is in FAULT while the thing is down. A weight above 0 is added to the priority while it is up, one below 0
// while it is down. A file's value is multiplied by the weight, and FAULT if that is -254 or less.
type Track struct {
	Kind   TrackKind
	Name   string
	Weight int
	// Takeover, of BFD: the session is with the master. When it ends a backup does not wait for adverts that are missing, but
	// for its skew in takeoverSkew alone. Neither weight nor FAULT follow from it.
	Takeover bool
	Reverse  bool // up means down and the reverse; a weight is subtracted
}

// TrackState is what is known of a tracked thing.
type TrackState struct {
	Known bool // of scripts: it has run since the start, or its configuration says how it begins (init_fail); of files: of no matter
	Up    bool
	Value int // of a file
}

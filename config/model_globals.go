package config

import (
	"net/netip"
	"time"
)

// Switch is a setting that may be left open.
type Switch uint8

// The positions.
const (
	Unset Switch = iota
	On
	Off
)

// String returns "", "on" or "off".
func (s Switch) String() string { return word(int(s), "", "on", "off") }

// Or returns whether it is on, and what otherwise says where it is open.
func (s Switch) Or(otherwise bool) bool {
	if s == Unset {
		return otherwise
	}
	return s == On
}

// Globals is the block global_defs. What other blocks take from it is in them, too.
type Globals struct {
	RouterID string // empty: the host's name

	NotificationEmail     []string
	NotificationEmailFrom string // empty: keepalived@ and the host's name
	SMTPServer            string // name or address; empty: none
	SMTPPort              uint16
	SMTPHeloName          string // empty: the host's name
	SMTPConnectTimeout    time.Duration
	SMTPAlert             Switch // what smtp_alert is where nothing nearer says it
	SMTPAlertVRRP         Switch
	SMTPAlertChecker      Switch
	NoEmailFaults         bool
	NoCheckerEmails       bool // mail only when a real server is added or removed

	Timeouts       Timeouts
	LogAllFailures bool // default of the checks
	Scripts        ScriptGlobals
	FIFO           FIFO // of all events
	FIFOVRRP       FIFO
	FIFOLVS        FIFO
	RSInitNotifies bool // notify_up and notify_down run for the first state, too
	FIFOReload     bool // a reload writes the states of all instances and groups to the pipes
	VRRP           VRRPGlobals
	Interfaces     InterfaceGlobals
	Flush          bool   // at start, drop the services that commands made
	FlushOnStop    string // empty, "all" or "VS"
	Sync           *SyncGlobals
	Dump           DumpGlobals
}

// ScriptGlobals is what global_defs says of programs that are run.
type ScriptGlobals struct {
	User, Group         string // script_user; empty: keepalived_script where that user exists, else root
	Security            bool   // enable_script_security: no program that others than root can write is run as root
	SupplementaryGroups bool
	Startup             Command
	StartupTimeout      time.Duration
	Shutdown            Command
	ShutdownTimeout     time.Duration
}

// FIFO is a named pipe that state changes are written to. The zero value is none.
type FIFO struct {
	Path        string
	User, Group string  // its owners; empty: those of the process
	Script      Command // started to read it
}

// VRRPGlobals is what global_defs says of VRRP: defaults of the instances, and what concerns all of them.
type VRRPGlobals struct {
	Group4, Group6        netip.Addr // multicast groups
	Version               int        // 2 or 3; an instance of IPv6 has 3 in any case
	Garp                  GarpTiming
	GarpInterval          time.Duration // between two gratuitous ARPs on one interface
	GNAInterval           time.Duration // and two unsolicited neighbour advertisements
	MinGarp               bool          // one announcement, not repeated
	DownTimerAdverts      int           // missed adverts after which the master is down
	LowerPrioNoAdvert     Switch        // no answer to an advert of less priority; open: as Strict
	HigherPrioSendAdvert  bool
	CheckUnicastSrc       bool
	SkipCheckAdvAddr      bool
	Strict                bool
	ChecksumAsV2          bool // VRRPv3 over IPv4 without the pseudo-header
	OwnerIgnoreAdverts    bool
	NotifyPriorityChanges bool
	StartupDelay          time.Duration
	DelayAfterBoot        time.Duration // until the host's uptime is so long
	LogUnknownVRIDs       bool
	VMACPrefix            string
	VMACAddrPrefix        string // empty: as VMACPrefix
	RealTime              int    // priority 1 to 99; 0: chosen by dirsw
	NoSwap                bool
	CPUs                  []int // the thread runs on; nil: any
}

// GarpTiming is when addresses are announced, and how often.
type GarpTiming struct {
	Delay           time.Duration // from becoming master to the second burst
	Repeat          int           // announcements of a burst
	Refresh         time.Duration // between announcements while master; 0: none
	RefreshRepeat   int
	LowerPrioDelay  time.Duration // the same after an advert of lower priority
	LowerPrioRepeat int
	Extra           time.Duration // between announcements on other interfaces that hold addresses (garp_extra_if); 0: none
	ExtraAll        bool          // on all of them, not only on macvlans
}

// InterfaceGlobals is what global_defs says of interfaces.
type InterfaceGlobals struct {
	Dynamic          bool // they may appear later
	AllowChanges     bool // and change their type
	Default          string
	DisableLocalIGMP bool
}

// SyncGlobals is lvs_sync_daemon. Zero: the default of the kernel.
type SyncGlobals struct {
	Pos       Pos
	Interface string
	Instance  string // whose state says the role
	ID        int    // -1: the instance's virtual_router_id
	MaxLen    int
	Port      uint16
	TTL       int
	Group     netip.Addr
}

// DumpGlobals is where states and counters are written on request.
type DumpGlobals struct {
	State, Stats, JSON string // files; empty: keepalived's
	JSONVersion        int    // 1 or 2
	UseInstance        bool   // the name of the instance is part of the names
}

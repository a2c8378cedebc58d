package vrrp

import (
	"fmt"
	"net/netip"
	"time"

	"dirsw/clock"
)

// State is the state of an instance or of a group. The numbers are those of keepalived's dump.
type State uint8

// States. Stop and Deleted occur in notices only.
const (
	Init    State = 0 // not started, or a script has not run yet
	Backup  State = 1
	Master  State = 2
	Fault   State = 3
	Stop    State = 97
	Deleted State = 98
)

// String returns the word that keepalived's scripts and FIFOs get.
func (s State) String() string {
	switch s {
	case Init:
		return "INIT"
	case Backup:
		return "BACKUP"
	case Master:
		return "MASTER"
	case Fault:
		return "FAULT"
	case Stop:
		return "STOP"
	case Deleted:
		return "DELETED"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// NoticeKind is what a Notice tells.
type NoticeKind uint8

// Kinds of notices.
const (
	// StateChanged: an instance or a group entered State. Stop and Deleted come once, at the end.
	StateChanged NoticeKind = iota + 1
	// PriorityChanged: the effective priority of an instance is another one (notify_priority_changes).
	PriorityChanged
	// LowerPriority: a master heard another master of lower priority (notify_master_rx_lower_pri): the other one took over
	// although we are alive, so there were two for a time.
	LowerPriority
	// SplitBrain: a master heard another master, of any priority. Sent once for each contact.
	SplitBrain
	// SplitHealed: the contact ended: one of the two is master, and has announced its addresses.
	SplitHealed
	// Conflict: somebody uses the VRID of an instance with other settings; Reject says which.
	Conflict
	// Stalled: an advert left so late that the others may have taken over.
	Stalled
	// StateNow: what an instance or a group is in, for who asked with Runner.Repeat.
	StateNow
	numNotices
)

// String names the kind.
func (k NoticeKind) String() string {
	names := [numNotices]string{"", "state", "priority", "lower-priority", "split-brain", "split-healed", "conflict", "stalled", "state-now"}
	if k > 0 && k < numNotices {
		return names[k]
	}
	return "invalid"
}

// Notice is what others are told. It is passed on the Runner's thread, which must not wait for anybody.
type Notice struct {
	Kind     NoticeKind
	Group    bool // a vrrp_sync_group, else a vrrp_instance
	Name     string
	Old, New State
	Priority uint8 // effective; 0 for groups
	At       clock.Mono
	Peer     netip.Addr // of LowerPriority, SplitBrain and Conflict: who was heard
	Reject   Reject     // of Conflict
	Late     time.Duration
	Why      string // in a few words, for a log line or a mail
}

// Stats counts what happened to an instance since it was created. The names are those of keepalived's dump where it
// has the counter.
type Stats struct {
	AdvertRcvd    uint64 // accepted by all checks
	AdvertSent    uint64
	BecomeMaster  uint64
	ReleaseMaster uint64
	PriZeroRcvd   uint64
	PriZeroSent   uint64
	AddrListErr   uint64 // adverts whose addresses are not all ours; only those with none of ours are rejected
	IntervalErr   uint64 // version 3: adverts with another interval than ours, which is learnt
	SplitBrain    uint64 // adverts of lower priority heard while master
	SendErrors    uint64
	EffectErrors  uint64 // addresses, routes, rules that could not be set or removed
	Rejects       [NumRejects]uint64

	Announced uint64 // gratuitous ARP requests and unsolicited neighbour advertisements
	Late      Lateness
}

// Lateness is how late adverts left: the time between when one was due and when it was handed to the kernel.
type Lateness struct {
	Max    time.Duration
	Last   time.Duration
	Stalls uint64 // adverts that were later than a quarter of the interval
}

// InstanceState is everything that a listing shows of an instance.
type InstanceState struct {
	Config         Config
	Group          string // the sync group; empty: none
	State          State
	Want           State
	BasePriority   uint8
	Priority       uint8 // effective
	TotalPriority  int   // before it was limited to 1..254
	VIPSet         bool
	SplitBrain     bool       // while master, another master was heard within the last Master_Down_Interval
	Source         netip.Addr // of our adverts
	Quiet          []string   // ways by which a backup does not hear its master, while it does by another
	Master         netip.Addr // who was heard last as master
	MasterPriority uint8
	MasterInterval time.Duration
	LastTransition clock.Mono // 0: none
	Faults         []string   // why the instance is in FAULT
	Tracks         []TrackReport
	Stats          Stats
}

// TrackReport is a tracked thing as an instance sees it.
type TrackReport struct {
	Track Track
	State TrackState
}

// GroupState is what a listing shows of a sync group.
type GroupState struct {
	Config GroupConfig
	State  State
}

package config

import (
	"fmt"
	"net/netip"
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
	Globals   Globals
	Dataplane Dataplane
	Services  []Service
	Instances []Instance
}

// Globals is the block global_defs.
type Globals struct {
	RouterID              string
	NotificationEmail     []string
	NotificationEmailFrom string
	SMTPServer            string
	SMTPConnectTimeout    time.Duration
}

// Dataplane is the block dataplane, dirsw's own. Command line flags win over it.
type Dataplane struct {
	Pos         Pos
	Interfaces  []string // empty: chosen from the vrrp instances and the routes
	Queues      int      // queues to serve on each interface; 0: all
	Cores       []int    // one per worker; empty: not pinned
	Mode        Mode
	ZeroCopy    ZeroCopy
	Wait        Wait
	Connections int  // room in the connection table; 0: default
	Replace     bool // displace a foreign XDP program
}

// Mode is where the XDP program runs.
type Mode uint8

// The modes.
const (
	ModeAuto Mode = iota
	ModeNative
	ModeGeneric
)

// ZeroCopy is whether the driver may use the frames in place.
type ZeroCopy uint8

// The choices.
const (
	ZeroCopyAuto ZeroCopy = iota
	ZeroCopyOn
	ZeroCopyOff
)

// Wait is what a worker does when there is no traffic.
type Wait uint8

// The choices: sleep in poll(2), or spin on the rings.
const (
	WaitAuto Wait = iota
	WaitSleep
	WaitBusy
)

// Protocol is an IP protocol number.
type Protocol uint8

// The protocols of virtual services.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// Method is how a frame reaches a real server.
type Method uint8

// The forwarding methods, with ipvsadm's options -g, -i, -m.
const (
	DR Method = iota
	TUN
	NAT
)

// Origin says who owns an entry: a reload of the file replaces what came from the file only.
type Origin uint8

// The origins.
const (
	FromFile Origin = iota
	FromCommand
)

// Service is a virtual service: an address, protocol and port, or a firewall mark.
type Service struct {
	Pos    Pos
	Origin Origin

	Addr  netip.Addr
	Port  uint16 // 0: all ports (persistent services only)
	Proto Protocol
	Mark  uint32 // not 0: selected by firewall mark; Addr, Port and Proto are then unset
	IPv6  bool   // family of a Mark service

	Scheduler   string        // kernel name: "rr"
	SchedFlags  []string      // as ipvsadm -b
	Persistence time.Duration // 0: not persistent
	Granularity int           // prefix length of a template's client address; 0 stands for all bits
	Engine      string        // persistence engine ("sip") or empty
	OnePacket   bool
	Method      Method // default for the reals of a keepalived.conf

	DelayLoop   time.Duration
	Quorum      int
	Hysteresis  int
	SorryServer *Real
	Reals       []Real // in the order they were added
}

// Real is a real server of one service.
type Real struct {
	Pos          Pos
	Addr         netip.Addr
	Port         uint16
	Weight       int
	Method       Method
	Upper, Lower uint32 // connection thresholds; 0: none
	Checks       []Check
}

// CheckKind names a health check.
type CheckKind string

// The checks that are understood.
const (
	TCPCheck CheckKind = "TCP_CHECK"
)

// Check is a health check of a real server.
type Check struct {
	Pos              Pos
	Kind             CheckKind
	ConnectIP        netip.Addr // unset: the real server's
	ConnectPort      uint16     // 0: the real server's
	BindTo           netip.Addr
	ConnectTimeout   time.Duration
	Retry            int
	DelayBeforeRetry time.Duration
}

// Instance is a vrrp_instance.
type Instance struct {
	Pos        Pos
	Name       string
	State      string // MASTER or BACKUP
	Interface  string
	RouterID   uint8
	Priority   uint8
	AdvertInt  time.Duration
	AuthType   string // "", PASS or AH
	AuthPass   string
	NoPreempt  bool
	McastSrcIP netip.Addr
	Addresses  []VirtualAddress
}

// VirtualAddress is a line of virtual_ipaddress.
type VirtualAddress struct {
	Pos    Pos
	Prefix netip.Prefix // /32 or /128 when the line names no length
	Dev    string       // empty: the instance's interface
	Label  string
	Scope  string
}

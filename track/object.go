package track

import (
	"fmt"
	"net/netip"
	"time"

	"dirsw/script"
)

// Kind is a kind of tracked object.
type Kind uint8

// The kinds. Names need be unique within a kind only.
const (
	KindNone    Kind = iota
	KindScript       // vrrp_script
	KindFile         // track_file
	KindProcess      // vrrp_track_process
	KindArbiter      // vrrp_arbiter, which keepalived does not have
)

// String is the keyword that makes an object of the kind.
func (k Kind) String() string {
	switch k {
	case KindScript:
		return "vrrp_script"
	case KindFile:
		return "track_file"
	case KindProcess:
		return "vrrp_track_process"
	case KindArbiter:
		return "vrrp_arbiter"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Key names an object.
type Key struct {
	Kind Kind
	Name string
}

// State is what is known of an object.
type State struct {
	Key
	// Known is false until there was a first result. What depends on an object of weight 0 waits for it in its initial
	// state, as keepalived's instances do; what has a weight counts it as not there.
	Known bool
	// Up is the result: the script succeeds, the processes are there, enough addresses answer, the number is 0.
	Up bool
	// Value is the number in a file; 0 for all other kinds.
	Value int
}

// String is for messages and tests: "vrrp_script chk up".
func (s State) String() string {
	word := "down"
	switch {
	case !s.Known:
		word = "unknown"
	case s.Kind == KindFile:
		word = fmt.Sprint(s.Value)
	case s.Up:
		word = "up"
	}
	return fmt.Sprintf("%v %s %s", s.Kind, s.Name, word)
}

// Object is something to watch: a Script, a File, a Process or an Arbiter.
type Object interface {
	// Key names the object.
	Key() Key
	watcher(t *Tracker) watcher
}

// Script is a program that is run every Interval: exit status 0 is a success.
type Script struct {
	Name    string
	Command script.Command // its Timeout, Output and OnTimeout are not looked at
	// Interval is from start to start; default 1 s. A run that is due while the last one is not over is left out.
	Interval time.Duration
	// Timeout is how long a run may take; default Interval.
	Timeout time.Duration
	// Rise and Fall are how many successes or failures in a row it takes to change; default 1. The first result ever
	// counts at once, either way.
	Rise, Fall int
	// InitFail says that it is down until it first succeeded, instead of unknown. (The manual of keepalived says so;
	// its version 2.2.7 does nothing of the kind.)
	InitFail bool
}

// Key names the script.
func (s Script) Key() Key { return Key{KindScript, s.Name} }

// File is a file with a number in it. What is not there, or does not begin with a number, is 0.
type File struct {
	Name string
	Path string
	// Init is written to the file when it is first watched and does not exist, or even if it does with Overwrite.
	Init *int
	// Overwrite belongs to Init.
	Overwrite bool
}

// Key names the file.
func (f File) Key() Key { return Key{KindFile, f.Name} }

// Match says how the parameters of a process are compared.
type Match uint8

// The ways to compare parameters (param_match).
const (
	MatchNone    Match = iota // not at all
	MatchExact                // all of them, and no others
	MatchPartial              // the first of them; others may follow; without any, there must be none
	MatchInitial              // the first of them, and the last may go on; without any, there must be none
)

// Process is a program that should be running. Zombies do not count.
type Process struct {
	Name string
	// Command is what /proc/PID/comm says, or, with Full or a Match, or if it is longer than the 15 bytes that the
	// kernel keeps, the first word of the command line.
	Command string
	// Params are compared with the other words of the command line as Match says.
	Params []string
	Match  Match
	// Full compares the first word of the command line instead of the name of the process.
	Full bool
	// Quorum is how many there must be; default 1.
	Quorum int
	// Max is how many there may be, where Limited is set: with 0, none.
	Max     int
	Limited bool
	// ForkDelay is how long it must have been well to be up, TerminateDelay how long it must have been ill to be down.
	ForkDelay, TerminateDelay time.Duration
}

// Key names the process.
func (p Process) Key() Key { return Key{KindProcess, p.Name} }

// Arbiter is a set of reference addresses (routers, as a rule) that are pinged every Interval. Whoever reaches enough
// of them is on the right side of a broken network.
type Arbiter struct {
	Name      string
	Addresses []netip.Addr
	// Quorum is how many must answer; default 1.
	Quorum int
	// Interval is from one round to the next, default 1 s; Timeout how long an answer may take, default and at most
	// Interval.
	Interval, Timeout time.Duration
	// Rise and Fall are as a Script's.
	Rise, Fall int
}

// Key names the arbiter.
func (a Arbiter) Key() Key { return Key{KindArbiter, a.Name} }

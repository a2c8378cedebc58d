package sched

import (
	"maps"
	"slices"
)

// Flags are the scheduler flags of ipvsadm -b, flag-1 to flag-3.
type Flags uint8

// The flags; sh and mh call the first two -fallback and -port.
const (
	Flag1 Flags = 1 << iota
	Flag2
	Flag3
)

// Kind is a scheduler by name.
type Kind struct {
	Name string
	New  func(Flags) Scheduler
}

// kinds is written by the init functions of this package and read only afterwards.
var kinds = map[string]Kind{}

func register(k Kind) {
	if _, ok := kinds[k.Name]; ok {
		panic("sched: " + k.Name + " is registered twice")
	}
	kinds[k.Name] = k
}

// Lookup finds a scheduler by the kernel's name for it; Nobody is one, too.
func Lookup(name string) (Kind, bool) {
	if name == Nobody {
		return Kind{Nobody, func(Flags) Scheduler { return nobody{} }}, true
	}
	k, ok := kinds[name]
	return k, ok
}

// Names lists the schedulers that serve, sorted.
func Names() []string { return slices.Sorted(maps.Keys(kinds)) }

package ipvsadm

import (
	"time"

	"dirsw/config"
)

// Op is what a command does.
type Op uint8

// The operations, with the options that name them.
const (
	OpNone          Op = iota
	OpAddService       // -A
	OpEditService      // -E
	OpDeleteService    // -D
	OpClear            // -C
	OpList             // -L
	OpAddServer        // -a
	OpDeleteServer     // -d
	OpEditServer       // -e
	OpSetTimeouts      // --set
	OpStartDaemon      // --start-daemon
	OpStopDaemon       // --stop-daemon
	OpRestore          // -R
	OpSave             // -S
	OpZero             // -Z
	OpHelp             // -h
	OpVersion          // -v
)

// String returns the name that ipvsadm's messages have for the operation.
func (o Op) String() string {
	names := [...]string{"none", "add-service", "edit-service", "delete-service", "flush", "list", "add-server", "delete-server",
		"edit-server", "set", "start-daemon", "stop-daemon", "restore", "save", "zero", "help", "version"}
	if int(o) < len(names) {
		return names[o]
	}
	return "invalid"
}

// Command is a parsed command line.
type Command struct {
	Op         Op
	HasService bool            // Service was named; always so with -A -E -D -a -e -d
	Service    config.Service  // its key and, for -A and -E, its settings; without real servers
	Real       config.Real     // of -a -e -d
	Forward    bool            // one of -g, -i and -m was named
	Atomic     bool            // of -R: all lines or none (--atomic and --replace, our own)
	Replace    bool            // of -R: in the place of what is there (--replace)
	Format     Format          // of -L and -S
	Timeouts   config.Timeouts // of --set; 0 keeps what is
	Daemon     Daemon          // of --start-daemon and --stop-daemon; MaxLen 0 is for Apply to fill
	Notes      []string        // what was mended or is otherwise worth saying

	// Schedulers are those that exist, for Apply to refuse others as the kernel does. nil: any name is taken, and it is
	// for the Model's Validate to refuse.
	Schedulers []string
	// Link returns the MTU of a network interface. nil: every interface is there, with 1500.
	Link func(name string) (mtu int, ok bool)
	// Time is when the command was given; what it makes and changes remembers that.
	Time time.Time
}

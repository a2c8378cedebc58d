package ipvsadm

import (
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
	Format     Format          // of -L and -S
	Timeouts   config.Timeouts // of --set; 0 keeps what is
	Daemon     Daemon          // of --start-daemon and --stop-daemon; MaxLen 0 is for the MTU to say
	Notes      []string        // what was mended or is otherwise worth saying

	// Schedulers are those that exist, for Apply to refuse others as the kernel does. nil: any name is taken, and it is
	// for the Model's Validate to refuse.
	Schedulers []string
}

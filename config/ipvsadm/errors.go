package ipvsadm

import (
	"errors"
	"strings"
)

// Error is a complaint in ipvsadm's words.
type Error struct {
	Message string // what ipvsadm writes to standard error, without the last line feed
	Exit    int    // ipvsadm's exit status
	Hint    string // what to do instead, of ours; empty if there is nothing to say

	goesOn bool // a line of -R that is so wrong is not the last one
}

// Error returns the message and, in parentheses, the hint.
func (e *Error) Error() string {
	if e.Hint != "" {
		return e.Message + " (" + e.Hint + ")"
	}
	return e.Message
}

// Is reports whether target is the same complaint, whatever the hint.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == e.Message && t.Exit == e.Exit
}

// The complaints of a table, with the texts and the exit status that ipvsadm gives to the kernel's.
var (
	ErrServiceExists = &Error{Message: "Service already exists", Exit: 255}
	ErrNoService     = &Error{Message: "No such service", Exit: 255}
	ErrNotDefined    = &Error{Message: "Service not defined", Exit: 255} // of -a, -e, -d
	ErrNoScheduler   = &Error{Message: "Scheduler or persistence engine not found", Exit: 255}
	ErrDestExists    = &Error{Message: "Destination already exists", Exit: 255}
	ErrNoDest        = &Error{Message: "No such destination", Exit: 255}
	ErrRange         = &Error{Message: "Numerical result out of range", Exit: 255}
	ErrInvalid       = &Error{Message: "Invalid operation.  Possibly wrong module version, address not unicast, ...", Exit: 255}
	ErrNoSuchService = &Error{Message: "No such service", Exit: 1} // of a listing
	ErrUsage         = &Error{Message: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.", Exit: 255}
	ErrNoDevice      = &Error{Message: "No such device", Exit: 255}
	ErrDaemonRuns    = &Error{Message: "Daemon has already run", Exit: 255}
	ErrNoDaemon      = &Error{Message: "No daemon is running", Exit: 255}
)

// ExitStatus returns what ipvsadm would exit with: 0 for nil, 255 for an error that is none of its own.
func ExitStatus(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Exit
	}
	return 255
}

// Stderr returns what ipvsadm would write to standard error, with our hint on a line of its own.
func Stderr(err error) string {
	var e *Error
	if err == nil {
		return ""
	}
	if !errors.As(err, &e) {
		return err.Error() + "\n"
	}
	out := e.Message + "\n"
	if e.Hint != "" {
		out += strings.TrimSuffix("hint: "+e.Hint, "\n") + "\n"
	}
	return out
}

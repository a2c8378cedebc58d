package ipvsadm

import (
	"errors"
	"fmt"
	"strings"

	"dirsw/config"
)

// hint says what was meant by a command line that is not understood, where a mistake is a common one.
func hint(words []string, err *Error) string {
	line := " " + strings.Join(words, " ") + " "
	service := strings.Contains(line, " -E ") || strings.Contains(line, " --edit-service ") || strings.Contains(line, " -A ")
	switch {
	case service && strings.Contains(line, " -w ") && err.Exit == 2:
		return "a weight belongs to a real server: ipvsadm -e -t VIP:PORT -r RIP:PORT -g -w WEIGHT"
	case service && strings.Contains(line, " -r ") && err.Exit == 2:
		return "-A and -E are about the service; -a adds a real server, -e changes one"
	case strings.HasSuffix(err.Message, "-x: missing argument"), strings.Contains(err.Message, "u_threshold"):
		return notDisable
	case strings.HasPrefix(err.Message, "options conflicts"):
		return "-c, --timeout and --daemon show something else than the counters of services"
	case strings.HasPrefix(err.Message, "Zero port"):
		return "write HOST:PORT, or -p for a persistent service on all ports"
	}
	return ""
}

const notDisable = "-x is the upper threshold of connections; to give a server no new connections write -w 0"

// state is what was there before a command, as far as its hints ask.
type state struct {
	real  config.Real // the server that the command names
	found bool
	same  []string // servers with the same address and another port
}

// beforehand looks at the table before a command changes it.
func beforehand(c *Command, m *config.Model) (st state) {
	switch c.Op {
	case OpEditServer, OpDeleteServer:
	default:
		return st
	}
	s := m.Service(c.Service.Key())
	if s == nil {
		return st
	}
	for i := range s.Reals {
		switch r := &s.Reals[i]; {
		case r.Key() == c.Real.Key():
			st.real, st.found = *r, true
		case r.Addr == c.Real.Addr:
			st.same = append(st.same, r.Key().String())
		}
	}
	return st
}

// afterthought says what an operator may not expect of what a command did, or why it was refused.
func afterthought(c *Command, before state, m *config.Model, err error) string {
	switch {
	case errors.Is(err, ErrNoDest) && len(before.same) > 0 && c.Op == OpEditServer && !c.Forward:
		return "there is " + strings.Join(before.same, ", ") + "; -e without -m means -g, whose port is the service's: write -m again"
	case errors.Is(err, ErrNoDest) && len(before.same) > 0:
		return "there is " + strings.Join(before.same, ", ") + ": write its port"
	case errors.Is(err, ErrNotDefined), errors.Is(err, ErrNoService):
		return otherService(c, m)
	case errors.Is(err, ErrRange) && c.Real.Lower > c.Real.Upper:
		return "the lower threshold (-y) must not be above the upper one (-x)"
	case m.Globals.Sync != nil && (errors.Is(err, ErrDaemonRuns) || errors.Is(err, ErrNoDaemon)):
		return "lvs_sync_daemon of the configuration says which daemons run: change it there and reload"
	case err != nil:
		return ""
	case c.Op == OpEditServer && !c.Forward && before.found && before.real.Method != config.DR:
		return fmt.Sprintf("%s is Route now, it was %s: -e without -m or -i means -g", c.Real.Key(), method(before.real.Method))
	case c.Op == OpEditServer && before.found && before.real.Upper != 0 && c.Real.Upper == 0:
		return "the thresholds of " + c.Real.Key().String() + " are gone: -e without -x and -y means none"
	}
	return ""
}

// otherService names a service that may have been meant: of the same address, or of the same port.
func otherService(c *Command, m *config.Model) string {
	k := c.Service.Key()
	for i := range m.Services {
		o := m.Services[i].Key()
		if k.Mark == 0 && o.Addr == k.Addr && (o.Port == k.Port || o.Proto == k.Proto) {
			return "there is " + o.String()
		}
	}
	return ""
}

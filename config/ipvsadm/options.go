package ipvsadm

import "strings"

// opt is an option group: what ipvsadm counts as one option in its messages (-g, -i and -m are one).
type opt uint8

// The groups in ipvsadm's order, in which it looks for mistakes.
const (
	optNumeric opt = iota
	optConnection
	optService
	optScheduler
	optPersistent
	optNetmask
	optServer
	optForward
	optWeight
	optUpper
	optLower
	optMcast
	optTimeout
	optDaemon
	optStats
	optRate
	optThresholds
	optPersistentConn
	optNoSort
	optSyncID
	optExact
	optOps
	optPE
	optSchedFlags
	optMcastGroup
	optMcastPort
	optMcastTTL
	optMaxLen
	optTunInfo
	optTunType
	optTunPort
	optTunNoCsum
	optTunCsum
	optTunRemCsum
	optCount
)

// String returns the name in messages.
func (o opt) String() string {
	return strings.Fields("numeric connection service-address scheduler persistent netmask real-server forwarding-method weight " +
		"u-threshold l-threshold mcast-interface timeout daemon stats rate thresholds persistent-conn nosort syncid exact ops pe " +
		"sched-flags mcast-group mcast-port mcast-ttl sync-maxlen tun-info tun-type tun-port tun-nocsum tun-csum tun-remcsum")[o]
}

// options is a set of groups.
type options uint64

func set(list ...opt) options {
	var s options
	for _, o := range list {
		s |= 1 << o
	}
	return s
}

func (s options) has(o opt) bool { return s&(1<<o) != 0 }

// rule says which groups an operation, or a tunnel type, goes with.
type rule struct {
	needs, allows options
	oneOf         options // at most one of these
}

// check returns what is wrong with the groups of a command. what is "'add-service' command".
func (r rule) check(given options, from, to opt, what string) *Error {
	last, found := opt(0), false
	for o := from; o < to; o++ {
		switch {
		case !given.has(o) && r.needs.has(o):
			return &Error{Message: "You need to supply the '" + o.String() + "' option for the " + what, Exit: 2}
		case !given.has(o):
		case r.oneOf.has(o) && found:
			return &Error{Message: "The option '" + o.String() + "' conflicts with the '" + last.String() + "' option in the " + what, Exit: 2}
		case r.oneOf.has(o):
			last, found = o, true
		case !(r.needs | r.allows).has(o):
			return &Error{Message: "Illegal '" + o.String() + "' option with the " + what, Exit: 2}
		}
	}
	return nil
}

// commandRule returns the rule of an operation.
func commandRule(op Op) rule {
	server := set(optForward, optWeight, optUpper, optLower, optTunType, optTunPort, optTunNoCsum, optTunCsum, optTunRemCsum)
	switch op {
	case OpAddService, OpEditService:
		return rule{needs: set(optService), allows: set(optScheduler, optPersistent, optNetmask, optOps, optPE, optSchedFlags)}
	case OpDeleteService:
		return rule{needs: set(optService)}
	case OpList:
		return rule{oneOf: set(optConnection, optService, optTimeout, optDaemon),
			allows: set(optNumeric, optStats, optRate, optThresholds, optPersistentConn, optNoSort, optSyncID, optExact, optTunInfo)}
	case OpAddServer, OpEditServer:
		return rule{needs: set(optService, optServer), allows: server}
	case OpDeleteServer:
		return rule{needs: set(optService, optServer)}
	case OpStartDaemon:
		return rule{allows: set(optMcast, optSyncID, optMcastGroup, optMcastPort, optMcastTTL, optMaxLen)}
	case OpStopDaemon:
		return rule{allows: set(optSyncID)}
	case OpSave:
		return rule{allows: set(optNumeric)}
	case OpZero:
		return rule{allows: set(optService)}
	}
	return rule{} // -C, -R, --set
}

// tunnelRule returns the rule of a tunnel type.
func tunnelRule(name string) rule {
	switch name {
	case "gue":
		return rule{needs: set(optTunPort), oneOf: set(optTunNoCsum, optTunCsum, optTunRemCsum)}
	case "gre":
		return rule{oneOf: set(optTunNoCsum, optTunCsum)}
	}
	return rule{}
}

// spec is an option as it is written.
type spec struct {
	long  string
	short byte // 0: none
	arg   argument
}

// argument says whether a value follows.
type argument uint8

const (
	noArg argument = iota
	needArg
	mayArg // the next word, unless it begins with '-'
)

// specs are all options. The short -l is -L.
func specs() []spec {
	return []spec{
		{"add-service", 'A', noArg}, {"edit-service", 'E', noArg}, {"delete-service", 'D', noArg}, {"clear", 'C', noArg},
		{"list", 'L', noArg}, {"zero", 'Z', noArg}, {"add-server", 'a', noArg}, {"edit-server", 'e', noArg},
		{"delete-server", 'd', noArg}, {"help", 'h', noArg}, {"version", 'v', noArg}, {"restore", 'R', noArg}, {"save", 'S', noArg},
		{"set", 0, noArg}, {"start-daemon", 0, needArg}, {"stop-daemon", 0, needArg},
		{"tcp-service", 't', needArg}, {"udp-service", 'u', needArg}, {"sctp-service", 0, needArg}, {"fwmark-service", 'f', needArg},
		{"ipv6", '6', noArg}, {"scheduler", 's', needArg}, {"persistent", 'p', mayArg}, {"netmask", 'M', needArg}, {"pe", 0, needArg},
		{"ops", 'o', noArg}, {"sched-flags", 'b', needArg}, {"real-server", 'r', needArg}, {"masquerading", 'm', noArg},
		{"ipip", 'i', noArg}, {"gatewaying", 'g', noArg}, {"weight", 'w', needArg}, {"u-threshold", 'x', needArg},
		{"l-threshold", 'y', needArg}, {"tun-type", 0, needArg}, {"tun-port", 0, needArg}, {"tun-nocsum", 0, noArg},
		{"tun-csum", 0, noArg}, {"tun-remcsum", 0, noArg}, {"tun-info", 0, noArg},
		{"numeric", 'n', noArg}, {"connection", 'c', noArg}, {"timeout", 0, noArg}, {"daemon", 0, noArg}, {"stats", 0, noArg},
		{"rate", 0, noArg}, {"thresholds", 0, noArg}, {"persistent-conn", 0, noArg}, {"nosort", 0, noArg}, {"sort", 0, noArg},
		{"exact", 0, noArg}, {"syncid", 0, needArg}, {"sync-maxlen", 0, needArg}, {"mcast-interface", 0, needArg},
		{"mcast-group", 0, needArg}, {"mcast-port", 0, needArg}, {"mcast-ttl", 0, needArg},
		{"origin", 0, noArg}, {"atomic", 0, noArg}, {"replace", 0, noArg}, // our own
	}
}

package health

import (
	"time"

	"dirsw/clock"
)

// Kind is the keyword of a check in the configuration.
type Kind string

// The kinds.
const (
	KindTCP   Kind = "TCP_CHECK"
	KindUDP   Kind = "UDP_CHECK"
	KindPing  Kind = "PING_CHECK"
	KindHTTP  Kind = "HTTP_GET"
	KindSSL   Kind = "SSL_GET"
	KindSMTP  Kind = "SMTP_CHECK"
	KindDNS   Kind = "DNS_CHECK"
	KindMisc  Kind = "MISC_CHECK"
	KindFile  Kind = "FILE_CHECK"
	KindBFD   Kind = "BFD_CHECK"
	KindAgent Kind = "AGENT_CHECK"
	KindPath  Kind = "check_path"
)

// counting returns how the kind counts.
func (k Kind) counting() Counting {
	switch k {
	case KindHTTP, KindSSL:
		return CountURLs
	case KindSMTP:
		return CountEach
	case KindMisc:
		return CountStarts
	default:
		return CountPlain
	}
}

// Target is one real server of one service, and how it is checked. It is up iff all its checks are that are not
// Advisory; without such checks it is up.
type Target struct {
	Key       string // what it is across a reload: the same Key, the same server of the same service
	Names     Names
	Weight    int // configured weight, of which grades are taken
	Checks    []Check
	Suspended bool // begins without checks, as ha_suspend does where no address of the service is held
}

// Check is one check of a Target.
type Check struct {
	Kind    Kind
	ID      string // all that Checker asks, as text: equal Kind and ID across a reload is the same check, which keeps its state; "" is Checker's String
	Timing  Timing
	Checker Checker // nil for checks that are fed (BFD_CHECK, FILE_CHECK); see Prober.Feed
	// Feed is the name under which Prober.Feed reaches the check, of BFD_CHECK and FILE_CHECK.
	Feed   string
	Scale  Scale // what a fed value means (FILE_CHECK)
	Damp   Damp  // bounds how fast the check moves the weight
	LogAll bool  // log_all_failures
	// Advisory keeps the check's outcome from the server's state: where it and the other checks disagree, that is
	// reported (Event.Alarm). It is how check_path vip is used.
	Advisory bool
}

// same reports whether c asks what o asks.
func (c *Check) same(o *Check) bool {
	return c.Kind == o.Kind && c.ID == o.ID && c.Feed == o.Feed && c.Advisory == o.Advisory
}

// Event is something that changed about a target. An answer causes at most one of each kind.
type Event struct {
	Key    string
	Names  Names
	Up     bool // the server, now
	Weight int  // the weight that its checks give it now; 0 while drained

	Changed bool // Up is new
	// Unproven says that a check of an alpha server has failed at its first outcome. Nothing has changed, but keepalived
	// runs notify_down then.
	Unproven bool
	// Weighed says that Weight is new. Where Changed is set too, the weight changed because the check that gave it went
	// up or down, of which keepalived logs nothing; else it logs "Changing weight from …".
	Weighed  bool
	Alarm    bool // an advisory check disagrees now; Why says about what. The Prober does not log it
	AlarmEnd bool // it agrees again

	// CheckChanged says that one check went up or down (CheckUp), whether or not the server did: the occasion of
	// keepalived's mails. The first success of a check that counted as up changes nothing. Subject is what such a mail says ("=> TCP CHECK failed on service <=").
	CheckChanged bool
	CheckUp      bool
	Kind         Kind
	Subject      string

	Why string // what the check said, for people
	At  clock.Mono
}

// State is a target as it stands.
type State struct {
	Key       string
	Names     Names
	Up        bool
	Weight    int
	Suspended bool
	Checks    []CheckState
}

// CheckState is one check of a State.
type CheckState struct {
	Kind     Kind
	ID       string
	Advisory bool
	Up       bool
	Ran      bool // had an outcome
	Running  bool // a question is under way
	Retries  int  // failures in a row that were forgiven
	Asked    uint64
	Failed   uint64
	Last     string     // what the last failure said; "" after a success
	At       clock.Mono // when the last answer came
	Took     time.Duration
	Grade    Grade
}

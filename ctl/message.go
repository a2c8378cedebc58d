package ctl

import (
	"errors"

	"dirsw/stats"
)

// DefaultPath is where the socket stands unless a flag says otherwise.
const DefaultPath = "/run/dirsw/control.sock"

// protocol is the version of the messages. It changes when an older peer would misunderstand a newer one.
const protocol = 1

const (
	maxRequest = 16 << 20 // bytes of a request: a restore of 100 000 lines fits
	connsChunk = 256      // connections in one message
)

// The commands of a request.
const (
	cmdStats   = "stats"
	cmdConns   = "conns"
	cmdExplain = "explain"
	cmdReload  = "reload"
	cmdDo      = "do"
)

// request is what a client sends.
type request struct {
	Protocol int      `json:"protocol"`
	Command  string   `json:"command"`
	Query    string   `json:"query,omitempty"` // of explain
	Verb     string   `json:"verb,omitempty"`  // of do, with what follows
	Args     []string `json:"args,omitempty"`
	Stdin    string   `json:"stdin,omitempty"`
}

// Outcome is what a command line that the director ran has left: what goes to standard output and standard error, and the
// exit status.
type Outcome struct {
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
	Exit   int    `json:"exit"`
}

// message is a piece of an answer. Exactly one field is set.
type message struct {
	Stats *stats.Stats `json:"stats,omitempty"`
	Conns []stats.Conn `json:"conns,omitempty"`
	Text  *string      `json:"text,omitempty"`
	Done  *Outcome     `json:"done,omitempty"`
	Error string       `json:"error,omitempty"` // the command failed; nothing follows
	End   bool         `json:"end,omitempty"`   // the answer is complete; nothing follows
}

// Backend is what the server serves. Its methods are called from several goroutines at once and must return when the
// director ends.
type Backend interface {
	// Stats returns a view that the caller may keep.
	Stats() (stats.Stats, error)
	// Conns yields all connections and templates until yield returns false. A slow client blocks yield for as long as
	// a minute: no worker may be waiting meanwhile.
	Conns(yield func(stats.Conn) bool) error
	// Explain answers a question like "tcp 192.0.2.1:40000 > 198.51.100.1:80" in sentences.
	Explain(query string) (string, error)
	// Reload reads the configuration file again and returns what changed, once that is in force.
	Reload() (string, error)
	// Do runs a command line of the verb ("ipvsadm", "mark", …), whose words follow in args, as if it had been typed at
	// the director. A command that fails says so in the Outcome; an error means that there was no telling, as with a verb
	// that does not exist.
	Do(verb string, args []string, stdin string) (Outcome, error)
}

// ErrUnreachable: no director could be asked. The error that wraps it says why and what to do.
var ErrUnreachable = errors.New("no director could be asked")

// A RemoteError is the director's own answer that a command failed.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return e.Text }

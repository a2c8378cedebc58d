package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"dirsw/clock"
	"dirsw/ctl"
	"dirsw/health"
)

const healthUsage = `usage: dirsw health [--socket PATH] [-json]

The real servers that the running director checks: which are up, with which weight, and what their checks said last.
`

// cmdHealth shows the checks of a running director.
func cmdHealth(args []string, stdout, stderr io.Writer) int {
	return ask("health", healthUsage, args, stdout, stderr)
}

// health answers the command inside the director.
func (b *backend) health(args []string) ctl.Outcome {
	states := b.d.Health()
	var out strings.Builder
	if len(args) > 0 {
		e := json.NewEncoder(&out)
		e.SetIndent("", "  ")
		if err := e.Encode(serversJSON(states, b.plane.clock.Now())); err != nil {
			return ctl.Outcome{Stderr: err.Error() + "\n", Exit: exitFailed}
		}
		return ctl.Outcome{Stdout: out.String()}
	}
	printHealth(&out, states, b.plane.clock.Now())
	return ctl.Outcome{Stdout: out.String()}
}

// serverJSON is a real server that is checked, as -json writes it. Times are in nanoseconds.
type serverJSON struct {
	Service   string      `json:"service"` // as in the log: "[192.0.2.100]:tcp:80", "FWM 7", "[GROUP]:0"
	Server    string      `json:"server"`
	Up        bool        `json:"up"`
	Weight    int         `json:"weight"`
	Suspended bool        `json:"suspended"`
	Checks    []checkJSON `json:"checks"`
}

// checkJSON is one of its checks.
type checkJSON struct {
	Kind     health.Kind   `json:"kind"`
	Advisory bool          `json:"advisory"` // by the virtual address: it raises alarms, and does not count
	Up       bool          `json:"up"`
	Asked    uint64        `json:"asked"`
	Failed   uint64        `json:"failed"`
	Retries  int           `json:"retries"` // failures in a row that were forgiven
	Running  bool          `json:"running"`
	Last     string        `json:"last"`           // what the last failure said; empty after a success
	Ago      time.Duration `json:"ago,omitempty"`  // since the last answer; 0: not asked yet
	Took     time.Duration `json:"took,omitempty"` // until it came
}

// serversJSON leaves out by what names the director knows servers and checks inside.
func serversJSON(states []health.State, now clock.Mono) []serverJSON {
	out := make([]serverJSON, 0, len(states))
	for i := range states {
		s := &states[i]
		one := serverJSON{Service: s.Names.Service, Server: s.Names.Server, Up: s.Up, Weight: s.Weight, Suspended: s.Suspended, Checks: []checkJSON{}}
		for k := range s.Checks {
			c := &s.Checks[k]
			check := checkJSON{Kind: c.Kind, Advisory: c.Advisory, Up: c.Up, Asked: c.Asked, Failed: c.Failed, Retries: c.Retries,
				Running: c.Running, Last: c.Last}
			if c.Ran {
				check.Ago, check.Took = now.Sub(c.At), c.Took
			}
			one.Checks = append(one.Checks, check)
		}
		out = append(out, one)
	}
	return out
}

func printHealth(out io.Writer, states []health.State, now clock.Mono) {
	if len(states) == 0 {
		fmt.Fprintln(out, "no real server is checked")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "SERVICE\tSERVER\tSTATE\tWEIGHT\tCHECK\tASKED\tFAILED\tLAST")
	for i := range states {
		s := &states[i]
		for k := range s.Checks {
			c := &s.Checks[k]
			service, server, state, weight := "", "", "", ""
			if k == 0 {
				service, server, state, weight = s.Names.Service, s.Names.Server, serverState(s), fmt.Sprint(s.Weight)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", service, server, state, weight, c.Kind, c.Asked, c.Failed, lastAnswer(c, now))
		}
	}
}

func serverState(s *health.State) string {
	state := "down"
	if s.Up {
		state = "up"
	}
	if s.Suspended {
		state += ", suspended"
	}
	return state
}

// lastAnswer says what a check found last.
func lastAnswer(c *health.CheckState, now clock.Mono) string {
	if !c.Ran {
		return "not asked yet"
	}
	said := "well"
	if c.Last != "" {
		said = c.Last
	}
	if c.Retries > 0 {
		said += fmt.Sprintf(" (failed %d times, forgiven)", c.Retries)
	}
	return fmt.Sprintf("%s, %v ago in %v", said, now.Sub(c.At).Round(time.Millisecond), c.Took.Round(time.Microsecond))
}

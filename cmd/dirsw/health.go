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
		if err := e.Encode(states); err != nil {
			return ctl.Outcome{Stderr: err.Error() + "\n", Exit: exitFailed}
		}
		return ctl.Outcome{Stdout: out.String()}
	}
	printHealth(&out, states, b.plane.clock.Now())
	return ctl.Outcome{Stdout: out.String()}
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

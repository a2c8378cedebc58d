package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"dirsw/connsync"
	"dirsw/ctl"
	"dirsw/host"
	"dirsw/stats"
)

const syncUsage = `usage: dirsw sync [--socket PATH] [-json]
       dirsw sync [--socket PATH] send

Connection synchronisation of the running director: its daemons, what they have sent and received, and what was lost.
  -json  the same as JSON
  send   tell the backups of all connections now, for one that has just been started
`

// cmdSync shows connection synchronisation, or has the whole table sent.
func cmdSync(args []string, stdout, stderr io.Writer) int {
	socket, rest := socketOf(args)
	switch len(rest) {
	case 0:
	case 1:
		switch rest[0] {
		case "-h", "--help":
			fmt.Fprint(stdout, syncUsage)
			return exitOK
		case "-json", "--json", "send":
		default:
			fmt.Fprintf(stderr, "dirsw sync: what is %q?\n%s", rest[0], syncUsage)
			return exitUsage
		}
	default:
		fmt.Fprint(stderr, syncUsage)
		return exitUsage
	}
	c, err := ctl.Dial(socket)
	if err != nil {
		return fail(stderr, "sync", err)
	}
	if len(rest) == 1 && rest[0] == "send" {
		out, errs, code, err := c.Do("sync", rest, "")
		if err != nil {
			return fail(stderr, "sync", err)
		}
		fmt.Fprint(stdout, out)
		fmt.Fprint(stderr, errs)
		return code
	}
	s, err := c.Stats()
	if err != nil {
		return fail(stderr, "sync", err)
	}
	if len(rest) == 0 {
		printSync(stdout, &s)
		return exitOK
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	if err := e.Encode(struct {
		Daemons []stats.Daemon    `json:"daemons"`
		Sync    []stats.Sync      `json:"sync"`
		Records stats.SyncRecords `json:"records"`
	}{s.Daemons, s.Sync, s.SyncRecords}); err != nil {
		return fail(stderr, "sync", err)
	}
	return exitOK
}

// sync answers "dirsw sync send" inside the director.
func (b *backend) sync() ctl.Outcome {
	n, err := b.d.TellAll()
	if err != nil {
		return ctl.Outcome{Stderr: fmt.Sprintf("dirsw sync: %v\n", err), Exit: exitFailed}
	}
	return ctl.Outcome{Stdout: fmt.Sprintf("%d connections and templates told\n", n)}
}

// printSync writes a line for each daemon, and below what was lost.
func printSync(out io.Writer, s *stats.Stats) {
	if len(s.Sync) == 0 {
		fmt.Fprintln(out, "no daemon of connection synchronisation runs: lvs_sync_daemon in global_defs, or ipvsadm --start-daemon, starts one")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROLE\tINTERFACE\tSYNCID\tGROUP\tMESSAGES\tCONNECTIONS\tLOST\tLAST HEARD")
	for i := range s.Sync {
		d, did := &s.Daemons[i], &s.Sync[i]
		role, heard := "backup", "nothing yet"
		switch {
		case d.Master:
			role, heard = "master", "-"
		case did.From.IsValid():
			heard = fmt.Sprintf("%v, %v ago", did.From, did.Last.Round(100*time.Millisecond))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%v port %d\t%d\t%d\t%d\t%s\n", role, d.Interface, d.SyncID, d.Group, d.Port, did.Messages, did.Records,
			did.Dropped, heard)
	}
	w.Flush()
	for i := range s.Sync {
		syncTroubles(out, &s.Sync[i])
	}
	r := &s.SyncRecords
	if r.Lost > 0 {
		fmt.Fprintf(out, "workers: %d of %d records were lost before the master daemon took them\n", r.Lost, r.Told+r.Lost)
	}
	if n := r.Learned + r.Renewed; n > 0 || len(r.Refused) > 0 {
		fmt.Fprintf(out, "workers: %d connections and templates learned, %d told of again%s\n", r.Learned, r.Renewed, reasons(r.Refused, ", not taken: "))
	}
}

func syncTroubles(out io.Writer, s *stats.Sync) {
	if s.Errors > 0 {
		fmt.Fprintf(out, "master: %d messages could not be sent\n", s.Errors)
	}
	if s.Queued > 0 {
		fmt.Fprintf(out, "master: %d messages wait\n", s.Queued)
	}
	if len(s.Faults) > 0 {
		fmt.Fprintf(out, "backup: not taken%s\n", reasons(s.Faults, ": "))
	}
}

// reasons writes counts with their reasons behind a beginning; nothing if there are none.
func reasons(list []stats.Drop, begin string) string {
	var out strings.Builder
	for _, d := range list {
		fmt.Fprintf(&out, "%s%d %s", begin, d.Frames, d.Reason)
		begin = ", "
	}
	return out.String()
}

// syncSockets are the host's, for connsync.
type syncSockets struct{ h *host.Host }

var _ connsync.Sockets = syncSockets{}

// OpenSender is for connsync.Sockets.
func (s syncSockets) OpenSender(e connsync.Endpoint) (connsync.Conn, error) {
	c, err := s.h.OpenSyncSender(host.SyncGroup(e))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// OpenReceiver is for connsync.Sockets.
func (s syncSockets) OpenReceiver(e connsync.Endpoint) (connsync.Conn, error) {
	c, err := s.h.OpenSyncReceiver(host.SyncGroup(e))
	if err != nil {
		return nil, err
	}
	return c, nil
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"dirsw/ctl"
	"dirsw/stats"
)

// cmdStats shows what ipvsadm has no words for: interfaces, workers, the table, next hops, and every drop by its reason.
func cmdStats(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("stats", "[--socket PATH] [-json]", stderr)
	socket := fs.String("socket", defaultSocket, "control socket `path`")
	asJSON := fs.Bool("json", false, "everything, as JSON")
	if code := parse(args); code >= 0 {
		return code
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "dirsw stats: what is %q? There are only flags\n", fs.Arg(0))
		return exitUsage
	}
	c, err := ctl.Dial(*socket)
	if err != nil {
		return fail(stderr, "stats", err)
	}
	s, err := c.Stats()
	if err != nil {
		return fail(stderr, "stats", err)
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(&s); err != nil {
			return fail(stderr, "stats", err)
		}
		return exitOK
	}
	printStats(stdout, &s)
	return exitOK
}

func describePort(p *stats.Port) string {
	state, copied := "up", "copy"
	if !p.Up {
		state = "down"
	}
	if p.Mode == "absent" {
		return "there is none at the moment, or it cannot be used"
	}
	if p.Mode == "local" {
		return state + ", local delivery: the way to this host itself"
	}
	if p.ZeroCopy {
		copied = "zero-copy"
	}
	gathers := ""
	if p.Coalesce > 0 {
		gathers = fmt.Sprintf(", gathers frames for %d us", p.Coalesce.Microseconds())
	}
	return fmt.Sprintf("%s, %s, %s, %d queues%s", state, p.Mode, copied, p.Queues, gathers)
}

// printWorkers shows how the work is shared out.
func printWorkers(out io.Writer, list []stats.Worker) {
	for i := range list {
		k := &list[i]
		where := "any core"
		if k.Core >= 0 {
			where = fmt.Sprint("core ", k.Core)
		}
		fmt.Fprintf(out, "worker %d:\t%d\treceived, %d forwarded, %d handed over; %d connections; %s\n", k.ID, k.Frames, k.Forwarded,
			k.HandedOver, k.Connections, where)
	}
}

func printStats(out io.Writer, s *stats.Stats) {
	fmt.Fprintf(out, "dirsw %s, running for %v, %s, generation %d\n", s.Version, time.Since(s.Start).Round(time.Second), s.Config,
		s.Generation)
	for i := range s.Ports {
		fmt.Fprintf(out, "interface %s: %s\n", s.Ports[i].Name, describePort(&s.Ports[i]))
	}
	fmt.Fprintf(out, "connections: %d and %d templates of %d; %d MiB resident\n", s.Connections, s.Templates, s.TableRoom,
		s.MemoryBytes>>20)
	if s.Shed > 0 {
		fmt.Fprintf(out, "ended by drop_entry: %d\n", s.Shed)
	}
	for i := range s.Sync {
		role, did := "backup", "received"
		if s.Daemons[i].Master {
			role, did = "master", "sent"
		}
		fmt.Fprintf(out, "synchronisation: %s on %s, %d messages %s with %d connections, %d lost (dirsw sync)\n", role, s.Daemons[i].Interface,
			s.Sync[i].Messages, did, s.Sync[i].Records, s.Sync[i].Dropped)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	var received, lost, full uint64
	for _, k := range s.Workers {
		received += k.Frames
		lost += k.Lane.RxDropped
		full += k.Lane.SendFull + k.Lane.SendFailed
	}
	fmt.Fprintf(w, "frames:\t%d\treceived\n\t%d\tforwarded\n\t%d\tanswered by dirsw\n\t%d\twith their checksum finished\n",
		received, s.Forwarded, s.Answered, s.Mended)
	if s.Joined+s.Cut > 0 {
		fmt.Fprintf(w, "\t%d\tdatagrams put together from fragments\n\t%d\tpackets cut into fragments\n", s.Joined, s.Cut)
	}
	if s.Accelerated > 0 || s.Quick > 0 {
		fmt.Fprintf(w, "\t%d\tbesides, accelerated; %d connections are now\n", s.Accelerated, s.Quick)
	}
	if s.GivenBack > 0 {
		fmt.Fprintf(w, "\t%d\tgiven back to this host\n", s.GivenBack)
	}
	fmt.Fprintf(w, "\t%d\tlost before they were received\n\t%d\tnot sent: ring full, link down\n", lost, full)
	if len(s.Workers) > 1 {
		printWorkers(w, s.Workers)
	}
	for _, d := range s.Drops {
		if d.Frames > 0 {
			fmt.Fprintf(w, "dropped:\t%d\t%s\n", d.Frames, d.Reason)
		}
	}
	for i := range s.Services {
		for _, d := range s.Services[i].Dests {
			fmt.Fprintf(w, "next hop:\t%s\t%s\n", d.Addr, d.NextHop)
		}
	}
}

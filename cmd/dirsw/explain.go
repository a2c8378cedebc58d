package main

import (
	"fmt"
	"io"
	"strings"

	"dirsw/clock"
	"dirsw/ctl"
	"dirsw/director"
)

// cmdExplain says where a packet would go and why: by the running director, or with -f by a worker that has just been set
// up from a file.
func cmdExplain(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("explain", "[-f FILE | --socket PATH] 'tcp CLIENT:PORT > VIP:PORT'", stderr)
	file := fs.String("f", "", "explain by this `file` instead of asking the running director")
	var id string
	defineID(fs, &id)
	socket := fs.String("socket", defaultSocket, "control socket `path`")
	if code := parse(args); code >= 0 {
		return code
	}
	flow := strings.Join(fs.Args(), " ")
	spec, err := director.ParseFlow(flow)
	if err != nil {
		fail(stderr, "explain", err)
		return exitUsage
	}
	if *file == "" {
		c, err := ctl.Dial(*socket)
		if err != nil {
			return fail(stderr, "explain", err)
		}
		answer, err := c.Explain(flow)
		if err != nil {
			return fail(stderr, "explain", err)
		}
		fmt.Fprint(stdout, answer)
		return exitOK
	}
	m, _, err := loadAs(*file, id)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	way := newWays(m)
	w, _, err := offlineWorker(m, way, idleLane{way.ports}, nil)
	if err != nil {
		return fail(stderr, "explain", err)
	}
	defer w.Close()
	now := clock.NewSystem().Now()
	if _, err := w.Step(now); err != nil {
		return fail(stderr, "explain", err)
	}
	in := director.NewInquiry(spec, way.ports[0])
	w.Explain(&in.Question, now)
	fmt.Fprint(stdout, in.Answer(m, way.names()))
	fmt.Fprint(stdout, way.remark)
	return exitOK
}

package main

import (
	"fmt"
	"io"
	"strings"

	"dirsw/config"
	"dirsw/ctl"
)

// cmdReload has the running director read its file again.
func cmdReload(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("reload", "[--socket PATH] [-n]", stderr)
	socket := fs.String("socket", defaultSocket, "control socket `path`")
	look := fs.Bool("n", false, "print what would change, and change nothing")
	if code := parse(args); code >= 0 {
		return code
	}
	c, err := ctl.Dial(*socket)
	if err != nil {
		return fail(stderr, "reload", err)
	}
	if *look {
		out, complaints, code, err := c.Do("reload", []string{"-n"}, "")
		if err != nil {
			return fail(stderr, "reload", err)
		}
		fmt.Fprint(stdout, out)
		fmt.Fprint(stderr, complaints)
		return code
	}
	changes, err := c.Reload()
	if err != nil {
		fail(stderr, "reload", err)
		return exitConfig
	}
	fmt.Fprint(stdout, changes)
	return exitOK
}

// foresee answers dirsw reload -n inside the director: what a reload would change, and what there is to say about the file.
func (b *backend) foresee() ctl.Outcome {
	changes, notes, err := b.d.Foresee()
	if err != nil {
		return ctl.Outcome{Stderr: "dirsw reload: " + err.Error() + "\n", Exit: exitConfig}
	}
	var complaints strings.Builder
	for _, n := range notes {
		fmt.Fprintln(&complaints, n)
	}
	return ctl.Outcome{Stdout: planText(changes), Stderr: complaints.String()}
}

// planText is a line for each change.
func planText(changes []config.Change) string {
	if len(changes) == 0 {
		return "nothing has changed\n"
	}
	var out strings.Builder
	for _, c := range changes {
		fmt.Fprintln(&out, c)
	}
	return out.String()
}

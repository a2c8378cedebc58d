package main

import (
	"fmt"
	"io"

	"dirsw/ctl"
)

// cmdReload has the running director read its file again.
func cmdReload(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("reload", "[--socket PATH]", stderr)
	socket := fs.String("socket", defaultSocket, "control socket `path`")
	if code := parse(args); code >= 0 {
		return code
	}
	c, err := ctl.Dial(*socket)
	if err != nil {
		return fail(stderr, "reload", err)
	}
	changes, err := c.Reload()
	if err != nil {
		fail(stderr, "reload", err)
		return exitConfig
	}
	fmt.Fprint(stdout, changes)
	return exitOK
}

package main

import (
	"context"
	"io"
	"os"

	"dirsw/lab"
)

// cmdLab keeps a cluster in network namespaces to play with, and shows it.
func cmdLab(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		return fail(stderr, "lab", err)
	}
	return lab.Main(ctx, args, stdout, stderr, lab.MainOptions{Self: self})
}

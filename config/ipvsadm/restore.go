package ipvsadm

import (
	"bufio"
	"io"
	"iter"
	"strings"
)

// Restore parses the lines of ipvsadm -R: a command each, with or without the word ipvsadm before it; empty lines are
// skipped. It yields them one by one; after a line that is no command it yields the error, and stops, as ipvsadm does. An
// error of the table is the caller's to tell: ipvsadm goes on after it.
func (r Resolver) Restore(in io.Reader) iter.Seq2[Command, error] {
	return func(yield func(Command, error) bool) {
		scan := bufio.NewScanner(in)
		for scan.Scan() {
			words := strings.Fields(scan.Text())
			if len(words) > 0 && words[0] == "ipvsadm" {
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			c, err := r.ParseArgs(words)
			if !yield(c, err) || err != nil {
				return
			}
		}
		if err := scan.Err(); err != nil {
			yield(Command{}, err)
		}
	}
}

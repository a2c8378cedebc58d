package ipvsadm

import (
	"fmt"
	"strings"

	"dirsw/config"
)

// mend undoes what publishing does to commands: typographic dashes where '-' and "--" stood, blanks that shells do not
// see, full-width characters. It returns the words and a note for each that it changed.
func mend(args []string, table []spec) (words, notes []string) {
	for _, arg := range args {
		fixed := fold(arg, table)
		if fixed == arg {
			words = append(words, arg)
			continue
		}
		fields := strings.Fields(fixed)
		words = append(words, fields...)
		notes = append(notes, fmt.Sprintf("%q was read as %q", arg, strings.Join(fields, " ")))
	}
	return words, notes
}

// fold returns the word with ASCII characters in the place of those that stand for them. Words that hold characters
// beyond that keep all of them: they are text.
func fold(arg string, table []spec) string {
	var b strings.Builder
	dashes := 0 // that were typographic, at the beginning
	for i, r := range arg {
		c, odd := config.Fold(r)
		if c >= 0x80 {
			return arg
		}
		if odd == config.Dash && i == dashes*len("–") {
			dashes++
		}
		if odd != config.Invisible {
			b.WriteRune(c)
		}
	}
	s := b.String()
	if dashes != 1 || strings.HasPrefix(s, "--") {
		return s
	}
	for _, o := range table { // one long dash was made of two short ones: –stats
		if name, _, _ := strings.Cut(s[1:], "="); name == o.long && len(name) > 2 {
			return "-" + s
		}
	}
	return s
}

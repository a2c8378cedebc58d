package iptables

import (
	"strings"

	"dirsw/config"
)

// Word is an argument of a command line and where it stands.
type Word struct {
	Text string
	Pos  config.Pos
}

// Words makes words of arguments that stand in no file.
func Words(args []string) []Word {
	list := make([]Word, len(args))
	for i, a := range args {
		list[i].Text = a
	}
	return list
}

// split makes words of a line of iptables-save, of which pos is the first character: blanks part them, double quotation
// marks hold them together, and within these a backslash stands for the character behind it (xshared.c,
// add_param_to_argv). Open reports a quotation mark that is never closed.
func split(line string, pos config.Pos) (list []Word, open bool) {
	var b strings.Builder
	var word *Word
	quoted, escaped := false, false
	for _, r := range line {
		blank := r == ' ' || r == '\t'
		if word == nil && (!blank || quoted) {
			word = &Word{Pos: pos}
		}
		switch {
		case escaped:
			b.WriteRune(r)
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		case blank && !quoted:
			if word != nil {
				word.Text = b.String()
				list = append(list, *word)
				word = nil
				b.Reset()
			}
		default:
			b.WriteRune(r)
		}
		pos.Col++
	}
	if word != nil {
		word.Text = b.String()
		list = append(list, *word)
	}
	return list, quoted
}

package health

import (
	"fmt"
	"strconv"
	"strings"
)

// agentMaxPercent is the largest percentage that is taken from an agent.
const agentMaxPercent = 1000

// adminState is what an operator has ordered of a server by way of its agent.
type adminState uint8

const (
	adminReady adminState = iota
	adminDrain
	adminMaint
)

// agentState is all that an agent has said so far. The zero value has said nothing: the server is ready, up, and has its
// configured weight.
type agentState struct {
	admin   adminState
	down    string // its word for it and the reason; "" while up
	percent int
	weighed bool // percent was said
}

// hear takes in one line. Of words that exclude each other the last holds. An error says that nothing of the line was
// understood, and leaves the state as it was.
func (s *agentState) hear(line string) error {
	next, known := *s, 0
	words, reason, _ := strings.Cut(line, "#")
	reason = strings.Map(printable, strings.TrimSpace(reason))
	for _, w := range strings.FieldsFunc(words, agentBlank) {
		if next.word(strings.ToLower(w), reason) {
			known++
		}
	}
	if known == 0 {
		return &Failure{Text: fmt.Sprintf("unknown answer %q", clip(line, 64))}
	}
	*s = next
	return nil
}

// word takes in one word in lower case and reports whether it is one.
func (s *agentState) word(w, reason string) bool {
	switch w {
	case "ready":
		s.admin = adminReady
	case "drain":
		s.admin = adminDrain
	case "maint":
		s.admin = adminMaint
	case "up":
		s.down = ""
	case "down", "fail", "failed", "stopped":
		s.down = w
		if reason != "" {
			s.down += " #" + reason
		}
	default:
		if strings.HasPrefix(w, "maxconn:") {
			return true // HAProxy's own queue, which has no like here
		}
		number, ok := strings.CutSuffix(w, "%")
		n, err := strconv.ParseUint(number, 10, 31)
		if !ok || err != nil {
			return false
		}
		s.percent, s.weighed = min(int(n), agentMaxPercent), true
	}
	return true
}

// grade is what the words mean to the server.
func (s *agentState) grade() (Grade, error) {
	switch {
	case s.admin == adminMaint:
		return Grade{}, &Failure{Text: "agent says maint"}
	case s.down != "":
		return Grade{}, &Failure{Text: "agent says " + s.down}
	case s.admin == adminDrain:
		return Grade{Kind: GradePercent, Value: 0, AtOnce: true}, nil
	case s.weighed:
		return Grade{Kind: GradePercent, Value: s.percent}, nil
	}
	return Grade{}, nil
}

// agentBlank reports whether r stands between words.
func agentBlank(r rune) bool { return strings.ContainsRune(" \t,;\r\n\x00", r) }

// printable drops what does not belong in a log.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == '\uFFFD' {
		return -1
	}
	return r
}

// clip is at most n bytes of s.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

package keepalived

import (
	"strings"
	"unicode/utf8"
)

// splitter takes a command line apart as keepalived does: blanks separate arguments, quotation marks of both kinds keep
// them together, a backslash begins an escape of the shell's kind.
type splitter struct {
	src  string
	at   int
	args []string
	b    strings.Builder
	some bool // the argument has begun, though it may be empty
}

// split returns the arguments of a command line.
func split(src string) []string {
	s := splitter{src: src}
	for s.at < len(s.src) {
		switch c := s.src[s.at]; {
		case c == '"' || c == '\'':
			s.at++
			s.quoted(c)
		case isBlank(rune(c)) || c == '\n':
			s.at++
			s.end()
		default:
			s.char()
		}
	}
	s.end()
	return s.args
}

func (s *splitter) end() {
	if s.some || s.b.Len() > 0 {
		s.args = append(s.args, s.b.String())
		s.b.Reset()
		s.some = false
	}
}

// quoted takes what stands up to the closing mark, or to the end.
func (s *splitter) quoted(mark byte) {
	s.some = true
	for s.at < len(s.src) {
		if s.src[s.at] == mark {
			s.at++
			return
		}
		s.char()
	}
}

// char takes one character, or an escape.
func (s *splitter) char() {
	if s.src[s.at] != '\\' || s.at+1 == len(s.src) {
		_, size := utf8.DecodeRuneInString(s.src[s.at:])
		s.b.WriteString(s.src[s.at : s.at+size])
		s.at += size
		return
	}
	text, size := unescaped(s.src[s.at+1:])
	s.b.WriteString(text)
	s.at += 1 + size
}

// unescaped returns what the characters after a backslash stand for, and how many bytes they are: \a \b \E \f \n \r \t \v,
// up to three octal digits, x and hexadecimal digits, c and a character for its control version; any other character is
// itself.
func unescaped(s string) (text string, size int) {
	if i := strings.IndexByte("abEfnrtv", s[0]); i >= 0 {
		return "\a\b\x1b\f\n\r\t\v"[i : i+1], 1
	}
	switch c := s[0]; {
	case c >= '0' && c <= '7':
		return digits(s, 8, 3)
	case c == 'x' && len(s) > 1 && digit(s[1]) < 16:
		text, size = digits(s[1:], 16, len(s))
		return text, 1 + size
	case c == 'c' && len(s) > 1:
		return string([]byte{s[1] & 0x1F}), 2
	}
	_, size = utf8.DecodeRuneInString(s)
	return s[:size], size
}

// digits reads a byte of up to most digits.
func digits(s string, base, most int) (string, int) {
	n, v := 0, 0
	for n < len(s) && n < most && digit(s[n]) < base {
		v = v*base + digit(s[n])
		n++
	}
	return string([]byte{byte(v)}), n
}

// digit returns the value of a hexadecimal digit, or 16.
func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return 16
}

// escaped returns the word as keepalived reads it after keywords that know escapes: those of programs and of regular
// expressions. After others a backslash means itself.
func (t token) escaped() string {
	if t.raw == "" {
		return t.text
	}
	if args := split(t.raw); len(args) == 1 {
		return args[0]
	}
	return t.text
}

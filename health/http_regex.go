package health

import (
	"fmt"
	"regexp"
	"strings"
)

// Regex is the expression that a body must match, or must not. Its language is Go's (RE2) with the meanings of PCRE2
// where both have the same words; CompileRegex says what that leaves out.
type Regex struct {
	NoMatch bool // regex_no_match: a match is the failure
	// Min (regex_min_offset) is where the search begins, Max (regex_max_offset) where a match may begin at most, -1 for
	// anywhere. Both count from the beginning of the header if some of the body came together with its end, as it does
	// from most servers; else from the beginning of the body.
	Min, Max int

	re *regexp.Regexp
}

// CompileRegex compiles a pattern with the words of regex_options. Options that change nothing of what matches here are
// accepted. It fails on options that are not PCRE2's, and on patterns that need a backtracking machine: look-around,
// backreferences, possessive and atomic groups. The error says which part of the pattern.
func CompileRegex(pattern string, options []string) (*Regex, error) {
	var f patternFlags
	letters := ""
	for _, o := range options {
		letter, err := f.set(o)
		if err != nil {
			return nil, err
		}
		letters += letter
	}
	translated := f.translate(pattern)
	if letters != "" {
		translated = "(?" + letters + ")" + translated
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		return nil, fmt.Errorf("regex %q: %w (no look-around, backreferences, atomic or possessive groups here)", pattern, err)
	}
	return &Regex{Max: -1, re: re}, nil
}

// found reports whether what was received matches at an allowed place.
func (r *Regex) found(text []byte) bool {
	if r.Min > len(text) {
		return false
	}
	loc := r.re.FindIndex(text[r.Min:])
	return loc != nil && (r.Max < 0 || r.Min+loc[0] <= r.Max)
}

// patternFlags are the options that change how a pattern is read rather than how it matches.
type patternFlags struct {
	extended      bool // blanks and comments mean nothing
	multiline     bool // $ is the end of any line
	dollarEndOnly bool // $ is the very end only
}

// set takes one word of regex_options and returns the letter of Go's flags for it, if it is one.
func (f *patternFlags) set(option string) (letter string, err error) {
	switch option {
	case "caseless":
		return "i", nil
	case "multiline":
		f.multiline = true
		return "m", nil
	case "dotall":
		return "s", nil
	case "ungreedy":
		return "U", nil
	case "extended":
		f.extended = true
	case "dollar_endonly":
		f.dollarEndOnly = true
	case "allow_empty_class", "alt_bsux", "alt_circumflex", "alt_verbnames", "auto_callout", "dupnames", "match_unset_backref",
		"never_backslash_c", "never_ucp", "never_utf", "no_auto_capture", "no_auto_possess", "no_dotstar_anchor",
		"no_start_optimize", "ucp", "use_offset_limit", "utf":
	case "firstline":
		return "", fmt.Errorf("regex option %q is not served: use regex_max_offset", option)
	default:
		return "", fmt.Errorf("unknown regex option %q", option)
	}
	return "", nil
}

// translate writes a PCRE2 pattern for Go: a $ or \Z that also stands before a last newline, and without the blanks and
// comments of an extended one.
func (f *patternFlags) translate(p string) string {
	const beforeLastNewline = `(?:\n?\z)`
	var b strings.Builder
	class := false
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '\\' && i+1 < len(p):
			i++
			switch {
			case p[i] == 'Z' && !class:
				b.WriteString(beforeLastNewline)
			case f.extended && strings.IndexByte(" \t#", p[i]) >= 0:
				b.WriteString(regexp.QuoteMeta(p[i : i+1]))
			default:
				b.WriteString(p[i-1 : i+1])
			}
		case class:
			class = c != ']'
			b.WriteByte(c)
		case c == '[':
			class = true
			b.WriteByte(c)
			for i+1 < len(p) && (p[i+1] == '^' || p[i+1] == ']') { // a ] that comes first is a member
				i++
				b.WriteByte(p[i])
				if p[i] == ']' {
					break
				}
			}
		case c == '$' && !f.multiline && !f.dollarEndOnly:
			b.WriteString(beforeLastNewline)
		case f.extended && strings.IndexByte(" \t\r\n\v\f", c) >= 0:
		case f.extended && c == '#':
			for i+1 < len(p) && p[i+1] != '\n' {
				i++
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

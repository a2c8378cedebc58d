package keepalived

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"dirsw/config"
)

// strictness is what of an include is an error when there is nothing to read.
type strictness uint8

const (
	readable      strictness = 1 << iota // a file that matches cannot be read
	match                                // nothing matches a name without wildcards
	wildcardMatch                        // nothing matches a pattern
	braceMatch                           // nothing matches one of the {a,b}
	allChecks     = readable | match | wildcardMatch | braceMatch
)

// includeWord returns the keyword if a text begins with one of the include family, else "".
func includeWord(text string) string {
	switch w := firstWord(text); w {
	case "include", "includer", "includem", "includew", "includeb", "includea":
		return w
	}
	return ""
}

// strictnessOf returns what the keyword adds to include_check.
func strictnessOf(word string) strictness {
	switch word {
	case "includer":
		return readable
	case "includem":
		return match | readable
	case "includew":
		return wildcardMatch | readable
	case "includeb":
		return braceMatch | readable
	case "includea":
		return allChecks
	}
	return 0
}

// include handles a line of the include family: the files are read as if they stood here.
func (e *expander) include(p piece) {
	text, _ := splitComment(p)
	word := includeWord(text.text)
	rest := text.sub(len(word), len(text.text)).trim()
	if lines, changed := e.substitute(rest); changed && len(lines) == 1 {
		rest = lines[0]
	}
	pattern := strings.Trim(rest.text, `"`)
	pos := rest.posAt(0)
	check := e.current().check | strictnessOf(word)
	switch {
	case pattern == "":
		e.fail(p.posAt(0), "write it on the same line", "%q is missing its value", word)
		return
	case rest.text == pattern && strings.ContainsFunc(pattern, blankish):
		e.fail(pos, "write a line for each, or quotation marks around a name with blanks", "several names after %s: %s", word, show(pattern))
		return
	case e.Open == nil:
		e.fail(p.posAt(0), "paste the file's content here", "%s cannot be read here", show(pattern))
		return
	}
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir(e.current().name), pattern)
	}
	arms := braces(pattern)
	found := 0
	for _, arm := range arms {
		names := e.matches(arm, pos)
		found += len(names)
		if len(names) == 0 && len(arms) > 1 && check&braceMatch != 0 {
			e.fail(pos, "remove it from the braces", "%s matches no file", show(arm))
		}
		for _, name := range names {
			e.open(name, pos, check)
		}
	}
	if found > 0 {
		return
	}
	wild := strings.ContainsAny(pattern, "*?[")
	switch {
	case wild && check&wildcardMatch != 0, !wild && check&match != 0:
		e.fail(pos, "write the name of a file, or use include", "%s matches no file", show(pattern))
	default:
		e.note("nothing "+pos.String(), pos, "%s matches no file: nothing is included", show(pattern))
	}
}

// matches returns the files of a pattern, sorted. As for a shell, wildcards stand for no dot at the beginning of a name.
func (e *expander) matches(pattern string, pos config.Pos) []string {
	if e.Glob == nil {
		return []string{pattern}
	}
	names, err := e.Glob(pattern)
	if err != nil {
		e.fail(pos, "", "%s: %v", show(pattern), err)
	}
	hidden := strings.HasPrefix(path.Base(pattern), ".")
	names = slices.DeleteFunc(names, func(name string) bool { return !hidden && strings.HasPrefix(path.Base(name), ".") })
	slices.Sort(names)
	return names
}

// braces returns what a pattern with {a,b} stands for.
func braces(pattern string) []string {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}
	}
	depth := 0
	for i := open; i < len(pattern); i++ {
		switch pattern[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth > 0 {
				continue
			}
			var out []string
			for _, arm := range splitList(pattern[open+1 : i]) {
				out = append(out, braces(pattern[:open]+arm+pattern[i+1:])...)
			}
			return out
		}
	}
	return []string{pattern}
}

// open reads one file.
func (e *expander) open(name string, pos config.Pos, check strictness) {
	name = path.Clean(name)
	for _, f := range e.files {
		if path.Clean(f.name) == name {
			e.fail(pos, "remove it", "%s is included by itself", show(name))
			return
		}
	}
	if len(e.files) >= maxDepth {
		e.fail(pos, "include fewer files in files", "%d files are included in each other", len(e.files))
		return
	}
	src, err := e.readFile(name)
	var list config.Errors
	switch {
	case errors.As(err, &list):
		e.errs = append(e.errs, list...)
	case err != nil && check&readable != 0:
		e.fail(pos, "", "%s cannot be read: %v", show(name), err)
	case err != nil:
		e.note("unread "+pos.String()+name, pos, "%s cannot be read, and is left out as keepalived does: %v", show(name), err)
	default:
		e.file(name, src, e.current().check)
	}
}

// readFile returns the text of a file.
func (e *expander) readFile(name string) (string, error) {
	f, err := e.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readText(name, f)
}

// setting handles random_seed NUMBER and include_check …, which have their effect from here on. Whether they are written
// well is told where keywords are.
func (e *expander) setting(p piece) {
	text, _ := splitComment(p)
	words := strings.Fields(text.text)
	if words[0] == "random_seed" {
		if len(words) > 1 {
			if n, err := strconv.ParseUint(words[1], 10, 32); err == nil {
				e.rand = random(n)
			}
		}
		return
	}
	f := e.current()
	f.check = includeCheck(f.check, words[1:])
}

// includeCheck returns what include_check makes of the strictness: nothing after it means all; a name that has a sign
// before it, or follows one that has, changes what was, the others replace it.
func includeCheck(was strictness, words []string) strictness {
	if len(words) == 0 {
		return allChecks
	}
	now, sign := strictness(0), byte(0)
	for _, w := range words {
		if w[0] == '+' || w[0] == '-' {
			if sign == 0 {
				now |= was
			}
			sign, w = w[0], w[1:]
		}
		bit := includeChecks(w)
		if sign == '-' {
			now &^= bit
		} else {
			now |= bit
		}
	}
	return now
}

// includeChecks returns what a name of include_check stands for, 0 if it is none.
func includeChecks(name string) strictness {
	switch name {
	case "readable":
		return readable
	case "match":
		return match | readable
	case "wildcard_match":
		return wildcardMatch | readable
	case "brace_match":
		return braceMatch | readable
	}
	return 0
}

// includeCheck complains about what include_check does not know. Its effect is on the lines of the file, see setting.
func (p *parser) includeCheck(b *block, s *statement) {
	for _, w := range s.args() {
		if includeChecks(strings.TrimLeft(w.text, "+-")) == 0 {
			p.fail(w.pos, "write readable, match, wildcard_match or brace_match, with + or - before it to change what is so", "unknown check %s",
				show(w.text))
		}
	}
}

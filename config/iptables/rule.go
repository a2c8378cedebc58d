package iptables

import (
	"slices"
	"strconv"
	"strings"

	"dirsw/config"
)

// parser reads one command line, up to its first mistake.
type parser struct {
	ipv6  bool
	table string // named already, as in iptables-save; empty: -t names it
	words []Word
	at    int

	cmd     Command
	rule    config.MarkRule
	src     []config.MarkAddr
	dst     []config.MarkAddr
	exts    []*extension
	implied bool // the extension of the protocol was loaded because an option of it was used
	not     bool // "!" stands before what comes
	notPos  config.Pos
	seen    string // short letters of the options that came
	other   bool   // -4 or -6 of the other program: the line is not for this one
}

// next returns the value of an option.
func (p *parser) next(option Word) (Word, error) {
	if p.at == len(p.words) {
		return Word{}, fail(option.Pos, "write it behind it", "option %q requires an argument", option.Text)
	}
	p.at++
	return p.words[p.at-1], nil
}

// optional returns the word that comes if it is no option.
func (p *parser) optional() (Word, bool) {
	if p.at == len(p.words) || strings.HasPrefix(p.words[p.at].Text, "-") || p.words[p.at].Text == "!" {
		return Word{}, false
	}
	p.at++
	return p.words[p.at-1], true
}

// run reads all words.
func (p *parser) run() error {
	for p.at < len(p.words) {
		w := p.words[p.at]
		p.at++
		var err error
		switch {
		case w.Text == "!" && p.not:
			return fail(w.Pos, "remove one", "multiple consecutive ! not allowed")
		case w.Text == "!":
			p.not, p.notPos = true, w.Pos
			continue
		case strings.HasPrefix(w.Text, "--") && len(w.Text) > 2:
			err = p.long(w)
		case strings.HasPrefix(w.Text, "-") && len(w.Text) > 1:
			err = p.letters(w)
		default:
			return p.stray(w)
		}
		if err != nil {
			return err
		}
		if p.not {
			return fail(p.notPos, "write ! before a condition", "unexpected ! flag before %s", w.Text)
		}
	}
	if p.not {
		return fail(p.notPos, "write a condition after it", "nothing follows the !")
	}
	return nil
}

// stray complains of a word that is no option.
func (p *parser) stray(w Word) error {
	fix := "remove it"
	if p.at > 1 && p.words[p.at-2].Text == "!" || p.at > 2 && p.words[p.at-2].Text != "" && p.words[p.at-3].Text == "!" {
		fix = "write ! before the option that it turns round"
	}
	return fail(w.Pos, fix, "Bad argument `%s'", w.Text)
}

// long handles --NAME, --NAME VALUE and --NAME=VALUE.
func (p *parser) long(w Word) error {
	name, text, inline := strings.Cut(w.Text[2:], "=")
	f, several, ok := p.lookup(name)
	if !ok && several == nil && p.implyProtocol() {
		f, several, ok = p.lookup(name)
	}
	switch {
	case several != nil:
		return fail(w.Pos, "write its whole name", "option %q is ambiguous: %s", w.Text, strings.Join(several, " "))
	case !ok:
		return p.unknown(w)
	case inline && f.arity == bare:
		return fail(w.Pos, "write --"+f.name, "option \"--%s\" takes no value", f.name)
	}
	var v Word
	var err error
	switch {
	case inline:
		v = Word{text, w.Pos}
	case f.arity == takes:
		v, err = p.next(w)
	case f.arity == may:
		v, _ = p.optional()
	}
	if err != nil {
		return err
	}
	if f.ext != nil {
		return p.extensionOption(f, w, v)
	}
	return p.global(f.short, w, v)
}

// unknown complains of an option that nothing has.
func (p *parser) unknown(w Word) error {
	name := strings.TrimLeft(w.Text, "-")
	fix := "remove it"
	switch {
	case slices.Contains([]string{"sport", "dport", "source-port", "destination-port"}, name):
		fix = "write -p tcp or -p udp before it"
	case slices.Contains([]string{"sports", "dports", "ports", "source-ports", "destination-ports"}, name):
		fix = "write -m multiport before it"
	case name == "comment", name == "mark":
		fix = "write -m " + name + " before it"
	case strings.HasSuffix(name, "mark"):
		fix = "write -j MARK before it"
	}
	return fail(w.Pos, fix, "unknown option %q", w.Text)
}

// letters handles -x, -x VALUE, -xVALUE, and several letters without values in one word.
func (p *parser) letters(w Word) error {
	for i := 1; i < len(w.Text); i++ {
		o, ok := short(w.Text[i])
		if !ok {
			return fail(w.Pos, "remove it", "unknown option \"-%c\"", w.Text[i])
		}
		if o.arity == bare {
			if err := p.global(o.short, w, Word{}); err != nil {
				return err
			}
			continue
		}
		v := Word{w.Text[i+1:], w.Pos}
		if v.Text == "" {
			var err error
			if o.arity == may {
				v, _ = p.optional()
			} else if v, err = p.next(w); err != nil {
				return err
			}
		}
		return p.global(o.short, w, v)
	}
	return nil
}

// once complains of an option that came before.
func (p *parser) once(letter byte, w Word) error {
	if strings.IndexByte(p.seen, letter) >= 0 {
		return fail(w.Pos, "keep one of them", "multiple -%c flags not allowed", letter)
	}
	p.seen += string(letter)
	return nil
}

// invert takes the "!" that stands before an option that can be turned round.
func (p *parser) invert() bool {
	not := p.not
	p.not = false
	return not
}

// global handles an option of iptables itself.
func (p *parser) global(letter byte, w, v Word) error {
	if strings.IndexByte("sdpijgfc", letter) >= 0 {
		if err := p.once(letter, w); err != nil {
			return err
		}
	}
	switch letter {
	case 's', 'd':
		list, err := addresses(v, p.invert(), p.ipv6)
		if p.src == nil && letter == 's' {
			p.src = list
		} else if letter == 'd' {
			p.dst = list
		}
		return err
	case 'p':
		return p.protocol(v)
	case 'i':
		return p.inInterface(v)
	case 'f':
		if p.ipv6 {
			return fail(w.Pos, "leave it out: fragments are put together before they are scheduled", "`-f' is not supported in IPv6")
		}
		p.rule.Fragment = config.LaterFragment
		if p.invert() {
			p.rule.Fragment = config.NoFragment
		}
	case 'o':
		return fail(w.Pos, "name the interface that packets come from: -i NAME", "Can't use -o with %s", or(p.cmd.Chain, "PREROUTING"))
	case 'm':
		return p.loadMatch(v)
	case 'j', 'g':
		return p.target(letter, w, v)
	case 't':
		return p.tableName(w, v)
	case 'c':
		return p.counters(w, v)
	case '4', '6':
		p.other = p.ipv6 != (letter == '6')
	case 'w', 'W', 'v', 'n', 'x', '0':
	case 'M', 'h', 'V':
		return fail(w.Pos, "remove it", "option %q means nothing here", w.Text)
	default:
		return p.command(letter, w, v)
	}
	return nil
}

func or(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

// protocol reads what -p takes.
func (p *parser) protocol(v Word) error {
	not := p.invert()
	n, ok := config.ProtocolNumber(v.Text)
	if number, err := strconv.ParseUint(v.Text, 10, 8); err == nil {
		n, ok = uint8(number), true
	}
	ok = ok || strings.EqualFold(v.Text, "all")
	switch {
	case !ok:
		return fail(v.Pos, "write tcp, udp, sctp or a number", "unknown protocol %s specified", show(v.Text))
	case n == 0 && not:
		return fail(v.Pos, "leave the rule out", "rule would never match protocol")
	case n != 0 && p.ipv6 && slices.Contains(ipv6Extensions(), n):
		return fail(v.Pos, "write the protocol behind the extension headers", "never matched protocol: %s", v.Text)
	}
	p.rule.Proto = config.MarkProtocol{Number: n, Not: not}
	return nil
}

// inInterface reads what -i takes. "+" alone is every interface.
func (p *parser) inInterface(v Word) error {
	not := p.invert()
	switch {
	case v.Text == "":
		return fail(v.Pos, "name one, or leave -i out", "Empty interface is likely to be undesired")
	case len(v.Text) > 15:
		return fail(v.Pos, "write its name", "interface name `%s' must be shorter than IFNAMSIZ (15)", v.Text)
	case strings.ContainsAny(v.Text, "/ \t\n"):
		return fail(v.Pos, "write its name", "the interface name %s has characters that no interface has", show(v.Text))
	case v.Text != "+" || not:
		p.rule.In = config.MarkInterface{Name: v.Text, Not: not}
	}
	return nil
}

// counters reads -c PACKETS BYTES, which nothing is done with: a director counts by service.
func (p *parser) counters(w, v Word) error {
	packets, bytes, both := strings.Cut(v.Text, ",")
	if !both {
		b, ok := p.optional()
		if !ok {
			return fail(w.Pos, "write -c PACKETS BYTES", "-c requires packet and byte counter")
		}
		bytes = b.Text
	}
	for _, n := range []string{packets, bytes} {
		if _, err := strconv.ParseUint(n, 10, 64); err != nil {
			return fail(w.Pos, "write -c PACKETS BYTES", "-c: %s is not numeric", show(n))
		}
	}
	return nil
}

func (p *parser) tableName(w, v Word) error {
	switch {
	case p.table != "":
		return fail(w.Pos, "remove it: the line *"+p.table+" names the table", "The -t option cannot be used here")
	case v.Text != "mangle":
		return fail(v.Pos, "write -t mangle", "the table %s gives no marks", show(v.Text))
	}
	if err := p.once('t', w); err != nil {
		return err
	}
	return nil
}

package keepalived

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dirsw/config"
)

// args returns the words after the keyword: at least one, at most n. What is too much is told and left out.
func (p *parser) args(b *block, s *statement, least, most int) ([]token, bool) {
	args := s.args()
	if len(args) < least {
		p.fail(s.pos(), "write it on the same line", "%q is missing its value", s.name())
		return nil, false
	}
	if len(args) > most {
		extra := args[most]
		if _, ok := p.words[b.kind][extra.text]; ok && !extra.quoted {
			p.fail(extra.pos, "write it on a line of its own", "%q stands on the line of %q", extra.text, s.name())
		} else if isASCII(extra.text) {
			p.note(extra.pos, "%s after %q is ignored", show(extra.text), s.name())
		} else {
			p.fail(extra.pos, "write # before a comment", "%s after %q", show(extra.text), s.name())
		}
		args = args[:most]
	}
	return args, true
}

// text returns the single value of a statement.
func (p *parser) text(b *block, s *statement) (string, bool) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return "", false
	}
	return args[0].text, true
}

// bare complains about values of a keyword that takes none.
func (p *parser) bare(b *block, s *statement) { p.args(b, s, 0, 0) }

// number returns the single value of a statement, a whole number from low to high.
func (p *parser) number(b *block, s *statement, low, high int64) (int64, bool) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return 0, false
	}
	return p.integer(args[0], low, high)
}

// integer makes a number of a word.
func (p *parser) integer(w token, low, high int64) (int64, bool) {
	n, err := strconv.ParseInt(w.text, 10, 64)
	switch {
	case err == nil && n >= low && n <= high:
		return n, true
	case err != nil && !isOutOfRange(err):
		p.fail(w.pos, "write digits", "invalid number %s", show(w.text))
	default:
		p.fail(w.pos, fmt.Sprintf("write %d to %d", low, high), "number %s is out of range", show(w.text))
	}
	return 0, false
}

func isOutOfRange(err error) bool {
	e, ok := err.(*strconv.NumError)
	return ok && e.Err == strconv.ErrRange
}

// seconds returns the single value of a statement, in seconds with up to six decimals, of at least low and at most high.
func (p *parser) seconds(b *block, s *statement, low, high time.Duration) (time.Duration, bool) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return 0, false
	}
	return p.duration(args[0], low, high)
}

// duration makes a time of a word.
func (p *parser) duration(w token, low, high time.Duration) (time.Duration, bool) {
	whole, fraction, point := strings.Cut(w.text, ".")
	n, err := strconv.ParseUint(whole, 10, 32)
	micros := uint64(0)
	if err == nil && point {
		if len(fraction) > 6 {
			fraction = fraction[:6]
		}
		micros, err = strconv.ParseUint(fraction+strings.Repeat("0", 6-len(fraction)), 10, 32)
	}
	if err != nil {
		p.fail(w.pos, "write seconds in digits", "invalid number %s", show(w.text))
		return 0, false
	}
	d := time.Duration(n)*time.Second + time.Duration(micros)*time.Microsecond
	if d < low || d > high {
		p.fail(w.pos, fmt.Sprintf("write %s to %s", inSeconds(low), inSeconds(high)), "%s seconds is out of range", show(w.text))
		return 0, false
	}
	return d, true
}

// longest is the longest time keepalived takes anywhere: 2^32 microseconds.
const longest = 4294 * time.Second

// longestTimeout is the longest timeout of connections and templates: 31 days.
const longestTimeout = 31 * 24 * time.Hour

// inSeconds writes a time as keepalived.conf has it: seconds with at most six decimals.
func inSeconds(d time.Duration) string {
	whole := strconv.FormatInt(int64(d/time.Second), 10)
	micros := d % time.Second / time.Microsecond
	if micros == 0 {
		return whole
	}
	return whole + "." + strings.TrimRight(fmt.Sprintf("%06d", micros), "0")
}

// boolean returns the value of a switch: on when nothing follows.
func (p *parser) boolean(b *block, s *statement) (on, ok bool) {
	args, _ := p.args(b, s, 0, 1)
	if len(args) == 0 {
		return true, true
	}
	switch strings.ToLower(args[0].text) {
	case "on", "true", "yes":
		return true, true
	case "off", "false", "no":
		return false, true
	}
	p.fail(args[0].pos, "write on or off", "%s after %q is neither on nor off", show(args[0].text), s.name())
	return false, false
}

// setBool is boolean, stored.
func (p *parser) setBool(b *block, s *statement, to *bool) {
	if on, ok := p.boolean(b, s); ok {
		*to = on
	}
}

// setText is text, stored.
func (p *parser) setText(b *block, s *statement, to *string) {
	if text, ok := p.text(b, s); ok {
		*to = text
	}
}

// setCommand stores a command: one word, the program with its arguments between quotation marks, then as whom it runs.
func (p *parser) setCommand(b *block, s *statement, to *config.Command) {
	args, ok := p.args(b, s, 1, 3)
	if !ok {
		return
	}
	c := config.Command{Args: split(args[0].escaped())}
	if len(c.Args) == 0 {
		p.fail(args[0].pos, "write the program", "%q names no program", s.name())
		return
	}
	c.User, c.Group = account(args[1:])
	*to = c
}

// setProgram stores a command that says nothing of its user: one word, the program with its arguments.
func (p *parser) setProgram(b *block, s *statement, to *config.Command) {
	args := s.args()
	if len(args) == 0 {
		p.args(b, s, 1, 1)
		return
	}
	if to.Args = split(args[0].escaped()); len(to.Args) == 0 {
		p.fail(args[0].pos, "write the program", "%q names no program", s.name())
	}
	if len(args) > 1 {
		p.note(args[1].pos, "%s is not passed to the program, in keepalived as well: put the program and its arguments in one pair of quotation marks",
			show(args[1].text))
	}
}

// account reads `user [group]`, `user:group` and `user :group`.
func account(args []token) (user, group string) {
	if len(args) == 0 {
		return "", ""
	}
	user = args[0].text
	if len(args) > 1 {
		return user, strings.TrimPrefix(args[1].text, ":")
	}
	user, group, _ = strings.Cut(user, ":")
	return user, group
}

// setInt is number, stored.
func (p *parser) setInt(b *block, s *statement, low, high int64, to *int) {
	if n, ok := p.number(b, s, low, high); ok {
		*to = int(n)
	}
}

// setTime is seconds, stored.
func (p *parser) setTime(b *block, s *statement, low, high time.Duration, to *time.Duration) {
	if d, ok := p.seconds(b, s, low, high); ok {
		*to = d
	}
}

// setAddr stores the single value of a statement, an address.
func (p *parser) setAddr(b *block, s *statement, to *netip.Addr) {
	if args, ok := p.args(b, s, 1, 1); ok {
		if a, ok := p.address(args[0]); ok {
			*to = a
		}
	}
}

// address makes an address of a word.
func (p *parser) address(w token) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(w.text, "[]"))
	if err == nil && a.Zone() == "" {
		return a.Unmap(), true
	}
	fix := "write an IPv4 or IPv6 address"
	if _, err := netip.ParsePrefix(w.text); err == nil {
		fix = "write it without the length"
	} else if ap, err := netip.ParseAddrPort(w.text); err == nil {
		fix = fmt.Sprintf("write %s %d", ap.Addr(), ap.Port())
	} else if strings.ContainsAny(w.text, "-") {
		fix = "write one address, not a range"
	} else if strings.Contains(w.text, ",") {
		fix = "write one address here"
	}
	p.fail(w.pos, fix, "malformed address %s", show(w.text))
	return netip.Addr{}, false
}

// endpoint reads an address and, if it is there, a port.
func (p *parser) endpoint(args []token) (a netip.Addr, port uint16, ok bool) {
	a, ok = p.address(args[0])
	if len(args) > 1 {
		n, good := p.integer(args[1], 0, math.MaxUint16)
		port, ok = uint16(n), ok && good
	}
	return a, port, ok
}

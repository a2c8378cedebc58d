package keepalived

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dirsw/config"
)

// Print writes m as a keepalived.conf that Parse makes the same Model of, positions and origins aside. Settings that no
// keyword can say are an error: a persistence mask that is none of a network.
func Print(w io.Writer, m *config.Model) error {
	p := &printer{w: bufio.NewWriter(w)}
	p.text("instance", m.Name)
	p.globals(&m.Globals)
	p.dataplane(&m.Dataplane, &m.Marks)
	p.vrrp(m)
	p.tls(&m.TLS)
	p.services(m)
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("print keepalived.conf: %w", err)
	}
	return p.err
}

// quote writes a word so that Parse reads it back: in quotation marks where it must be.
func quote(s string) string {
	plainWord := s != ""
	for _, r := range s {
		if _, o := config.Fold(r); o != config.Plain || r <= ' ' || r == 0x7F || strings.ContainsRune(`"'#!{}\`, r) {
			plainWord = false
		}
	}
	if plainWord {
		return s
	}
	return quoteAll(s)
}

// quoteAll writes a text in quotation marks.
func quoteAll(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// printer writes blocks. err is the first thing it could not say.
type printer struct {
	w     *bufio.Writer
	depth int
	err   error
}

// line writes words on a line; the first is a keyword.
func (p *printer) line(words ...string) {
	p.indent()
	for i, w := range words {
		if i > 0 {
			p.w.WriteByte(' ')
		}
		p.w.WriteString(quote(w))
	}
	p.w.WriteByte('\n')
}

func (p *printer) indent() { p.w.WriteString(strings.Repeat("  ", p.depth)) }

// value writes a line of a block of values. A value that would begin another kind of line is quoted.
func (p *printer) value(words ...string) {
	if first := words[0]; quote(first) == first && (begins(first) || prescient(first)) {
		p.indent()
		p.w.WriteString(quoteAll(first) + "\n")
		return
	}
	p.line(words...)
}

// bool writes a switch in either position.
func (p *printer) bool(keyword string, on bool) {
	p.line(keyword, map[bool]string{true: "on", false: "off"}[on])
}

// block writes a block whose lines body writes. The outermost are set apart by an empty line.
func (p *printer) block(body func(), words ...string) {
	p.indent()
	for _, w := range words {
		p.w.WriteString(quote(w) + " ")
	}
	p.w.WriteString("{\n")
	p.depth++
	body()
	p.depth--
	p.indent()
	p.w.WriteString("}\n")
	if p.depth == 0 {
		p.w.WriteByte('\n')
	}
}

// text, number, time and flag write a keyword and its value unless the value is the zero one.
func (p *printer) text(keyword, value string) {
	if value != "" {
		p.line(keyword, value)
	}
}

func (p *printer) number(keyword string, n int64) {
	if n != 0 {
		p.line(keyword, strconv.FormatInt(n, 10))
	}
}

func (p *printer) time(keyword string, d time.Duration) {
	if d != 0 {
		p.line(keyword, inSeconds(d))
	}
}

func (p *printer) flag(keyword string, on bool) {
	if on {
		p.line(keyword)
	}
}

func (p *printer) addr(keyword string, a netip.Addr) {
	if a.IsValid() {
		p.line(keyword, a.String())
	}
}

func (p *printer) dataplane(d *config.Dataplane, marks *config.Marks) {
	if d.Pos == (config.Pos{}) && len(d.Interfaces) == 0 && d.Queues == 0 && len(d.Cores) == 0 && !d.AutoCores && d.Workers == 0 &&
		d.Steer == 0 && d.Mode == 0 &&
		d.ZeroCopy == 0 && d.Wait == 0 && d.Connections == 0 && !d.Replace && d.Accelerate == 0 && d.Coalesce == 0 && len(d.Sysctls) == 0 &&
		len(marks.IPv4.Chains) == 0 && len(marks.IPv6.Chains) == 0 {
		return
	}
	p.block(func() {
		if len(d.Interfaces) > 0 {
			p.line(append([]string{"interfaces"}, d.Interfaces...)...)
		}
		p.number("queues", int64(d.Queues))
		p.number("workers", int64(d.Workers))
		if d.AutoCores {
			p.line("cores", "auto")
		}
		if len(d.Cores) > 0 {
			words := []string{"cores"}
			for _, c := range d.Cores {
				words = append(words, strconv.Itoa(c))
			}
			p.line(words...)
		}
		p.line("steer", d.Steer.String())
		p.line("mode", d.Mode.String())
		p.line("zero_copy", d.ZeroCopy.String())
		p.line("wait", d.Wait.String())
		p.number("connections", int64(d.Connections))
		p.flag("replace_xdp", d.Replace)
		if d.Accelerate == config.DefaultAccelerate {
			p.line("accelerate", "on")
		} else {
			p.number("accelerate", int64(d.Accelerate))
		}
		if d.Coalesce == config.NoCoalesce {
			p.line("coalesce", "off")
		} else {
			p.number("coalesce", int64(d.Coalesce))
		}
		for _, s := range d.Sysctls {
			p.line(append([]string{"sysctl", config.SysctlPrefix + s.Name}, strings.Fields(s.Value)...)...)
		}
		p.marks(marks)
	}, "dataplane")
}

package health

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// Words as of HAProxy's configuration manual, section 5.2, agent-check.
func TestAgentState(t *testing.T) {
	type said struct {
		line  string
		grade Grade
		fails string // "" is well; "?" is not understood
	}
	percent := func(n int) Grade { return Grade{Kind: GradePercent, Value: n} }
	drained := Grade{Kind: GradePercent, AtOnce: true}
	for _, tt := range []struct {
		name string
		says []said
	}{
		{"a percentage", []said{{"75%", percent(75), ""}, {"100%", percent(100), ""}}},
		{"it holds until another", []said{{"50%", percent(50), ""}, {"up", percent(50), ""}, {"ready 20%", percent(20), ""}}},
		{"drain and ready", []said{{"drain", drained, ""}, {"80%", drained, ""}, {"ready", percent(80), ""}}},
		{"maint", []said{{"maint", Grade{}, "agent says maint"}, {"up", Grade{}, "agent says maint"}, {"ready", Grade{}, ""}}},
		{"down with a reason", []said{{"down #disk  full", Grade{}, "agent says down #disk  full"}, {"ready", Grade{}, "agent says down #disk  full"}, {"up", Grade{}, ""}}},
		{"stopped", []said{{"stopped", Grade{}, "agent says stopped"}}},
		{"failed", []said{{"failed#x", Grade{}, "agent says failed #x"}, {"fail", Grade{}, "agent says fail"}}},
		{"several words, any blanks", []said{{"UP,ready;\t30% maxconn:12", percent(30), ""}}},
		{"the last word holds", []said{{"down up", Grade{}, ""}, {"up down", Grade{}, "agent says down"}}},
		{"not understood", []said{{"50%", percent(50), ""}, {"hello", Grade{}, "?"}, {"", Grade{}, "?"}, {"#down", Grade{}, "?"}, {"up", percent(50), ""}}},
		{"what is understood counts", []said{{"hello 10%", percent(10), ""}}},
		{"no number", []said{{"%", Grade{}, "?"}, {"-5%", Grade{}, "?"}, {"99999999999%", Grade{}, "?"}, {"1e3%", Grade{}, "?"}}},
		{"a bounded number", []said{{"5000%", percent(agentMaxPercent), ""}, {"0%", percent(0), ""}}},
		{"no control characters in the log", []said{{"down #a\x1b[2Jb\x00", Grade{}, "agent says down #a[2Jb"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s agentState
			for _, q := range tt.says {
				err := s.hear(q.line)
				if (err != nil) != (q.fails == "?") {
					t.Fatalf("%q: %v", q.line, err)
				}
				if err != nil {
					continue
				}
				g, err := s.grade()
				text := ""
				if err != nil {
					text = err.Error()
				}
				if g != q.grade || text != q.fails {
					t.Errorf("%q: %+v %q, want %+v %q", q.line, g, text, q.grade, q.fails)
				}
			}
		})
	}
}

func FuzzAgentState(f *testing.F) {
	for _, s := range []string{"75%", "drain #x", "up ready 3%", "down#\xff", "maxconn:1,maint"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var s agentState
		before := s
		if s.hear(line) != nil && s != before {
			t.Errorf("%q is not understood, and changes the state", line)
		}
		g, err := s.grade()
		if g.Value < 0 || g.Value > agentMaxPercent {
			t.Errorf("grade %+v", g)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
			t.Errorf("%q in a log line", err)
		}
	})
}

func TestAgentOnTheWire(t *testing.T) {
	const timeout = 200 * time.Millisecond
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	for _, tt := range []struct {
		name     string
		talk     func(net.Conn)
		required bool
		want     error
		grade    Grade
	}{
		{"a line", says("40%\n"), false, nil, Grade{Kind: GradePercent, Value: 40}},
		{"a line and more", says("40%\r\nup\n"), false, nil, Grade{Kind: GradePercent, Value: 40}},
		{"no line end", says("40%"), false, nil, Grade{Kind: GradePercent, Value: 40}},
		{"the line end is enough", func(c net.Conn) { says("40%\n")(c); silent(c) }, false, nil, Grade{Kind: GradePercent, Value: 40}},
		{"silence says nothing", silent, false, ErrSilent, Grade{}},
		{"silence of a required one", silent, true, ErrTimeout, Grade{}},
		{"a byte at a time", dripping("x", 20*time.Millisecond), false, ErrSilent, Grade{}},
		{"no end", dripping(strings.Repeat("x", 700), 0), true, nil, Grade{}},
		{"nothing", says(""), false, ErrSilent, Grade{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Agent{Dial: Dial{Addr: serve(t, tt.talk), Timeout: timeout}, Required: tt.required}
			if tt.want == nil {
				c.Dial.Timeout = testenv.Patience
			}
			g, err := c.Grade(t.Context())
			if tt.name == "no end" {
				if err == nil || errors.Is(err, ErrSilent) {
					t.Errorf("%v, want a failure", err)
				}
				return
			}
			if g != tt.grade || (tt.want == nil) != (err == nil) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%+v, %v, want %+v, %v", g, err, tt.grade, tt.want)
			}
		})
	}
	t.Run("it is asked", func(t *testing.T) {
		heard := make(chan string, 1)
		c := &Agent{Send: "web1\n", Dial: Dial{Timeout: testenv.Patience, Addr: serve(t, func(c net.Conn) {
			heard <- hear(c)
			_, _ = io.WriteString(c, "up\n")
		})}}
		if err := c.Check(context.Background()); err != nil {
			t.Error(err)
		}
		if s := <-heard; s != "web1\n" {
			t.Errorf("heard %q", s)
		}
	})
}

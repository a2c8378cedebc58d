package ctl

import (
	"bufio"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"dirsw/stats"
)

// says listens like a director and gives the same answer to everything.
func says(t *testing.T, answer string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				c.Write([]byte(answer))
			}
			c.Close()
		}
	}()
	return path
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, tt := range []struct{ name, answer, want string }{
		{"nothing", "", "broke off"},
		{"no end", `{"text":"half"}` + "\n", "broke off"},
		{"half a message", `{"text":"ha`, "broke off"},
		{"not JSON", "HTTP/1.1 400 Bad Request\r\n", "read the answer"},
		{"wrong types", `{"conns":7}` + "\n", "read the answer"},
		{"error of the director", `{"error":"no such file"}` + "\n", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, says(t, tt.answer))
			_, explainErr := c.Explain("q")
			_, statsErr := c.Stats()
			connsErr := c.Conns(func(stats.Conn) bool { return true })
			for _, err := range []error{explainErr, statsErr, connsErr} {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
				if errors.Is(err, ErrUnreachable) {
					t.Errorf("%v is told as unreachable", err)
				}
			}
		})
	}
}

// TestUnknownPartsAreSkipped lets a newer director of the same protocol add messages.
func TestUnknownPartsAreSkipped(t *testing.T) {
	c := dial(t, says(t, `{"progress":3}`+"\n"+`{"text":"done"}`+"\n"+`{"end":true}`+"\n"))
	if got, err := c.Reload(); err != nil || got != "done" {
		t.Errorf("Reload: %q, %v", got, err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{"protocol":1,"command":"stats"}` + "\n", "{}\n", "\n", "", `{"protocol":1`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		req, err := readRequest(strings.NewReader(s))
		if err == nil && (req.Protocol != protocol || !strings.Contains(s, "\n")) {
			t.Errorf("%q was taken for %+v", s, req)
		}
	})
}

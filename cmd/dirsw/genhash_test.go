package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"dirsw/internal/testenv"
)

// TestGenhash compares what is printed with what Debian's genhash prints for the same page.
func TestGenhash(t *testing.T) {
	testenv.NeedProgram(t, "genhash")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		_, _ = w.Write([]byte("hello " + r.Host + "\n")) // an error is seen by who asked
	}))
	defer s.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	vary := regexp.MustCompile(`= \d+ usecs| +\n`) // it fills up rows with blanks
	for _, extra := range [][]string{nil, {"-V", "www.example.org"}, {"-P", "1.1"}, {"-v"}} {
		args := append([]string{"-s", "127.0.0.1", "-p", port, "-u", "/page"}, extra...)
		want, err := exec.Command("genhash", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if code := cmdGenhash(t.Context(), args, &out, &errs); code != exitOK {
			t.Errorf("%q: exit %d: %s", args, code, errs.String())
		}
		if got, want := vary.ReplaceAllString(out.String(), "\n"), vary.ReplaceAllString(string(want), "\n"); got != want {
			t.Errorf("%q:\n%s\nwant\n%s", args, got, want)
		}
	}
	var out, errs bytes.Buffer
	if code := cmdGenhash(t.Context(), []string{"-s", "www", "-p", "80", "-u", "/"}, &out, &errs); code != exitUsage ||
		!strings.Contains(errs.String(), `-s "www": write an IP address`) {
		t.Errorf("a name: exit %d: %s", code, errs.String())
	}
}

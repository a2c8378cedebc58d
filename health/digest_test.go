package health

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// digestAnswers are answers of servers by name; genhash (keepalived 2.2.7) gives the digest, or says no data.
func digestAnswers() map[string]string {
	const ok = "HTTP/1.0 200 OK\r\n"
	return map[string]string{
		"with a length":                ok + "Content-Length: 5\r\n\r\nhello",
		"longer than its length":       ok + "Content-Length: 5\r\n\r\nhelloworld",
		"shorter than its length":      ok + "Content-Length: 20\r\n\r\nhelloworld",
		"without a length":             ok + "\r\nhelloworld",
		"length in small letters":      ok + "content-length: 5\r\n\r\nhelloworld",
		"length in another header":     ok + "X-Content-Length: 3\r\nContent-Length: 5\r\n\r\nhelloworld",
		"length on the next line":      ok + "Content-Length:\r\n 5\r\n\r\nhelloworld",
		"negative length":              ok + "Content-Length: -5\r\n\r\nhelloworld",
		"length 0":                     ok + "Content-Length: 0\r\n\r\nhelloworld",
		"length of 20 digits":          ok + "Content-Length: 99999999999999999999\r\n\r\nhelloworld",
		"length beyond 32 bits":        ok + "Content-Length: 4294967301\r\n\r\nhelloworld",
		"length that is no number":     ok + "Content-Length: many\r\n\r\nhelloworld",
		"length with letters after":    ok + "Content-Length: 5abc\r\n\r\nhelloworld",
		"length with blanks after":     ok + "Content-Length: 5  \r\n\r\nhelloworld",
		"length with a tab":            ok + "Content-Length:\t5\t\r\n\r\nhelloworld",
		"length with a sign":           ok + "Content-Length: +5\r\n\r\nhelloworld",
		"length without a blank":       ok + "Content-Length:5\r\n\r\nhelloworld",
		"length in hexadecimal":        ok + "Content-Length: 0x5\r\n\r\nhelloworld",
		"empty length":                 ok + "Content-Length: \r\n\r\nhelloworld",
		"empty length, then a number":  ok + "Content-Length: \r\n\r\n3elloworld",
		"length with a bare newline":   ok + "Content-Length: 5\nX: y\r\n\r\nhelloworld",
		"length with a bare return":    ok + "Content-Length: 5\rX: y\r\n\r\nhelloworld",
		"length in the body":           ok + "\r\nContent-Length: 5\r\nhelloworld",
		"empty":                        ok + "\r\n",
		"404":                          "HTTP/1.0 404 Not Found\r\n\r\nhelloworld",
		"chunks":                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"a megabyte":                   ok + "\r\n" + strings.Repeat("abcdefghij", 100_000),
		"a megabyte, half of it meant": ok + "Content-Length: 500005\r\n\r\n" + strings.Repeat("abcdefghij", 100_000),
		"bytes of all values":          ok + "\r\n" + allBytes(),
		"no header":                    "helloworld",
		"bare newlines":                "HTTP/1.0 200 OK\n\nhelloworld",
		"nothing":                      "",
	}
}

func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// TestDigestIsGenhashs asks the same servers by Digest and by Debian's genhash.
func TestDigestIsGenhashs(t *testing.T) {
	testenv.NeedProgram(t, "genhash")
	for name, answer := range digestAnswers() {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, func(c net.Conn) {
				answering(answer)(c)
				_ = c.(*net.TCPConn).CloseWrite()
				silent(c)
			})
			out, err := exec.Command("genhash", "-s", addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port())),
				"-u", "/", "-t", "5").CombinedOutput()
			if err != nil {
				t.Fatalf("genhash: %v\n%s", err, out)
			}
			sum, err := Digest(context.Background(), DigestOptions{Dial: Dial{Addr: addr, Timeout: testenv.Patience}, Path: "/"})
			got := hex.EncodeToString(sum[:])
			if err != nil {
				got = textOf(err)
			}
			if want := strings.TrimSpace(string(out)); got != want {
				t.Errorf("%s, genhash says %s", got, want)
			}
		})
	}
}

// TestDigestRequestIsGenhashs compares what both send.
func TestDigestRequestIsGenhashs(t *testing.T) {
	testenv.NeedProgram(t, "genhash")
	said := make(chan string, 1)
	addr := serve(t, func(c net.Conn) {
		said <- hear(c)
		_, _ = c.Write([]byte("HTTP/1.0 200 OK\r\n\r\n"))
	})
	for _, tt := range []struct {
		words    string
		protocol HTTPProtocol
		host     string
	}{
		{"", HTTP10, ""}, {"-P 1.0c", HTTP10C, ""}, {"-P 1.1 -V www.example.org", HTTP11, "www.example.org"},
	} {
		args := append(strings.Fields(tt.words), "-s", addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port())), "-u", "/a?b")
		if out, err := exec.Command("genhash", args...).CombinedOutput(); err != nil {
			t.Fatalf("genhash: %v\n%s", err, out)
		}
		want := <-said
		if _, err := Digest(context.Background(), DigestOptions{
			Dial: Dial{Addr: addr, Timeout: testenv.Patience}, Path: "/a?b", Protocol: tt.protocol, VirtualHost: tt.host,
		}); err != nil {
			t.Fatal(err)
		}
		if got := <-said; got != want {
			t.Errorf("%q: request\n%q, genhash sends\n%q", tt.words, got, want)
		}
	}
}

// TestDigestVerbose compares the listing with that of genhash -v, but for how long it took.
func TestDigestVerbose(t *testing.T) {
	testenv.NeedProgram(t, "genhash")
	addr := serve(t, answering("HTTP/1.0 200 OK\r\nContent-Length: 21\r\n\r\nhello\tworld, 21 bytes"))
	out, err := exec.Command("genhash", "-v", "-s", addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port())), "-u", "/").Output()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	sum, err := Digest(context.Background(), DigestOptions{Dial: Dial{Addr: addr}, Path: "/", Verbose: &b})
	if err != nil {
		t.Fatal(err)
	}
	got := b.String() + hex.EncodeToString(sum[:])
	want, _, _ := strings.Cut(string(out), "\n\nGlobal response time")
	if clean(got) != clean(want) {
		t.Errorf("listing\n%s\nwant\n%s", got, want)
	}
}

// clean takes the blanks off the ends of lines.
func clean(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func TestDigestFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    DigestOptions
		want string
	}{
		{"refused", DigestOptions{Dial: Dial{Addr: refusing(t)}, Path: "/"}, "Connection failed"},
		{"silent", DigestOptions{Dial: Dial{Addr: serve(t, silent), Timeout: 100 * time.Millisecond}, Path: "/"}, "Timeout WEB read"},
		{"no path", DigestOptions{}, "url 1 has no path"},
	} {
		sum, err := Digest(context.Background(), tt.o)
		if err == nil || textOf(err) != tt.want || sum != [md5.Size]byte{} {
			t.Errorf("%s: %x, error %v, want %q", tt.name, sum, err, tt.want)
		}
	}
}

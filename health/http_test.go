package health

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/internal/testenv"
)

// TestHTTPRequest compares with the bytes that keepalived 2.2.7 sends, read off its connections.
func TestHTTPRequest(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("[2001:db8::1]:8080")
	const agent = "\r\nUser-Agent: KeepAliveClient\r\n"
	for _, tt := range []struct {
		name       string
		o          HTTPOptions
		path, host string
		want       string
	}{
		{"1.0", HTTPOptions{Dial: Dial{Addr: v4}}, "/", "",
			"GET / HTTP/1.0" + agent + "Host: 192.0.2.1:80\r\n\r\n"},
		{"1.0C", HTTPOptions{Dial: Dial{Addr: v4}, Protocol: HTTP10C}, "/a?b=c", "",
			"GET /a?b=c HTTP/1.0" + agent + "Connection: close\r\nHost: 192.0.2.1:80\r\n\r\n"},
		{"1.1", HTTPOptions{Dial: Dial{Addr: v4}, Protocol: HTTP11}, "/", "",
			"GET / HTTP/1.1" + agent + "Connection: close\r\nHost: 192.0.2.1:80\r\n\r\n"},
		{"1.0K", HTTPOptions{Dial: Dial{Addr: v4}, Protocol: HTTP10K}, "/", "",
			"GET / HTTP/1.0" + agent + "Connection: keep-alive\r\nHost: 192.0.2.1:80\r\n\r\n"},
		{"1.1K", HTTPOptions{Dial: Dial{Addr: v4}, Protocol: HTTP11K}, "/", "",
			"GET / HTTP/1.1" + agent + "Connection: keep-alive\r\nHost: 192.0.2.1:80\r\n\r\n"},
		{"IPv6 is in brackets", HTTPOptions{Dial: Dial{Addr: v6}}, "/", "",
			"GET / HTTP/1.0" + agent + "Host: [2001:db8::1]:8080\r\n\r\n"},
		{"a zone is nobody's business", HTTPOptions{Dial: Dial{Addr: netip.MustParseAddrPort("[fe80::1%eth0]:80")}}, "/", "",
			"GET / HTTP/1.0" + agent + "Host: [fe80::1]:80\r\n\r\n"},
		{"virtual host has no port", HTTPOptions{Dial: Dial{Addr: v6}, VirtualHost: "www.example.org"}, "/", "",
			"GET / HTTP/1.0" + agent + "Host: www.example.org\r\n\r\n"},
		{"a url's virtual host comes first", HTTPOptions{Dial: Dial{Addr: v4}, VirtualHost: "www.example.org"}, "/", "a.example.org:81",
			"GET / HTTP/1.0" + agent + "Host: a.example.org:81\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &HTTP{o: tt.o}
			if got := string(h.request(&URL{Path: tt.path, VirtualHost: tt.host})); got != tt.want {
				t.Errorf("request\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

func TestHTTPProtocolWords(t *testing.T) {
	for _, w := range []string{"1.0", "1.0C", "1.0K", "1.1", "1.1K"} {
		if p, ok := ParseHTTPProtocol(w); !ok || p.String() != w {
			t.Errorf("%s: %v, %v", w, p, ok)
		}
	}
	if _, ok := ParseHTTPProtocol("2"); ok {
		t.Error("2 is a protocol")
	}
}

func TestNewHTTPWants(t *testing.T) {
	if _, err := NewHTTP(HTTPOptions{}); err == nil {
		t.Error("no error without a url")
	}
	if _, err := NewHTTP(HTTPOptions{URLs: []URL{{Path: "/"}, {}}}); err == nil || !strings.Contains(err.Error(), "url 2") {
		t.Errorf("error %v, want one that names url 2", err)
	}
	for _, u := range []URL{{Path: "/ HTTP/1.0\r\nX: y"}, {Path: "/", VirtualHost: "a\nb"}} {
		if _, err := NewHTTP(HTTPOptions{URLs: []URL{u}}); err == nil || !strings.Contains(err.Error(), "control characters") {
			t.Errorf("%+v: error %v", u, err)
		}
	}
}

// TestHTTPAnswers asks servers that answer at once.
func TestHTTPAnswers(t *testing.T) {
	sum := func(s string) *[md5.Size]byte { d := md5.Sum([]byte(s)); return &d }
	regex := func(pattern string, change func(*Regex)) *Regex {
		r, err := CompileRegex(pattern, nil)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
		return r
	}
	const ok = "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
	for _, tt := range []struct {
		name, answer string
		url          URL
		want         string
	}{
		{"200", ok, URL{}, ""},
		{"204", "HTTP/1.1 204\r\n\r\n", URL{}, ""},
		{"404", "HTTP/1.0 404 Not Found\r\n\r\n", URL{}, "HTTP status code error to"},
		{"301 is not among the default", "HTTP/1.0 301 Moved\r\n\r\n", URL{}, "HTTP status code error to"},
		{"404 is wanted", "HTTP/1.0 404 Not Found\r\n\r\n", URL{Status: []StatusRange{{404, 404}}}, ""},
		{"a list of ranges", "HTTP/1.0 503 Busy\r\n\r\n", URL{Status: []StatusRange{{200, 299}, {400, 499}, {503, 503}}}, ""},
		{"outside a list", "HTTP/1.0 502 Bad\r\n\r\n", URL{Status: []StatusRange{{200, 299}, {503, 503}}}, "HTTP status code error to"},
		{"no status code", "hello\r\n\r\n", URL{}, "HTTP status code error to"},
		{"no header", "hello world", URL{}, "Read, no data received from "},
		{"bare newlines", "HTTP/1.0 200 OK\n\nhello", URL{}, "Read, no data received from "},
		{"nothing", "", URL{}, "Read, no data received from "},
		{"digest", ok, URL{Digest: sum("hello world")}, ""},
		{"another digest", ok, URL{Digest: sum("hello")}, "MD5 digest error to"},
		{"digest and another status", "HTTP/1.0 404 No\r\n\r\nhello", URL{Digest: sum("hello")}, "HTTP status code error to"},
		{"regex", ok, URL{Regex: regex("w.rld", nil)}, ""},
		{"regex does not match", ok, URL{Regex: regex("w.rm", nil)}, "Regex match failed"},
		{"regex must not match", ok, URL{Regex: regex("hello", func(r *Regex) { r.NoMatch = true })}, "Regex match failed"},
		{"regex does not match, as wanted", ok, URL{Regex: regex("bye", func(r *Regex) { r.NoMatch = true })}, ""},
		// keepalived counts from the header where the body came with it: of ok, the body begins at 39.
		{"regex after its minimum", ok, URL{Regex: regex("o", func(r *Regex) { r.Min = 43 })}, ""},
		{"regex before its minimum", ok, URL{Regex: regex("h", func(r *Regex) { r.Min = 40 })}, "Regex match failed"},
		{"regex at its maximum", ok, URL{Regex: regex("w", func(r *Regex) { r.Max = 45 })}, ""},
		{"regex after its maximum", ok, URL{Regex: regex("w", func(r *Regex) { r.Max = 44 })}, "Regex match failed"},
		{"regex matches the header", ok, URL{Regex: regex("Content", nil)}, ""},
		{"regex matches no header without a body", "HTTP/1.0 200 OK\r\n\r\n", URL{Regex: regex("200", nil)}, "Regex match failed"},
		{"regex from the first byte", ok, URL{Regex: regex("^hello", nil)}, "Regex match failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.url.Path = "/"
			h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: serve(t, answering(tt.answer)), Timeout: testenv.Patience}, URLs: []URL{tt.url}})
			if err != nil {
				t.Fatal(err)
			}
			checkText(t, h, tt.want)
		})
	}
}

// TestHTTPBadServers asks servers that mean no good: each must be found out in bounded time.
func TestHTTPBadServers(t *testing.T) {
	const timeout = time.Second // in which what is said before the silence must come
	const header = "HTTP/1.0 200 OK\r\n"
	for _, tt := range []struct {
		name string
		talk func(net.Conn)
		want string
	}{
		{"accepts and says nothing", silent, "Timeout WEB read"},
		{"stops in the header", func(c net.Conn) { answering(header)(c); silent(c) }, "Timeout HTTP read"},
		{"stops in the body", func(c net.Conn) { answering(header + "\r\nhello")(c); silent(c) }, "Timeout HTTP read"},
		{"drips the header", dripping("H", 20*time.Millisecond), "Timeout HTTP read"},
		{"drips the body", func(c net.Conn) {
			answering(header + "\r\n")(c)
			dripping("x", 20*time.Millisecond)(c)
		}, "Timeout HTTP read"},
		{"endless header", func(c net.Conn) {
			answering(header)(c)
			dripping(strings.Repeat("X-Header: endless\r\n", 100), 0)(c)
		}, "Read, no data received from "},
		{"endless garbage", dripping(strings.Repeat("\xff\x00garbage", 1000), 0), "Read, no data received from "},
		{"resets", func(c net.Conn) {
			hear(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		}, "Read error with"},
		{"closes", func(net.Conn) {}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: serve(t, tt.talk), Timeout: patient(timeout, tt.want)}, URLs: []URL{{Path: "/"}}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.name == "closes" { // a reset or an end, whichever arrives first
				if err := h.Check(context.Background()); err == nil {
					t.Error("no failure")
				}
				return
			}
			checkText(t, h, tt.want)
		})
	}
}

// TestHTTPEndlessBody gives a server that never stops: what is kept of it is bounded, and so is the time.
func TestHTTPEndlessBody(t *testing.T) {
	r, err := CompileRegex("never there", nil)
	if err != nil {
		t.Fatal(err)
	}
	u := URL{Path: "/", Regex: r}
	a := newResponse(&u, false, &strings.Builder{})
	if _, err := a.feed([]byte("HTTP/1.0 200 OK\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	block := []byte(strings.Repeat("x", 1<<20))
	var fed int
	for ; err == nil; fed += len(block) {
		a.copy = discard{}
		_, err = a.feed(block)
	}
	if fed > maxBody+2*len(block) || len(a.kept) != maxKept {
		t.Errorf("%d bytes read, %d kept; want at most %d, %d", fed, len(a.kept), maxBody, maxKept)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestHTTPConnectFailures(t *testing.T) {
	h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: refusing(t), Timeout: testenv.Patience}, URLs: []URL{{Path: "/"}}})
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, h, "Connection failed")
	for _, tt := range []struct {
		kind error
		want string
	}{
		{ErrTimeout, "Timeout connecting"}, {ErrUnreach, "HTTP_CHECK - network unreachable"},
		{ErrRefused, "Connection failed"}, {ErrLocal, "WEB socket bind failed. Rescheduling"},
	} {
		err := connectFailure(&Failure{Kind: tt.kind})
		if textOf(err) != tt.want || !errors.Is(err, tt.kind) {
			t.Errorf("%v: %q, want %q of the same kind", tt.kind, textOf(err), tt.want)
		}
	}
}

// TestHTTPKeepAlive has a server that does not close: the body ends with its length.
func TestHTTPKeepAlive(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")(c)
		silent(c)
	})
	d := md5.Sum([]byte("hello"))
	for _, tt := range []struct {
		p    HTTPProtocol
		want string
	}{{HTTP11K, ""}, {HTTP10K, ""}, {HTTP11, "Timeout HTTP read"}} {
		h, err := NewHTTP(HTTPOptions{
			Dial: Dial{Addr: addr, Timeout: patient(time.Second, tt.want)}, Protocol: tt.p, URLs: []URL{{Path: "/", Digest: &d}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(tt.p.String(), func(t *testing.T) { checkText(t, h, tt.want) })
	}
}

// TestHTTPEndsWithContext cancels a check that waits.
func TestHTTPEndsWithContext(t *testing.T) {
	h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: serve(t, silent), Timeout: time.Hour}, URLs: []URL{{Path: "/"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.Check(ctx) }()
	time.AfterFunc(50*time.Millisecond, cancel)
	select {
	case err := <-done:
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("error %v, want %v", err, ErrTimeout)
		}
	case <-time.After(testenv.Patience):
		t.Fatal("the check goes on after its context has ended")
	}
}

// TestHTTPMismatch is told of a body that is not as long as its header said, once for each difference. The check goes by
// what came.
func TestHTTPMismatch(t *testing.T) {
	answers := []string{"20\r\n\r\nhello", "20\r\n\r\nhello", "3\r\n\r\nhello", "5\r\n\r\nhello", "3\r\n\r\nhello"}
	next := make(chan string, len(answers))
	for _, a := range answers {
		next <- "HTTP/1.0 200 OK\r\nContent-Length: " + a
	}
	h, err := NewHTTP(HTTPOptions{
		Dial: Dial{Addr: serve(t, func(c net.Conn) { answering(<-next)(c) }), Timeout: testenv.Patience},
		URLs: []URL{{Path: "/", VirtualHost: "www.example.org"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for range answers {
		checkText(t, h, "")
		told = append(told, h.Remark(Names{Server: "S", Service: "V"}))
	}
	const line = "http_check for RS S VS V url www.example.org/: content_length (%d) does not match received bytes (5)"
	want := []string{fmt.Sprintf(line, 20), "", fmt.Sprintf(line, 3), "", fmt.Sprintf(line, 3)}
	if !slices.Equal(told, want) {
		t.Errorf("told of\n%q, want\n%q", told, want)
	}
}

// TestHTTPString changes one setting after another: each must change the text, or a reload would not notice it.
func TestHTTPString(t *testing.T) {
	other, err := CompileRegex("b", nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := LoadTLS(TLSFiles{Certificate: "testdata/key/certificate.pem", Key: "testdata/key/plain.pem"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, change := range []func(o *HTTPOptions, u *URL){
		func(*HTTPOptions, *URL) {},
		func(o *HTTPOptions, _ *URL) { o.Dial.Timeout = time.Second },
		func(o *HTTPOptions, _ *URL) { o.Dial.Addr = netip.MustParseAddrPort("192.0.2.1:81") },
		func(o *HTTPOptions, _ *URL) { o.Protocol = HTTP11 },
		func(o *HTTPOptions, _ *URL) { o.VirtualHost = "a" },
		func(o *HTTPOptions, _ *URL) { o.TLS = &TLS{} },
		func(o *HTTPOptions, _ *URL) { o.TLS = &TLS{EnableSNI: true} },
		func(o *HTTPOptions, _ *URL) { o.TLS = &TLS{SNIName: "a"} },
		func(o *HTTPOptions, _ *URL) { o.TLS = &TLS{Compliant: true} },
		func(o *HTTPOptions, _ *URL) { o.TLS = block },
		func(_ *HTTPOptions, u *URL) { u.Path = "/a" },
		func(_ *HTTPOptions, u *URL) { u.VirtualHost = "a" },
		func(_ *HTTPOptions, u *URL) { u.Compliant = true },
		func(_ *HTTPOptions, u *URL) { u.Status = []StatusRange{{200, 200}} },
		func(_ *HTTPOptions, u *URL) { u.Digest = &[16]byte{} },
		func(_ *HTTPOptions, u *URL) { u.Digest = &[16]byte{1} },
		func(_ *HTTPOptions, u *URL) { u.Regex = other },
		func(_ *HTTPOptions, u *URL) { u.Regex = &Regex{re: other.re, NoMatch: true, Max: -1} },
		func(_ *HTTPOptions, u *URL) { u.Regex = &Regex{re: other.re, Min: 1, Max: -1} },
		func(_ *HTTPOptions, u *URL) { u.Regex = &Regex{re: other.re, Max: 1} },
	} {
		u := URL{Path: "/"}
		var o HTTPOptions
		change(&o, &u)
		o.URLs = []URL{u}
		h, err := NewHTTP(o)
		if err != nil {
			t.Fatal(err)
		}
		if j, ok := seen[h.String()]; ok {
			t.Errorf("changes %d and %d have one text: %s", j, i, h)
		}
		seen[h.String()] = i
	}
}

// TestHTTPLines compares with lines that keepalived 2.2.7 wrote.
func TestHTTPLines(t *testing.T) {
	re, _ := CompileRegex("a", nil)
	h, err := NewHTTP(HTTPOptions{URLs: []URL{{Path: "/"}, {Path: "/d", Digest: &[16]byte{}}, {Path: "/r", Regex: re}}})
	if err != nil {
		t.Fatal(err)
	}
	n := Names{Server: "[192.0.2.11]:tcp:80", Service: "[198.51.100.1]:tcp:80"}
	failed := &Failure{Text: "HTTP status code error to", Err: statusError(404)}
	for _, tt := range []struct{ got, want string }{
		{h.StepUp(n, 0), "HTTP status code success to [192.0.2.11]:tcp:80 url(/)"},
		{h.StepUp(n, 1), "MD5 digest success to [192.0.2.11]:tcp:80 url(/d)"},
		{h.StepUp(n, 2), "Regex match success to [192.0.2.11]:tcp:80 url(/r)"},
		{h.Up(n), "Remote Web server [192.0.2.11]:tcp:80 succeed on service."},
		{h.Down(n, failed, Try{N: 1, Retry: 1}), "HTTP_CHECK on service [192.0.2.11]:tcp:80 failed after 1 retries."},
		{h.Down(n, failed, Try{}), "HTTP_CHECK on service [192.0.2.11]:tcp:80 failed."},
		{h.Failed(n, failed, Try{}), "HTTP status code error to server [192.0.2.11]:tcp:80."},
	} {
		if tt.got != tt.want {
			t.Errorf("line\n%s, want\n%s", tt.got, tt.want)
		}
	}
}

func TestHTTPAsksAllURLs(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		status := "200 OK"
		if strings.HasPrefix(hear(c), "GET /bad ") {
			status = "500 Bad"
		}
		_, _ = c.Write([]byte("HTTP/1.0 " + status + "\r\n\r\n"))
	})
	for _, tt := range []struct{ paths, want string }{{"/a /b", ""}, {"/a /bad /b", "HTTP status code error to"}} {
		var urls []URL
		for _, p := range strings.Fields(tt.paths) {
			urls = append(urls, URL{Path: p})
		}
		h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: addr, Timeout: testenv.Patience}, URLs: urls})
		if err != nil {
			t.Fatal(err)
		}
		if h.Steps() != len(urls) {
			t.Errorf("%d steps of %d urls", h.Steps(), len(urls))
		}
		checkText(t, h, tt.want)
	}
}

// BenchmarkHTTPCheck asks a server on the same machine, whose part is in the time too.
func BenchmarkHTTPCheck(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answering("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")(c)
			c.Close()
		}
	}()
	d := md5.Sum([]byte("hello"))
	h, err := NewHTTP(HTTPOptions{Dial: Dial{Addr: l.Addr().(*net.TCPAddr).AddrPort()}, URLs: []URL{{Path: "/", Digest: &d}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Check(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// remarking is a Checker that is well and has something to say each second time.
type remarking struct {
	fake
	n int
}

func (r *remarking) Remark(n Names) string {
	r.n++
	if r.n%2 == 0 {
		return ""
	}
	return "a remark about " + n.Server
}

// TestProberLogsRemarks writes them before what the check itself says.
func TestProberLogsRemarks(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.Set([]Target{one("a", &remarking{})})
		b.until(4500 * time.Millisecond)
		const remark = "a remark about [192.0.2.11]:tcp:80"
		b.expect("lines", b.said(), remark, "TCP connection to [192.0.2.11]:tcp:80 success.", remark)
	})
}

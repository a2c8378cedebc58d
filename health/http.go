package health

import (
	"context"
	"crypto/md5" //nolint:gosec // a digest of keepalived's configuration, not a secret
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// HTTP asks a web server for one or more urls: HTTP_GET, and SSL_GET where its options have TLS. Each url is a step on a
// connection of its own, as keepalived (check_http.c) asks them.
//
// A url is well if the header ends, its status code is among those wanted, and the body has the wanted digest and
// matches the wanted expression. The body ends where the server closes. It differs from keepalived in that a header may
// have 64 KiB instead of 4, and a check ends after 4 times connect_timeout even if bytes arrive all the time.
type HTTP struct {
	o HTTPOptions
	// What is not immutable is a memory of what was told already: off is by how much each url's body last missed its
	// length, mismatch what is to be told of that.
	off      []atomic.Int64
	mismatch atomic.Pointer[mismatch]
}

var (
	_ Sequence = (*HTTP)(nil)
	_ Remarker = (*HTTP)(nil)
	_ Wording  = (*HTTP)(nil)
)

// HTTPOptions are the settings of an HTTP_GET or SSL_GET.
type HTTPOptions struct {
	Dial        Dial
	Protocol    HTTPProtocol
	VirtualHost string // virtualhost of the check, else of the real server, else of the service
	URLs        []URL  // at least one
	TLS         *TLS   // nil for HTTP_GET
}

// URL is one url block.
type URL struct {
	Path        string
	VirtualHost string        // "" takes that of the check
	Status      []StatusRange // status_code; none is 200-299
	Digest      *[md5.Size]byte
	Regex       *Regex
	Compliant   bool // as TLS.Compliant, for this one
}

// StatusRange is a range of status codes with both ends; a single one has both the same.
type StatusRange struct{ From, To int }

// HTTPProtocol is the http_protocol of a check.
type HTTPProtocol uint8

// The protocols, and what they put into the request.
const (
	HTTP10  HTTPProtocol = iota // "1.0"
	HTTP10C                     // "1.0C": 1.0 with "Connection: close"
	HTTP10K                     // "1.0K": 1.0 with "Connection: keep-alive"
	HTTP11                      // "1.1": with "Connection: close"
	HTTP11K                     // "1.1K": with "Connection: keep-alive"; the answer needs a Content-Length
)

// String returns the word of keepalived.conf.
func (p HTTPProtocol) String() string {
	switch p {
	case HTTP10C:
		return "1.0C"
	case HTTP10K:
		return "1.0K"
	case HTTP11:
		return "1.1"
	case HTTP11K:
		return "1.1K"
	}
	return "1.0"
}

// ParseHTTPProtocol understands the words of keepalived.conf; the letter may be small.
func ParseHTTPProtocol(s string) (HTTPProtocol, bool) {
	switch s {
	case "1.0":
		return HTTP10, true
	case "1.0C", "1.0c":
		return HTTP10C, true
	case "1.0K", "1.0k":
		return HTTP10K, true
	case "1.1":
		return HTTP11, true
	case "1.1K", "1.1k":
		return HTTP11K, true
	}
	return 0, false
}

// keeps reports whether the server is asked not to close, so that the body ends where its length says.
func (p HTTPProtocol) keeps() bool { return p == HTTP10K || p == HTTP11K }

// NewHTTP returns the check. It fails without a url, where a path is missing, and where a text would break the request.
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	if len(o.URLs) == 0 {
		return nil, errors.New("no url")
	}
	for i, u := range o.URLs {
		switch {
		case u.Path == "":
			return nil, fmt.Errorf("url %d has no path", i+1)
		case hasControl(u.Path), hasControl(u.VirtualHost), hasControl(o.VirtualHost):
			return nil, fmt.Errorf("url %d: path %q or virtualhost has control characters", i+1, u.Path)
		}
	}
	return &HTTP{o: o, off: make([]atomic.Int64, len(o.URLs))}, nil
}

// String returns all that the check asks as text: checks with the same text ask the same.
func (h *HTTP) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v http %v host %q", h.o.Dial, h.o.Protocol, h.o.VirtualHost)
	if t := h.o.TLS; t != nil {
		fmt.Fprintf(&b, " tls %v %q %v", t.EnableSNI, t.SNIName, t.Compliant)
		for _, c := range t.certificates {
			fmt.Fprintf(&b, " certificate %x", md5.Sum(c.Certificate[0])) //nolint:gosec // to tell two apart
		}
	}
	for _, u := range h.o.URLs {
		fmt.Fprintf(&b, "; url %q host %q status %v", u.Path, u.VirtualHost, u.Status)
		if u.Digest != nil {
			fmt.Fprintf(&b, " digest %x", *u.Digest)
		}
		if u.Compliant {
			b.WriteString(" compliant")
		}
		if r := u.Regex; r != nil {
			fmt.Fprintf(&b, " regex %q %v %d-%d", r.re, r.NoMatch, r.Min, r.Max)
		}
	}
	return b.String()
}

// Steps is the number of urls.
func (h *HTTP) Steps() int { return len(h.o.URLs) }

// Check asks all urls, one after another, until one fails.
func (h *HTTP) Check(ctx context.Context) error {
	for i := range h.o.URLs {
		if err := h.CheckStep(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// CheckStep asks one url.
func (h *HTTP) CheckStep(ctx context.Context, i int) error {
	u := &h.o.URLs[i]
	r, err := h.get(ctx, u, io.Discard)
	if err != nil {
		return err
	}
	err = u.judge(r)
	var code statusError
	if !errors.As(err, &code) {
		h.compareLength(i, r)
	}
	return err
}

// mismatch is a body that is not as long as its header said.
type mismatch struct {
	url       *URL
	said, got int64
}

// compareLength remembers a body that is not as long as its header said, unless it was told so the last time too.
func (h *HTTP) compareLength(i int, r *response) {
	var off int64
	if r.length >= 0 {
		off = r.length - r.got
	}
	if h.off[i].Swap(off) != off && off != 0 {
		h.mismatch.Store(&mismatch{&h.o.URLs[i], r.length, r.got})
	}
}

// Remark returns keepalived's line about a body that was not as long as its header said, once for each difference, and
// "" if there is nothing to say.
func (h *HTTP) Remark(n Names) string {
	m := h.mismatch.Swap(nil)
	if m == nil {
		return ""
	}
	return fmt.Sprintf("http_check for RS %s VS %s url %s%s: content_length (%d) does not match received bytes (%d)",
		n.Server, n.Service, m.url.VirtualHost, m.url.Path, m.said, m.got)
}

// get asks for u and reads the answer. Whatever is counted into the digest is copied to w as well.
func (h *HTTP) get(ctx context.Context, u *URL, w io.Writer) (*response, error) {
	timeout := h.o.Dial.timeout()
	ctx, cancel := context.WithTimeout(ctx, stretch*timeout)
	defer cancel()
	conn, err := h.connect(ctx, u)
	if err != nil {
		return nil, err
	}
	l := hold(ctx, conn)
	defer l.release()
	l.step(timeout)
	if _, err := conn.Write(h.request(u)); err != nil {
		return nil, worded(err, "Timeout WEB write", "Cannot send get request to")
	}
	r := newResponse(u, h.o.Protocol.keeps(), w)
	return r, h.read(l, r, timeout)
}

// read feeds r until its end. Each wait has its own timeout.
func (h *HTTP) read(l *leash, r *response, timeout time.Duration) error {
	buf := make([]byte, 4096)
	first := true
	for {
		l.step(timeout)
		n, err := l.conn.Read(buf)
		done, bad := r.feed(buf[:n])
		switch {
		case bad != nil:
			return bad
		case done:
			return nil
		case err == nil:
			first = false
			continue
		case late(err) && first && n == 0:
			return worded(err, "Timeout WEB read", "")
		case late(err) && h.o.TLS != nil:
			return worded(err, "Timeout SSL read", "")
		case late(err):
			return worded(err, "Timeout HTTP read", "")
		}
		return h.ended(l.conn, r, err)
	}
}

// ended says what the end of the stream means: over TLS, any end of it ends the body, unless the check is strict; over
// TCP only an orderly one does.
func (h *HTTP) ended(conn net.Conn, r *response, err error) error {
	switch {
	case h.o.TLS != nil && (h.o.TLS.Compliant || r.strict) && (err != io.EOF || !notified(conn)),
		h.o.TLS != nil && !r.headed && notified(conn):
		return worded(err, "", "SSL read error from")
	case h.o.TLS == nil && err != io.EOF:
		return worded(err, "", "Read error with")
	case !r.headed:
		return &Failure{Text: "Read, no data received from "}
	}
	return nil
}

// judge compares the answer with what is wanted of it.
func (u *URL) judge(r *response) error {
	switch {
	case !u.wants(r.status):
		return &Failure{Text: "HTTP status code error to", Err: statusError(r.status)}
	case u.Digest != nil && r.digest() != *u.Digest:
		return &Failure{Text: "MD5 digest error to"}
	case u.Regex != nil && u.Regex.found(r.kept) == u.Regex.NoMatch:
		return &Failure{Text: "Regex match failed"}
	}
	return nil
}

// statusError is the status code that was not wanted.
type statusError int

func (e statusError) Error() string { return "status code " + strconv.Itoa(int(e)) }

// wants reports whether a status code is among those of status_code.
func (u *URL) wants(code int) bool {
	if len(u.Status) == 0 {
		return 200 <= code && code <= 299
	}
	for _, r := range u.Status {
		if r.From <= code && code <= r.To {
			return true
		}
	}
	return false
}

// connect opens the connection, with TLS on it where the check has it: both within one timeout.
func (h *HTTP) connect(ctx context.Context, u *URL) (net.Conn, error) {
	timeout := h.o.Dial.timeout()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := h.o.Dial.dial(ctx, "tcp")
	if err != nil {
		return nil, connectFailure(err)
	}
	if h.o.TLS == nil {
		return conn, nil
	}
	secured := h.o.TLS.client(conn, h.host(u))
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, worded(err, "Timeout connecting", "SSL handshake/communication error connecting to")
	}
	return secured, nil
}

// connectFailure words an error of dial as keepalived does for a web server.
func connectFailure(err error) error {
	f := &Failure{Text: "Connection failed", Err: err}
	switch {
	case errors.Is(err, ErrTimeout):
		f.Text = "Timeout connecting"
	case errors.Is(err, ErrUnreach):
		f.Text = "HTTP_CHECK - network unreachable"
	case errors.Is(err, ErrLocal):
		f.Text = "WEB socket bind failed. Rescheduling"
	}
	return f
}

// worded classifies an error of a connection and gives it its text: one if time was up, the other if not.
func worded(err error, timeout, other string) error {
	if late(err) {
		return &Failure{Kind: ErrTimeout, Text: timeout}
	}
	return &Failure{Text: other, Err: failure("", err).(*Failure).Err}
}

// What of an answer made a step succeed; StepUp names the last that was asked for.
func (u *URL) proof() string {
	switch {
	case u.Regex != nil:
		return "Regex match"
	case u.Digest != nil:
		return "MD5 digest"
	}
	return "HTTP status code"
}

// StepUp is the line of a url that succeeds while the check is down.
func (h *HTTP) StepUp(n Names, i int) string {
	u := &h.o.URLs[i]
	return fmt.Sprintf("%s success to %s url(%s)", u.proof(), n.Server, u.Path)
}

// Up is the line for all urls having succeeded.
func (h *HTTP) Up(n Names) string {
	return fmt.Sprintf("Remote Web server %s succeed on service.", n.Server)
}

// Down is the line for a url having failed for good.
func (h *HTTP) Down(n Names, _ error, try Try) string {
	return fmt.Sprintf("HTTP_CHECK on service %s failed%s.", n.Server, try.Retries())
}

// Failed is the line for one failure.
func (h *HTTP) Failed(n Names, err error, _ Try) string {
	return fmt.Sprintf("%s server %s.", textOf(err), n.Server)
}

// textOf is the text of a Failure, without its cause.
func textOf(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Text
	}
	return err.Error()
}

package health

import (
	"bytes"
	"crypto/md5" //nolint:gosec // as keepalived computes it
	"hash"
	"io"
	"strconv"
	"strings"
)

// What a response may have, so that no server can make the director hold or read without end.
const (
	maxHeader = 64 << 10 // the header, with the empty line
	maxKept   = 4 << 20  // what is searched for a regular expression
	maxBody   = 1 << 30  // the body
)

// response reads one answer as it comes. It knows of HTTP what keepalived does (html.c): where the header ends, the
// status code, the length. Chunks are not put together: their sizes are counted into the digest, as genhash does.
type response struct {
	headed bool   // the header is complete; what follows is valid
	status int    // status code, 0 if there is none
	length int64  // Content-Length, -1 if not given
	got    int64  // bytes of the body
	header []byte // as received, with the empty line
	kept   []byte // what the url's Regex is searched in: see feedHeader

	strict bool // over TLS: only a close_notify ends the answer
	regex  bool
	keep   bool      // the server does not close: the body ends after length bytes
	sum    hash.Hash // nil if the url has no digest
	copy   io.Writer // what is counted into the digest
}

func newResponse(u *URL, keep bool, w io.Writer) *response {
	r := &response{length: -1, strict: u.Compliant, regex: u.Regex != nil, keep: keep, copy: w}
	if u.Digest != nil {
		r.sum = md5.New() //nolint:gosec // as keepalived computes it
	}
	return r
}

// feed takes the next bytes of the stream. It reports whether the answer is complete before the server closes.
func (r *response) feed(b []byte) (done bool, err error) {
	if !r.headed {
		if b = r.feedHeader(b); !r.headed {
			if len(r.header) >= maxHeader {
				return false, &Failure{Text: "Read, no data received from ", Err: errTooLong("header", maxHeader)}
			}
			return false, nil
		}
	}
	r.feedBody(b)
	if r.got > maxBody {
		return false, &Failure{Text: "Read error with", Err: errTooLong("body", maxBody)}
	}
	return r.keep && r.length >= 0 && r.got >= r.length, nil
}

// errTooLong says of which part of an answer there was more than n bytes.
func errTooLong(part string, n int) error { return tooLong{part, n} }

type tooLong struct {
	part string
	n    int
}

func (e tooLong) Error() string { return e.part + " of more than " + strconv.Itoa(e.n) + " bytes" }

// feedHeader collects the header and returns what came after it. As keepalived does, it looks for the length in what it
// has by then, which may be the beginning of the body too, and lets an expression see all of that if it has some body.
// Digests that genhash made, and offsets that were tried with keepalived, rest on it.
func (r *response) feedHeader(b []byte) []byte {
	from := max(len(r.header)-3, 0) // the empty line may have begun before
	b = b[:len(b):len(b)]
	r.header = append(r.header, b...)
	i := bytes.Index(r.header[from:], []byte("\r\n\r\n"))
	if i < 0 {
		return nil
	}
	all := r.header
	rest := all[from+i+4:]
	r.header = all[: from+i+4 : from+i+4]
	if len(r.header) > maxHeader {
		return nil
	}
	r.headed = true
	r.status = statusCode(string(r.header))
	r.length = contentLength(string(all))
	if r.regex && len(rest) > 0 {
		r.kept = append(r.kept, r.header...)
	}
	return rest
}

// feedBody takes bytes of the body. The digest counts what length promises, and all where it does not.
func (r *response) feedBody(b []byte) {
	counted := b
	if r.length >= 0 {
		counted = b[:min(int64(len(b)), max(r.length-r.got, 0))]
	}
	if r.sum != nil {
		r.sum.Write(counted)
	}
	_, _ = r.copy.Write(counted) // io.Discard, or a listing that its owner asks for errors
	r.got += int64(len(b))
	if room := maxKept - len(r.kept); r.regex && room > 0 {
		r.kept = append(r.kept, b[:min(len(b), room)]...)
	}
}

// digest is the MD5 of what was counted. Valid iff the url has a digest, after the last feed.
func (r *response) digest() (d [md5.Size]byte) {
	r.sum.Sum(d[:0])
	return d
}

// statusCode is the number after the first blank of a header, 0 if there is none.
func statusCode(header string) int {
	_, rest, _ := strings.Cut(header, " ")
	n := 0
	for i := 0; i < len(rest) && '0' <= rest[i] && rest[i] <= '9'; i++ {
		if n = n*10 + int(rest[i]-'0'); n > 999 {
			return 0
		}
	}
	return n
}

// contentLength is the number after the header's first "Content-Length:", wherever in a line that stands and written
// just so, or -1 if no number ends the line: that is what genhash counts by.
func contentLength(header string) int64 {
	_, rest, ok := strings.Cut(header, "Content-Length:")
	if !ok {
		return -1
	}
	number := strings.TrimPrefix(strings.TrimLeft(rest, " \t\r\n\v\f"), "+")
	if i := strings.IndexAny(number, "\r\n"); i >= 0 {
		number = number[:i]
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

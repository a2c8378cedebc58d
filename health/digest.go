package health

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // as genhash computes it
	"fmt"
	"io"
)

// DigestOptions say whose digest is wanted: the options of genhash.
type DigestOptions struct {
	Dial        Dial         // -s, -p, -m, -t
	Protocol    HTTPProtocol // -P
	VirtualHost string       // -V
	Path        string       // -u
	TLS         *TLS         // -S, -I; nil for plain HTTP
	Verbose     io.Writer    // -v: header, body and digest are written there as genhash lists them; may be nil
}

// Digest fetches one page and returns the MD5 that a url's digest must have for it: of what follows the header, up to
// its Content-Length or the end of the stream, chunks with their sizes. The status code does not matter. An error's text
// is what genhash prints ("Connection failed", "no data received from remote webserver").
func Digest(ctx context.Context, o DigestOptions) (sum [md5.Size]byte, err error) {
	u := URL{Path: o.Path, Digest: &[md5.Size]byte{}}
	h, err := NewHTTP(HTTPOptions{
		Dial: o.Dial, Protocol: o.Protocol, VirtualHost: o.VirtualHost, TLS: o.TLS, URLs: []URL{u},
	})
	if err != nil {
		return sum, err
	}
	var body bytes.Buffer
	var w io.Writer = io.Discard
	if o.Verbose != nil {
		w = &body
	}
	r, err := h.get(ctx, &u, w)
	switch {
	case r != nil && !r.headed && !isLate(err):
		return sum, &Failure{Text: "no data received from remote webserver"}
	case err != nil:
		return sum, err
	}
	if o.Verbose != nil {
		err = listAnswer(o.Verbose, r, body.Bytes())
	}
	return r.digest(), err
}

// isLate reports whether a check failed because time was up.
func isLate(err error) bool {
	f, ok := err.(*Failure)
	return ok && f.Kind == ErrTimeout
}

// listAnswer writes what genhash -v does, the body in one piece.
func listAnswer(w io.Writer, r *response, body []byte) error {
	rule := func(title string) string {
		return "-----------------------[" + title + "]-----------------------\n"
	}
	var b bytes.Buffer
	b.WriteString(rule("    HTTP Header Buffer    "))
	listBytes(&b, r.header)
	b.WriteString(rule(" HTTP Header Ascii Buffer "))
	b.Write(r.header)
	b.WriteByte('\n')
	if len(body) > 0 {
		b.WriteString(rule("        HTML Buffer        "))
		listBytes(&b, body)
	}
	sum := r.digest()
	b.WriteByte('\n')
	b.WriteString(rule("    HTML hash resulting    "))
	listBytes(&b, sum[:])
	b.WriteString(rule(" HTML hash final resulting "))
	_, err := w.Write(b.Bytes())
	return err
}

// listBytes writes bytes as rows of sixteen: the offset in decimal, the bytes, the printable characters.
func listBytes(b *bytes.Buffer, data []byte) {
	for at := 0; at < len(data); at += 16 {
		row := data[at:min(at+16, len(data))]
		fmt.Fprintf(b, "%04d ", at)
		for i := range 16 {
			if i == 8 {
				b.WriteString(" -")
			}
			if i < len(row) {
				fmt.Fprintf(b, " %02x", row[i])
			} else {
				b.WriteString("   ")
			}
		}
		b.WriteString("   ")
		for _, c := range row {
			if c < 0x20 || c > 0x7e {
				c = '.'
			}
			b.WriteByte(c)
		}
		b.WriteString("\n")
	}
}

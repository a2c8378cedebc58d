package health

import (
	"bytes"
	"crypto/md5"
	"io"
	"strings"
	"testing"
)

// TestResponseInAnyPieces feeds an answer in two pieces, cut at every place: the outcome is the same.
func TestResponseInAnyPieces(t *testing.T) {
	const header, body = "HTTP/1.1 207 Multi\r\nContent-Length: 5\r\nX: \r\n\r\n", "hello and more"
	const answer = header + body
	re, err := CompileRegex("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	u := URL{Path: "/", Digest: &[16]byte{}, Regex: re}
	for cut := range len(answer) + 1 {
		r := newResponse(&u, false, io.Discard)
		for _, piece := range []string{answer[:cut], answer[cut:]} {
			if _, err := r.feed([]byte(piece)); err != nil {
				t.Fatal(err)
			}
		}
		kept := answer
		if cut == len(header) { // the body comes on its own
			kept = body
		}
		if !r.headed || r.status != 207 || r.length != 5 || r.got != 14 || string(r.kept) != kept ||
			r.digest() != md5.Sum([]byte("hello")) {
			t.Fatalf("cut at %d: %+v", cut, r)
		}
	}
}

func TestStatusCode(t *testing.T) {
	for header, want := range map[string]int{
		"HTTP/1.0 200 OK\r\n\r\n": 200, "HTTP/1.1 503\r\n\r\n": 503, "HTTP/1.1  200 OK\r\n\r\n": 0, "HTTP/1.1\r\n\r\n": 0,
		"HTTP/1.1 20000 OK\r\n\r\n": 0, "HTTP/1.1 99999999999999999999\r\n\r\n": 0, "": 0, "x 7": 7,
	} {
		if got := statusCode(header); got != want {
			t.Errorf("%q: %d, want %d", header, got, want)
		}
	}
}

// FuzzResponse feeds the same bytes whole and in pieces: no panic, and no difference but for a length that stands in the
// body. Never more is counted than was promised.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"), uint8(1))
	f.Add([]byte("HTTP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello"), uint8(3))
	f.Add([]byte("\r\n\r\n\r\n\r\n"), uint8(2))
	re, err := CompileRegex("x", nil)
	if err != nil {
		f.Fatal(err)
	}
	u := URL{Path: "/", Digest: &[16]byte{}, Regex: re}
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		var a, c bytes.Buffer
		whole, pieces := newResponse(&u, true, &a), newResponse(&u, true, &c)
		_, err1 := whole.feed(b)
		var err2 error
		n := int(size) + 1
		for rest := b; len(rest) > 0 && err2 == nil; rest = rest[min(n, len(rest)):] {
			_, err2 = pieces.feed(rest[:min(n, len(rest))])
		}
		same := whole.length == pieces.length
		if (err1 == nil) != (err2 == nil) || whole.headed != pieces.headed || whole.status != pieces.status ||
			!same && !bytes.Contains(b[len(whole.header):], []byte(":")) ||
			same && (whole.got != pieces.got || whole.digest() != pieces.digest() || a.String() != c.String()) {
			t.Errorf("whole %+v (%v), in pieces of %d %+v (%v)", whole, err1, n, pieces, err2)
		}
		if whole.length >= 0 && int64(a.Len()) > whole.length {
			t.Errorf("%d bytes counted of a body of %d", a.Len(), whole.length)
		}
	})
}

func TestRegexLanguage(t *testing.T) {
	for _, tt := range []struct {
		pattern, options, body string
		want                   bool
	}{
		{"HELLO", "", "hello", false},
		{"HELLO", "caseless", "hello", true},
		{"a.b", "", "a\nb", false},
		{"a.b", "dotall", "a\nb", true},
		{"^b", "", "a\nb", false},
		{"^b", "multiline", "a\nb", true},
		{"a$", "", "a\n", true}, // PCRE's $ also stands before a last newline
		{"a$", "", "a\nb", false},
		{"a$", "dollar_endonly", "a\n", false},
		{"a$", "multiline", "a\nb", true},
		{`a\Z`, "", "a\n", true},
		{`a\z`, "", "a\n", false},
		{`a\$`, "", "a$", true},
		{"[$]", "", "$", true},
		{"[]$]", "", "$", true},
		{"[^]$]", "", "$", false},
		{"a b # a comment", "extended", "ab", true},
		{`a\ b`, "extended", "a b", true},
		{"[ ]", "extended", " ", true},
		{`x \# y`, "extended", "x#y", true},
		{"a", "utf ucp no_auto_possess no_start_optimize", "a", true},
	} {
		r, err := CompileRegex(tt.pattern, strings.Fields(tt.options))
		if err != nil {
			t.Errorf("%q %s: %v", tt.pattern, tt.options, err)
			continue
		}
		if got := r.found([]byte(tt.body)); got != tt.want {
			t.Errorf("%q %s in %q: %v, want %v", tt.pattern, tt.options, tt.body, got, tt.want)
		}
	}
}

func TestRegexRefuses(t *testing.T) {
	for _, tt := range []struct{ pattern, options, want string }{
		{"(?=a)", "", "look-around"},
		{`(a)\1`, "", "backreferences"},
		{"a++", "", "a++"},
		{"(", "", "missing closing"},
		{"a", "nonsense", `unknown regex option "nonsense"`},
		{"a", "firstline", "regex_max_offset"},
	} {
		_, err := CompileRegex(tt.pattern, strings.Fields(tt.options))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %s: error %v, want one with %q", tt.pattern, tt.options, err, tt.want)
		}
	}
}

// FuzzRegex translates any pattern: no panic, and what compiles can be searched for.
func FuzzRegex(f *testing.F) {
	f.Add("a$", "hello", true)
	f.Add(`[^]\Z $#`, "x", true)
	f.Fuzz(func(_ *testing.T, pattern, body string, extended bool) {
		options := []string{"dotall"}
		if extended {
			options = append(options, "extended")
		}
		if r, err := CompileRegex(pattern, options); err == nil {
			r.found([]byte(body))
		}
	})
}

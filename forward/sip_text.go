package forward

// callIDMax is the length of a Call-ID that still tells calls apart, in bytes; with a longer one there is no persistence
// (kernel: IP_VS_PEDATA_MAXLEN).
const callIDMax = 255

// callID returns the Call-ID of a SIP message (RFC 3261, section 20.8), which is part of msg, or nil if there is none to go
// by. It finds what Linux finds (net/netfilter/ipvs/ip_vs_pe_sip.c, net/netfilter/nf_conntrack_sip.c): the first header
// field of that name or of its compact form "i", in letters of either case, at the beginning of any line but the first,
// also behind the empty line; the value may be on a folded line. It must be a word, or two with an @ between them, and the
// line must end with it. Testdata/oracle/sip.jsonl has what a kernel made of each form.
func callID(msg []byte) []byte {
	for from := 0; ; {
		i, ok := callIDField(msg, from)
		if !ok {
			return nil
		}
		n := callIDLen(msg[i:])
		if n == 0 { // the field is taken for another one
			from += i
			continue
		}
		if n > callIDMax || i+n == len(msg) || !lineEnd(msg[i+n]) {
			return nil
		}
		return msg[i : i+n]
	}
}

// callIDField returns where the value of the next header field of that name begins, seen from i.
func callIDField(msg []byte, i int) (at int, ok bool) {
	for ; i < len(msg); i++ {
		if !lineEnd(msg[i]) {
			continue
		}
		if i++; i < len(msg) && msg[i-1] == '\r' && msg[i] == '\n' {
			i++
		}
		if i >= len(msg) {
			return 0, false
		}
		// What stands at i is read as the beginning of a line. If it is not our field the search goes on behind it, even
		// if it is the end of an empty line: one that is a lone CR or LF hides the line behind it.
		n := callIDName(msg[i:])
		if n == 0 {
			continue
		}
		i, ok = skipSpace(msg, i+n)
		if !ok || i >= len(msg) || msg[i] != ':' {
			return 0, false
		}
		return skipSpace(msg, i+1)
	}
	return 0, false
}

// callIDName returns the length of the name of the header field that s begins with; 0 if it is another one.
func callIDName(s []byte) int {
	const name = "call-id"
	switch {
	case ftpBegins(s, name):
		return len(name)
	case len(s) >= 2 && s[0]|0x20 == 'i' && !isLetter(s[1]):
		return 1
	}
	return 0
}

// skipSpace returns the first place from i on without white space, a folded line being white space (RFC 3261, section
// 7.3.1); not ok if the line ends before. It may be the end of msg.
func skipSpace(msg []byte, i int) (int, bool) {
	for i < len(msg) {
		switch {
		case isBlank(msg[i]):
			i++
		case lineEnd(msg[i]):
			if i++; i < len(msg) && msg[i-1] == '\r' && msg[i] == '\n' {
				i++
			}
			if i >= len(msg) || !isBlank(msg[i]) {
				return i, false
			}
		default:
			return i, true
		}
	}
	return i, true
}

// callIDLen returns the length of the Call-ID that s begins with: word [ "@" word ]. 0 if there is none.
func callIDLen(s []byte) int {
	n := wordLen(s)
	if n == 0 || n == len(s) || s[n] != '@' {
		return n
	}
	domain := wordLen(s[n+1:])
	if domain == 0 {
		return 0
	}
	return n + 1 + domain
}

// wordLen returns how many characters of a word s begins with (RFC 3261, section 25.1).
func wordLen(s []byte) int {
	for i, c := range s {
		if !isWord(c) {
			return i
		}
	}
	return len(s)
}

func isWord(c byte) bool {
	switch c {
	case '-', '.', '!', '%', '*', '_', '+', '`', '\'', '~', '(', ')', '<', '>', ':', '\\', '"', '/', '[', ']', '?', '{', '}':
		return true
	}
	return isDigit(c) || isLetter(c)
}

// isLetter reports the letters of ISO 8859-1, as the kernel's isalpha does.
func isLetter(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0xc0 && c != 0xd7 && c != 0xf7
}

func lineEnd(c byte) bool { return c == '\r' || c == '\n' }
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

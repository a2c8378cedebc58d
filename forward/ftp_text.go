package forward

import (
	"strconv"

	"dirsw/packet"
)

// What an FTP control connection says about data connections, as Linux reads it (net/netfilter/ipvs/ip_vs_ftp.c): RFC 959,
// section 4.1.2, and RFC 2428. The reader looks at one segment at a time; a command or an answer that is spread over two
// is not seen. Testdata/oracle/ftp.jsonl has what a kernel made of each form.

// ftpMode is how the next data connection of a session comes about.
type ftpMode uint8

const (
	ftpActive ftpMode = iota // the server connects to the client (PORT, EPRT), or nothing was said yet
	ftpPassive
	ftpExtended // passive, by EPSV
)

// ftpEndpoint is an address and port that a segment names.
type ftpEndpoint struct {
	addr       packet.Addr
	port       uint16
	start, end int // the text that says so, in the data of the segment
}

// ftpAsked looks for PASV and EPSV anywhere in what a client sent. It returns the mode afterwards, and whether that is all
// there is to see: a PORT in the same segment then goes unnoticed.
func ftpAsked(data []byte, family uint8, mode ftpMode) (ftpMode, bool) {
	own := byte('1') // of RFC 2428, section 2
	if family == packet.IPv6Family {
		own = '2'
	}
	for ; len(data) >= 6; data = data[1:] {
		switch {
		case data[0]|0x20 != 'p' && data[0]|0x20 != 'e':
		case family == packet.IPv4Family && ftpBegins(data, "pasv\r\n"):
			return ftpPassive, true
		case ftpBegins(data, "epsv\r"):
			return ftpExtended, true
		case ftpBegins(data, "epsv "):
			if len(data) < 7 || data[6] != '\r' || data[5] != own {
				return mode, true
			}
			return ftpExtended, true
		}
	}
	return mode, false
}

// ftpPORT reads PORT at the beginning of what a client sent: PORT h1,h2,h3,h4,p1,p2.
func ftpPORT(data []byte) (ftpEndpoint, bool) {
	if i := ftpSkip(data, "port", ' ', true); i >= 0 {
		return ftpNumbers(data, i)
	}
	return ftpEndpoint{}, false
}

// ftpEPRT reads EPRT at the beginning of what a client sent: EPRT |1|192.0.2.1|6275|, or |2| and an IPv6 address.
func ftpEPRT(data []byte, family uint8) (ftpEndpoint, bool) {
	i := ftpSkip(data, "eprt", ' ', false)
	if i < 0 || i == len(data) {
		return ftpEndpoint{}, false
	}
	e, i, ok := ftpFamilyAndAddress(data, i, family)
	if !ok {
		return e, false
	}
	return ftpLastNumber(data, i, e)
}

// ftp227 reads the answer to PASV: 227 text (h1,h2,h3,h4,p1,p2). The parenthesis may be missing.
func ftp227(data []byte) (ftpEndpoint, bool) {
	if i := ftpSkip(data, "227 ", '(', true); i >= 0 {
		return ftpNumbers(data, i)
	}
	return ftpEndpoint{}, false
}

// ftp229 reads the answer to EPSV: 229 text (|||6446|). The server's address is what it nearly always leaves out.
func ftp229(data []byte, family uint8, server packet.Addr) (ftpEndpoint, bool) {
	i := ftpSkip(data, "229 ", '(', false)
	if i < 0 || i+1 >= len(data) || !ftpDelimits(data[i]) {
		return ftpEndpoint{}, false
	}
	if data[i+1] != data[i] {
		e, i, ok := ftpFamilyAndAddress(data, i, family)
		if !ok {
			return e, false
		}
		return ftpLastNumber(data, i, e)
	}
	if i+2 >= len(data) || data[i+2] != data[i] {
		return ftpEndpoint{}, false
	}
	return ftpLastNumber(data, i+3, ftpEndpoint{addr: server, start: i})
}

// ftpBegins reports whether data begins with word, whose letters are small, in letters of either case.
func ftpBegins(data []byte, word string) bool {
	if len(data) < len(word) {
		return false
	}
	for i := range len(word) {
		c := data[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// ftpSkip returns where data goes on behind word and whatever there is up to the last of a row of mark; with digits a digit
// will do where there is no mark. -1 if data does not begin like that.
func ftpSkip(data []byte, word string, mark byte, digits bool) int {
	if !ftpBegins(data, word) {
		return -1
	}
	found := false
	for i := len(word); i < len(data); i++ {
		switch {
		case !found && digits && isDigit(data[i]):
			return i
		case data[i] == mark:
			found = true
		case found:
			return i
		}
	}
	return -1
}

// ftpNumbers reads six numbers at i, separated by commas. What follows them must be there, so that the last is complete.
// A number above 255 counts modulo 256, and none as 0.
func ftpNumbers(data []byte, i int) (e ftpEndpoint, ok bool) {
	var n [6]byte
	k := 0
	e.start = i
	for ; i < len(data); i++ {
		if isDigit(data[i]) {
			n[k] = n[k]*10 + data[i] - '0'
			continue
		}
		if data[i] != ',' || k == 5 {
			break
		}
		k++
	}
	if i == len(data) || k != 5 {
		return e, false
	}
	e.addr = packet.Addr{10: 0xff, 11: 0xff, 12: n[0], 13: n[1], 14: n[2], 15: n[3]}
	e.port, e.end = uint16(n[4])<<8|uint16(n[5]), i
	return e, true
}

// ftpDelimits reports whether a character may stand between the fields of EPRT and of the answer to EPSV.
func ftpDelimits(c byte) bool { return 33 <= c && c <= 126 }

// ftpFamilyAndAddress reads |1|192.0.2.1| at i and returns where the port follows.
func ftpFamilyAndAddress(data []byte, i int, family uint8) (e ftpEndpoint, next int, ok bool) {
	if i+3 >= len(data) || !ftpDelimits(data[i]) {
		return e, 0, false
	}
	delim := data[i]
	e.start = i
	own := byte('1')
	if family == packet.IPv6Family {
		own = '2'
	}
	if data[i+1] == delim || data[i+1] != own || data[i+2] != delim {
		return e, 0, false
	}
	i += 3
	n := 0
	for i+n < len(data) && data[i+n] != delim {
		n++
	}
	if i+n == len(data) {
		return e, 0, false
	}
	if family == packet.IPv4Family {
		ok = parseIPv4(data[i:i+n], &e.addr)
	} else {
		ok = parseIPv6(data[i:i+n], &e.addr)
	}
	return e, i + n + 1, ok
}

// ftpLastNumber reads the port at i and the delimiter behind it, which ends e. It counts modulo 65536, and 0 is none.
func ftpLastNumber(data []byte, i int, e ftpEndpoint) (ftpEndpoint, bool) {
	for ; i < len(data) && isDigit(data[i]); i++ {
		e.port = e.port*10 + uint16(data[i]-'0')
	}
	if i == len(data) || e.port == 0 || data[i] != data[e.start] {
		return e, false
	}
	e.end = i + 1
	return e, true
}

// ftpTextLen is enough for what takes the place of an address and port in an answer.
const ftpTextLen = len("255,255,255,255,255,255")

// ftpText appends what takes the place of the address and port in the answer that mode has: the service's own.
func ftpText(b []byte, mode ftpMode, a *packet.Addr, port uint16) []byte {
	if mode == ftpExtended { // the port alone: the client connects to where it has connected to
		b = append(b, "|||"...)
		b = strconv.AppendUint(b, uint64(port), 10)
		return append(b, '|')
	}
	for _, n := range [...]byte{a[12], a[13], a[14], a[15], byte(port >> 8)} {
		b = strconv.AppendUint(b, uint64(n), 10)
		b = append(b, ',')
	}
	return strconv.AppendUint(b, uint64(byte(port)), 10)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

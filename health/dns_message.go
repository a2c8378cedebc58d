package health

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// DNSType is the type of record that is asked for (RFC 1035, 3.2.2).
type DNSType uint16

// The types that a DNS_CHECK knows.
const (
	DNSTypeA      DNSType = 1
	DNSTypeNS     DNSType = 2
	DNSTypeCNAME  DNSType = 5
	DNSTypeSOA    DNSType = 6
	DNSTypeMX     DNSType = 15
	DNSTypeTXT    DNSType = 16
	DNSTypeAAAA   DNSType = 28 // RFC 3596
	DNSTypeRRSIG  DNSType = 46 // RFC 4034
	DNSTypeDNSKEY DNSType = 48
)

// dnsTypes are the names of the types.
var dnsTypes = map[string]DNSType{
	"A": DNSTypeA, "NS": DNSTypeNS, "CNAME": DNSTypeCNAME, "SOA": DNSTypeSOA, "MX": DNSTypeMX, "TXT": DNSTypeTXT,
	"AAAA": DNSTypeAAAA, "RRSIG": DNSTypeRRSIG, "DNSKEY": DNSTypeDNSKEY,
}

// ParseDNSType understands the names of keepalived.conf, in capitals or not.
func ParseDNSType(s string) (DNSType, bool) {
	t, ok := dnsTypes[strings.ToUpper(s)]
	return t, ok
}

// Lengths and flags of RFC 1035, 4.1.1 and 2.3.4.
const (
	dnsHeaderLen = 12
	dnsMaxLabel  = 63
	dnsMaxName   = 255

	dnsResponse         = 1 << 15 // QR
	dnsRecursionDesired = 1 << 8  // RD
	dnsRcode            = 0xf
	dnsClassIN          = 1
)

// dnsQuery returns a question with the ID 0. A name may end in a dot or not, "" and "." are the root.
func dnsQuery(name string, t DNSType) ([]byte, error) {
	b := make([]byte, dnsHeaderLen, dnsHeaderLen+len(name)+6)
	binary.BigEndian.PutUint16(b[2:], dnsRecursionDesired)
	binary.BigEndian.PutUint16(b[4:], 1) // one question
	if name = strings.TrimSuffix(name, "."); name != "" {
		for label := range strings.SplitSeq(name, ".") {
			if len(label) == 0 || len(label) > dnsMaxLabel {
				return nil, fmt.Errorf("name %q: label %q of %d bytes, must have 1 to %d", name, label, len(label), dnsMaxLabel)
			}
			b = append(b, byte(len(label)))
			b = append(b, label...)
		}
	}
	b = append(b, 0)
	if n := len(b) - dnsHeaderLen; n > dnsMaxName {
		return nil, fmt.Errorf("name %q: %d bytes on the wire, more than %d", name, n, dnsMaxName)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	return binary.BigEndian.AppendUint16(b, dnsClassIN), nil
}

// dnsAnswer reports whether b is an answer to the question with this ID, and its RCODE (0: no error).
func dnsAnswer(b []byte, id uint16) (rcode int, ok bool) {
	if len(b) < dnsHeaderLen || binary.BigEndian.Uint16(b) != id {
		return 0, false
	}
	flags := binary.BigEndian.Uint16(b[2:])
	return int(flags & dnsRcode), flags&dnsResponse != 0
}

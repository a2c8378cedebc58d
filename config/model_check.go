package config

import (
	"fmt"
	"net/netip"
	"time"
)

// CheckKind names a health check.
type CheckKind string

// The checks that are understood. AGENT_CHECK is dirsw's own: the real server says its weight and state itself, in the
// protocol of HAProxy's agent-check.
const (
	TCPCheck   CheckKind = "TCP_CHECK"
	HTTPGet    CheckKind = "HTTP_GET"
	SSLGet     CheckKind = "SSL_GET"
	SMTPCheck  CheckKind = "SMTP_CHECK"
	DNSCheck   CheckKind = "DNS_CHECK"
	MiscCheck  CheckKind = "MISC_CHECK"
	PingCheck  CheckKind = "PING_CHECK"
	UDPCheck   CheckKind = "UDP_CHECK"
	FileCheck  CheckKind = "FILE_CHECK"
	BFDCheck   CheckKind = "BFD_CHECK"
	AgentCheck CheckKind = "AGENT_CHECK"
)

// Check is a health check of a real server. What the file leaves out is filled in: from the real server, from the
// service, or by the default. Of the settings of one kind, that of its Kind is set, the others are nil; TCP_CHECK and
// PING_CHECK have none.
type Check struct {
	Pos              Pos
	Kind             CheckKind
	ConnectIP        netip.Addr // unset: the real server's
	ConnectPort      uint16     // 0: the real server's, see Real.ProbePort
	BindTo           netip.Addr
	BindPort         uint16 // 0: any
	BindIf           string
	Mark             uint32 // on the probe's packets; 0: none
	ConnectTimeout   time.Duration
	Retry            int
	DelayBeforeRetry time.Duration
	DelayLoop        time.Duration
	Warmup           time.Duration // the first check comes after a random part of it
	Alpha            bool
	LogAllFailures   bool
	// ViaVIP asks for a second probe that takes the way of clients: to the address of the service, by the MAC address or
	// the tunnel of the real server (check_path vip, dirsw's own).
	ViaVIP bool

	HTTP  *HTTPSettings // of HTTP_GET and SSL_GET
	SMTP  *SMTPSettings
	DNS   *DNSSettings
	UDP   *UDPSettings
	Misc  *MiscSettings
	File  *FileSettings
	BFD   *BFDSettings
	Agent *AgentSettings
}

// HTTPVersion is the protocol that HTTP_GET and SSL_GET speak.
type HTTPVersion uint8

// The versions. 1.0C is 1.0 with `Connection: close`.
const (
	HTTP10 HTTPVersion = iota
	HTTP10C
	HTTP11
)

// String returns the version as http_protocol takes it.
func (v HTTPVersion) String() string { return word(int(v), "1.0", "1.0C", "1.1") }

// HTTPSettings are those of HTTP_GET and SSL_GET.
type HTTPSettings struct {
	URLs         []URL
	Version      HTTPVersion
	VirtualHost  string // the check's, else the real server's, else the service's; empty: the address is the Host
	FastRecovery bool   // no delay_loop between the URLs of a server that comes back
	SNI          bool   // SSL_GET: name the host in the handshake
	ServerName   string // SSL_GET: the name for that; empty: the URL's or the check's host
}

// URL is one thing that HTTP_GET and SSL_GET ask for, and what the answer must be.
type URL struct {
	Path        string
	Digest      string        // MD5 of the body in hexadecimal, as genhash prints it; empty: any
	Status      []StatusRange // sorted, apart from each other; never empty
	VirtualHost string        // empty: the check's
	Regex       Regex
	Compliant   bool // SSL_GET: a server that ends the answer without a close_notify has failed (tls_compliant)
}

// StatusRange is a range of status codes of HTTP, both ends included.
type StatusRange struct{ From, To int }

// String returns "200" or "200-299".
func (r StatusRange) String() string {
	if r.From == r.To {
		return fmt.Sprint(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

// Regex is what the body must match, or must not. Without a Pattern it is none.
type Regex struct {
	Pattern   string
	Options   []string // names as pcre2api(3) has them, without PCRE2_ and in lower case
	NoMatch   bool     // a match is the failure
	MinOffset int      // bytes of the body that are passed over
	MaxOffset int      // a match must begin before it; 0: anywhere
}

// SMTPSettings are those of SMTP_CHECK.
type SMTPSettings struct {
	HeloName string
	Hosts    []Endpoint // as blocks `host` name them, all of which must answer; nil: the check's own one
}

// Endpoint is where a probe goes to and comes from. What is unset is the check's.
type Endpoint struct {
	ConnectIP      netip.Addr
	ConnectPort    uint16
	BindTo         netip.Addr
	BindPort       uint16
	BindIf         string
	Mark           uint32
	ConnectTimeout time.Duration
}

// DNSSettings are those of DNS_CHECK.
type DNSSettings struct {
	Type string // A, NS, CNAME, SOA, MX, TXT or AAAA
	Name string
}

// UDPSettings are those of UDP_CHECK.
type UDPSettings struct {
	Payload      []byte // nil: a random one
	RequireReply bool
	Reply        []byte // what a reply must begin with, as far as both go; nil: anything
	ReplyMask    []byte // of the bits of Reply that count, as long as it
	MinReply     int    // bytes
	MaxReply     int
}

// MiscSettings are those of MISC_CHECK.
type MiscSettings struct {
	Command Command
	Timeout time.Duration // never 0: delay_loop when it is not given
	Dynamic bool          // exit status 2 to 255 says the weight
}

// FileSettings are those of FILE_CHECK.
type FileSettings struct {
	TrackFile string // name of the block track_file
	HasWeight bool   // else that of the block
	Weight    int    // what the file says is multiplied by it; 0: any value but 0 is a failure
	Reverse   bool
	Dynamic   bool // the product is added to the weight of the real server
}

// BFDSettings are those of BFD_CHECK.
type BFDSettings struct {
	Name string // of the bfd_instance
}

// AgentSettings are those of AGENT_CHECK.
type AgentSettings struct {
	Send        string        // sent after connecting; empty: nothing
	MaxStep     int           // a change of weight is at most so many per cent of the configured one; 0: any
	MinInterval time.Duration // between two changes of weight; 0: none
}

// TLSClient is the block SSL: who SSL_GET says that it is, and whom it believes. Names of PEM files; empty: none.
type TLSClient struct {
	Password    string // of the key
	CA          string
	Certificate string
	Key         string
}

package health

import (
	"net/netip"
	"strings"
)

// request returns the bytes that ask for u. They are keepalived's: some servers and their logs know the check by them.
func (h *HTTP) request(u *URL) []byte {
	var b strings.Builder
	b.WriteString("GET ")
	b.WriteString(u.Path)
	switch h.o.Protocol {
	case HTTP11, HTTP11K:
		b.WriteString(" HTTP/1.1\r\n")
	default:
		b.WriteString(" HTTP/1.0\r\n")
	}
	b.WriteString("User-Agent: KeepAliveClient\r\n")
	switch h.o.Protocol {
	case HTTP10C, HTTP11:
		b.WriteString("Connection: close\r\n")
	case HTTP10K, HTTP11K:
		b.WriteString("Connection: keep-alive\r\n")
	}
	b.WriteString("Host: ")
	if host := h.host(u); host != "" {
		b.WriteString(host)
	} else {
		a := h.o.Dial.Addr // with the port, an IPv6 address in brackets
		b.WriteString(netip.AddrPortFrom(a.Addr().WithZone(""), a.Port()).String())
	}
	b.WriteString("\r\n\r\n")
	return []byte(b.String())
}

// host is the virtual host of a url, "" if neither it nor the check has one.
func (h *HTTP) host(u *URL) string {
	if u.VirtualHost != "" {
		return u.VirtualHost
	}
	return h.o.VirtualHost
}

// hasControl reports whether a text would end the line that it is sent in.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

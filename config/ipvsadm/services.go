package ipvsadm

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"dirsw/config"
)

// Services are names of ports, as in /etc/services.
type Services struct {
	names map[portKey]string
	ports map[nameKey]uint16
}

type portKey struct {
	port  uint16
	proto config.Protocol
}

type nameKey struct {
	name  string
	proto config.Protocol
}

// ReadServices reads the format of /etc/services: a name, port/protocol, further names. Lines that are not so are skipped.
func ReadServices(r io.Reader) (Services, error) {
	s := Services{names: map[portKey]string{}, ports: map[nameKey]uint16{}}
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		line, _, _ := strings.Cut(scan.Text(), "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		number, proto, _ := strings.Cut(f[1], "/")
		n, err := strconv.ParseUint(number, 10, 16)
		p := map[string]config.Protocol{"tcp": config.TCP, "udp": config.UDP, "sctp": config.SCTP}[proto]
		if err != nil || p == 0 {
			continue
		}
		key := portKey{uint16(n), p}
		if _, ok := s.names[key]; !ok {
			s.names[key] = f[0]
		}
		for _, name := range append([]string{f[0]}, f[2:]...) {
			if _, ok := s.ports[nameKey{name, p}]; !ok {
				s.ports[nameKey{name, p}] = key.port
			}
		}
	}
	return s, scan.Err()
}

// Name returns the name of a port, "" if it has none. It is made for Names.Port.
func (s Services) Name(port uint16, proto config.Protocol) string {
	return s.names[portKey{port, proto}]
}

// Port returns the port of a name. It is made for Resolver.Port.
func (s Services) Port(name string, proto config.Protocol) (uint16, bool) {
	n, ok := s.ports[nameKey{name, proto}]
	return n, ok
}

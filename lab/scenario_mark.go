package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"time"
)

const markVIP = "192.168.0.220"

// markScenario is the exercise of an article about LVS: one firewall mark for HTTP and HTTPS, so that both ports of an
// address are one service, then with persistence. The commands are those of the article.
func markScenario() scenario {
	return scenario{
		name: "mark", title: "HTTP and HTTPS as one service, by a firewall mark.", spec: markSpec,
		conf: `vrrp_instance VI_1 {
    state MASTER
    interface ens160
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        192.168.0.220/24
    }
}
`,
		steps: []func(*scene) error{markApart, markTogether, markPersistent, markOthers},
	}
}

func markSpec() Spec {
	node := func(name string, role Role, last byte, addrs ...string) NodeSpec {
		return NodeSpec{Name: name, Role: role, Interface: "ens160", MAC: net.HardwareAddr{0, 0x0c, 0x29, 0, 0x66, last}, Addrs: prefixes(addrs...)}
	}
	server := func(name, page string, last byte, addr string) NodeSpec {
		n := node(name, RealServer, last, addr)
		n.VIPs, n.Page, n.Listen = prefixes(markVIP+"/32"), page, ":80"
		return n
	}
	return Spec{Nodes: []NodeSpec{node("client", Client, 1, "192.168.0.111/24", "192.168.0.112/24", "192.168.0.113/24", "192.168.0.114/24"),
		node("lvs", Director, 2, "192.168.0.200/24"), server("rs1", "RS1", 3, "192.168.0.10/24"), server("rs2", "RS2", 4, "192.168.0.20/24")}}
}

// markHTTPS lets the real servers speak HTTPS too, as mod_ssl does in the article.
func markHTTPS(s *scene) error {
	cert, err := selfSigned(markVIP)
	if err != nil {
		return err
	}
	for name, page := range map[string]string{"rs1": "RS1", "rs2": "RS2"} {
		l, err := s.c.Listen(name, ":443")
		if err != nil {
			return err
		}
		go func() {
			_ = serve(s.ctx, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}), page) // it ends with the scenario
		}()
	}
	return nil
}

// selfSigned makes a certificate for an address, good for a long time.
func selfSigned(addr string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(addr)},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// typed carries out lines of ipvsadm and iptables as an operator types them.
func (s *scene) typed(lines ...string) error {
	for _, line := range lines {
		s.did("%s", line)
		words := strings.Fields(line)
		out, err := s.dirsw(words[0], words[1:]...)
		if out != "" {
			s.saw("%s", out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// both asks for both pages from an address of the client: by HTTP, then by HTTPS.
func (s *scene) both(from string) (http, https string, err error) {
	if http, err = s.curl("client", "--interface", from, "http://"+markVIP); err == nil {
		https, err = s.curl("client", "--interface", from, "-k", "https://"+markVIP)
	}
	http, _, _ = strings.Cut(http, "\n")
	https, _, _ = strings.Cut(https, "\n")
	return http, https, err
}

// markApart shows what the mark is for: two services of one address, each with a turn and with templates of its own.
func markApart(s *scene) error {
	s.begin("Without a mark HTTP and HTTPS are two services.")
	if err := markHTTPS(s); err != nil {
		return err
	}
	err := s.typed("ipvsadm -A -t 192.168.0.220:80 -s rr -p 3000", "ipvsadm -A -t 192.168.0.220:443 -s rr -p 3000",
		"ipvsadm -a -t 192.168.0.220:80 -r 192.168.0.10:80 -g", "ipvsadm -a -t 192.168.0.220:80 -r 192.168.0.20:80 -g",
		"ipvsadm -a -t 192.168.0.220:443 -r 192.168.0.20:80 -g", "ipvsadm -a -t 192.168.0.220:443 -r 192.168.0.10:80 -g")
	if err != nil {
		return err
	}
	s.did("curl http://%s; curl -k https://%[1]s", markVIP)
	http, https, err := s.both("192.168.0.111")
	if err != nil {
		return err
	}
	s.saw("%s %s", http, https)
	s.check(http != https, "a client is on two servers although both services are persistent")
	return s.typed("ipvsadm -C")
}

// markTogether is the exercise as typed.
func markTogether(s *scene) error {
	s.begin("With a mark they are one service, with one turn.")
	err := s.typed("iptables -t mangle -A PREROUTING -d 192.168.0.220 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 6666",
		"ipvsadm -A -f 6666 -s rr", "ipvsadm -a -f 6666 -r 192.168.0.10 -g", "ipvsadm -a -f 6666 -r 192.168.0.20 -g")
	if err != nil {
		return err
	}
	out, err := s.dirsw("mark", "list")
	if err != nil {
		return err
	}
	const rule = "-A PREROUTING -d 192.168.0.220/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x1a0a/0xffffffff"
	s.check(strings.Contains(out, rule), "dirsw mark list has the rule: %s", rule)
	s.did("4 times: curl http://%s; curl -k https://%[1]s", markVIP)
	var got []string
	for range 4 {
		http, https, err := s.both("192.168.0.111")
		if err != nil {
			return err
		}
		got = append(got, http, https)
	}
	s.saw("%s", strings.Join(got, " "))
	n := counted(got)
	s.check(n["RS1"] == 4 && n["RS2"] == 4, "each server answered four")
	for i := 0; i < len(got); i += 2 {
		if got[i] == got[i+1] {
			s.check(false, "a request by HTTP and the one by HTTPS after it go to different servers")
			break
		}
	}
	return nil
}

// markPersistent keeps each client on one server, whatever the port.
func markPersistent(s *scene) error {
	s.begin("Persistence holds for both ports.")
	if err := s.typed("ipvsadm -E -f 6666 -s rr -p 3000"); err != nil {
		return err
	}
	var servers []string
	for _, from := range []string{"192.168.0.111", "192.168.0.112", "192.168.0.113", "192.168.0.114"} {
		var got []string
		for range 3 {
			http, https, err := s.both(from)
			if err != nil {
				return err
			}
			got = append(got, http, https)
		}
		s.saw("%s: %s", from, strings.Join(got, " "))
		s.check(len(counted(got)) == 1, "the client %s stays on one server", from)
		servers = append(servers, got[0])
	}
	n := counted(servers)
	s.check(n["RS1"] == 2 && n["RS2"] == 2, "the clients are shared out")
	s.did("dirsw ipvsadm -Lnc")
	out, err := s.dirsw("ipvsadm", "-Lnc")
	if err != nil {
		return err
	}
	s.check(strings.Count(out, "0.0.26.10:0") == 4, "there is a template of each client for the mark, 0.0.26.10 (6666) in the place of an address")
	return nil
}

// markOthers looks that what has no mark is left alone.
func markOthers(s *scene) error {
	s.begin("What has no mark is the host's own.")
	s.did("curl http://%s:8080", markVIP)
	_, err := s.curl("client", "http://"+markVIP+":8080")
	s.check(err != nil && strings.Contains(err.Error(), "Connection refused") || err != nil && strings.Contains(err.Error(), "exit status 7"),
		"the director's own network stack refuses the connection")
	err = s.typed("iptables -t mangle -D PREROUTING -d 192.168.0.220 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 6666")
	if err != nil {
		return err
	}
	s.did("curl http://%s", markVIP)
	_, err = s.curl("client", "http://"+markVIP)
	s.check(err != nil && strings.Contains(err.Error(), "exit status 7"), "without the rule port 80 is the host's own again")
	return nil
}

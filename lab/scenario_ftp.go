package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ftpFile is how much is fetched at a time, in bytes.
const ftpFile = 300_000

// ftpScenario is FTP by masquerading: the data connections are what the two sides agree on in words, so that dirsw has to
// read them, and to change the address in some.
func ftpScenario() scenario {
	return scenario{name: "ftp", title: "FTP by NAT: active and passive, over IPv4 and IPv6. It needs vsftpd.", spec: ftpSpec,
		conf: ftpConf, steps: []func(*scene) error{playFTP}}
}

func ftpSpec() Spec { return natArms(natServer("rs1", "", 11, ""), natServer("rs2", "", 12, "")) }

const ftpConf = `vrrp_instance VI_4 {
    state MASTER
    interface eth0
    virtual_router_id 53
    priority 100
    virtual_ipaddress {
        192.0.2.200/24
    }
}
vrrp_instance VI_6 {
    state MASTER
    interface eth0
    virtual_router_id 53
    priority 100
    virtual_ipaddress {
        2001:db8:1::200/64
    }
}
virtual_server 192.0.2.200 21 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 203.0.113.11 21 {
        weight 1
    }
    real_server 203.0.113.12 21 {
        weight 1
    }
}
virtual_server 2001:db8:1::200 21 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 2001:db8:2::11 21 {
        weight 1
    }
    real_server 2001:db8:2::12 21 {
        weight 1
    }
}
`

// playFTP starts the servers and fetches files in every way that there is.
func playFTP(s *scene) error {
	ctx, cancel := context.WithCancel(s.ctx)
	var ends []func() error
	defer func() {
		cancel()
		for _, wait := range ends {
			_ = wait() // it was killed
		}
	}()
	for i, node := range []string{"rs1", "rs2"} {
		wait, err := startFTP(ctx, s, node, fmt.Sprintf("RS%d", i+1))
		if err != nil {
			return err
		}
		ends = append(ends, wait)
	}
	for _, way := range []ftpWay{
		{"IPv4, passive (PASV): the answer names the virtual address.", natVIP4,
			[]string{"--disable-epsv", "--no-ftp-skip-pasv-ip"}, "227 Entering Passive Mode (192,0,2,200,", ""},
		{"IPv4, passive (EPSV).", natVIP4, nil, "229 Entering Extended Passive Mode (|||", ""},
		{"IPv4, active (PORT): the server connects from port 20 of the virtual address.", natVIP4,
			[]string{"--disable-eprt", "--ftp-port", "-"}, "PORT 192,0,2,1,", "192.0.2.200:20"},
		{"IPv4, active (EPRT).", natVIP4, []string{"--ftp-port", "-"}, "EPRT |1|192.0.2.1|", "192.0.2.200:20"},
		{"IPv6, passive (EPSV).", natVIP6, nil, "229 Entering Extended Passive Mode (|||", ""},
		{"IPv6, active (EPRT).", natVIP6, []string{"--ftp-port", "-"}, "EPRT |2|2001:db8:1::1|", "[2001:db8:1::200]:20"},
	} {
		if err := way.play(s); err != nil {
			return err
		}
	}
	return nil
}

// ftpServer is the configuration of vsftpd for anonymous downloads from one directory.
const ftpServer = `listen=NO
listen_ipv6=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=%[1]s/files
secure_chroot_dir=%[1]s/empty
connect_from_port_20=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
`

// startFTP starts vsftpd on a node, with a file that says which server it is and a long one. It returns how to wait for its
// end, which ctx brings.
func startFTP(ctx context.Context, s *scene, node, says string) (wait func() error, err error) {
	dir := filepath.Join(s.dir, node)
	for _, d := range []string{"files", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{"files/who": says + "\n", "files/long": strings.Repeat("x", ftpFile),
		"vsftpd.conf": fmt.Sprintf(ftpServer, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	cmd := s.c.Command(ctx, node, "vsftpd", filepath.Join(dir, "vsftpd.conf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start vsftpd, which must be installed: %w", err)
	}
	err = poll(ctx, s.c.clk, ample, func() (bool, error) {
		dial, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		c, err := s.c.Dial(dial, node, "tcp", "[::1]:21")
		if err == nil {
			c.Close()
		}
		return err == nil, ctx.Err()
	})
	if err != nil {
		return cmd.Wait, fmt.Errorf("vsftpd on %s: %w", node, err)
	}
	return cmd.Wait, nil
}

// ftpWay is a way to fetch files.
type ftpWay struct {
	title, vip string
	options    []string // of curl
	says       string   // what must be in the conversation, as the client sees it
	from       string   // where the server's data connection must come from; "" if the client makes it
}

// play fetches both files twice, in a session each: four data connections behind one another, with answers that may each
// shift the sequence numbers of what follows.
func (w *ftpWay) play(s *scene) error {
	s.begin(w.title)
	url := "ftp://" + net.JoinHostPort(w.vip, "21") + "/"
	args := append([]string{"--verbose"}, w.options...)
	s.did("twice: curl %s", strings.Join(append(w.options, url+"who", url+"long", url+"long", url+"who"), " "))
	before, err := w.connections(s)
	if err != nil {
		return err
	}
	servers := map[string]bool{}
	for range 2 {
		text, err := s.curl("client", append(args, url+"who", url+"long", url+"long", url+"who")...)
		if err != nil {
			return err
		}
		s.check(strings.Count(text, "x") >= 2*ftpFile, "%d bytes came, and again", ftpFile)
		one, two := strings.Count(text, "RS1\n"), strings.Count(text, "RS2\n")
		s.check(one == 2 && two == 0 || one == 0 && two == 2, "all from one server")
		servers[fmt.Sprint(one)] = true
		s.check(strings.Contains(text, w.says), "the client read or said %q", w.says)
	}
	s.check(len(servers) == 2, "each server had one session")
	if w.from == "" {
		return nil
	}
	after, err := w.connections(s)
	s.check(err == nil && len(after) > len(before), "%d connections came from %s, as: %s", len(after)-len(before), w.from,
		strings.Join(after[max(0, len(after)-1):], ""))
	return err
}

// connections lists those that servers have made from w.from.
func (w *ftpWay) connections(s *scene) (lines []string, err error) {
	list, err := s.dirsw("ipvsadm", "-Lnc")
	for l := range strings.Lines(list) {
		if f := strings.Fields(l); len(f) == 6 && f[4] == w.from && f[2] != "LISTEN" {
			lines = append(lines, strings.Join(f, " "))
		}
	}
	return lines, err
}

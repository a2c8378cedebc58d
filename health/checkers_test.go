package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/internal/testenv"
	"dirsw/script"
)

// blackHole is a listening socket on the loopback whose queue is full: it drops every SYN.
func blackHole(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", a.String(), 500*time.Millisecond)
		if err != nil {
			return a
		}
		t.Cleanup(func() { c.Close() })
	}
}

// wants runs a check and demands its outcome (nil is success), and that it does not end before its time.
func wants(t *testing.T, c Checker, want error, least time.Duration) {
	t.Helper()
	start := time.Now()
	err := c.Check(t.Context())
	took := time.Since(start)
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	if took < least {
		t.Errorf("took %v, want at least %v", took, least)
	}
}

func TestTCPAgainstBadServers(t *testing.T) {
	const timeout = 300 * time.Millisecond
	check := func(a netip.AddrPort, d time.Duration) Checker { return &TCP{Dial{Addr: a, Timeout: d}} }
	t.Run("accepts", func(t *testing.T) { wants(t, check(serve(t, silent), testenv.Patience), nil, 0) })
	t.Run("refuses", func(t *testing.T) { wants(t, check(refusing(t), testenv.Patience), ErrRefused, 0) })
	t.Run("black hole", func(t *testing.T) { wants(t, check(blackHole(t), timeout), ErrTimeout, timeout) })
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := check(blackHole(t), timeout).Check(ctx); err == nil {
			t.Error("connected")
		}
	})
}

func TestChecksOverALink(t *testing.T) {
	n := newPathNet(t)
	in := func(t *testing.T, c Checker, want error, least time.Duration) {
		t.Helper()
		n.director.Do(t, func() { wants(t, c, want, least) })
	}
	n.listen(t, ":80")
	const timeout = 400 * time.Millisecond
	within := func(s string, d time.Duration) Dial { return Dial{Addr: netip.MustParseAddrPort(s), Timeout: d} }
	dial := func(s string) Dial { return within(s, testenv.Patience) }
	for _, tt := range []struct {
		name  string
		c     Checker
		want  error
		least time.Duration
	}{
		{"TCP", &TCP{dial("192.0.2.11:80")}, nil, 0},
		{"TCP, IPv6", &TCP{dial("[2001:db8::11]:80")}, nil, 0},
		{"TCP to nobody", &TCP{within("192.0.2.77:80", timeout)}, ErrTimeout, timeout},
		{"TCP without a route", &TCP{dial("203.0.113.1:80")}, ErrUnreach, 0},
		{"ping", &Ping{dial("192.0.2.11:0")}, nil, 0},
		{"ping, IPv6", &Ping{dial("[2001:db8::11]:0")}, nil, 0},
		{"ping to nobody", &Ping{within("192.0.2.77:0", timeout)}, ErrTimeout, timeout},
		{"ping without a route", &Ping{dial("203.0.113.1:0")}, ErrUnreach, 0},
		{"UDP to a closed port", &UDP{Dial: dial("192.0.2.11:53")}, ErrRefused, 0},
		{"UDP to a closed port, IPv6", &UDP{Dial: dial("[2001:db8::11]:53")}, ErrRefused, 0},
		{"UDP without a route", &UDP{Dial: dial("203.0.113.1:53")}, ErrUnreach, 0},
		{"UDP to nobody, whom ARP gives up", &UDP{Dial: Dial{Addr: netip.MustParseAddrPort("192.0.2.77:53"), Timeout: testenv.Patience}}, ErrUnreach, 0},
		{"bound to an address", &TCP{Dial{Addr: netip.MustParseAddrPort("192.0.2.11:80"), Bind: netip.MustParseAddrPort("192.0.2.1:0")}}, nil, 0},
		{"bound to a link", &TCP{Dial{Addr: netip.MustParseAddrPort("192.0.2.11:80"), Device: "d"}}, nil, 0},
		{"bound to another's address", &TCP{Dial{Addr: netip.MustParseAddrPort("192.0.2.11:80"), Bind: netip.MustParseAddrPort("192.0.2.2:0")}}, ErrLocal, 0},
		{"bound to a link, which a link-local address needs", &TCP{Dial{Addr: netip.MustParseAddrPort("[fe80::11]:80"), Device: "d"}}, nil, 0},
		{"link-local with its link", &TCP{dial("[fe80::11%d]:80")}, nil, 0},
		{"link-local with no link", &TCP{dial("[fe80::11%none]:80")}, ErrLocal, 0},
		{"bound to no link", &TCP{Dial{Addr: netip.MustParseAddrPort("192.0.2.11:80"), Device: "none"}}, ErrLocal, 0},
	} {
		t.Run(tt.name, func(t *testing.T) { in(t, tt.c, tt.want, tt.least) })
	}
	t.Run("bound to a port, again and again", func(t *testing.T) {
		c := &TCP{Dial{Addr: netip.MustParseAddrPort("192.0.2.11:80"), Bind: netip.MustParseAddrPort("0.0.0.0:4000"), Timeout: testenv.Patience}}
		for range 3 {
			in(t, c, nil, 0)
		}
	})
}

func TestDialMarks(t *testing.T) {
	testenv.NeedNetAdmin(t)
	d := Dial{Addr: serve(t, silent), Mark: 0x6666}
	c, err := d.dial(t.Context(), "tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if m, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_MARK); err != nil || m != 0x6666 {
			t.Errorf("mark %x, %v", m, err)
		}
	})
}

// datagrams answers each datagram with what reply makes of it; nil is silence.
func datagrams(t *testing.T, reply func([]byte) []byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if b := reply(buf[:n]); b != nil {
				_, _ = c.WriteToUDPAddrPort(b, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestUDP(t *testing.T) {
	const timeout = 200 * time.Millisecond
	echo := datagrams(t, func(b []byte) []byte { return b })
	long := datagrams(t, func([]byte) []byte { return make([]byte, 600) })
	mute := datagrams(t, func([]byte) []byte { return nil })
	payload := []byte{1, 2, 3, 4}
	for _, tt := range []struct {
		name  string
		c     UDP
		to    netip.AddrPort
		want  error
		least time.Duration
	}{
		{"an answer is not needed", UDP{}, mute, nil, timeout},
		{"an answer ends it", UDP{}, echo, nil, 0},
		{"an answer is needed", UDP{Require: true}, mute, ErrTimeout, timeout},
		{"any answer will do", UDP{Require: true}, long, nil, 0},
		{"the answer begins so", UDP{Payload: payload, Require: true, Reply: []byte{1, 2}}, echo, nil, 0},
		{"the answer is a part of it", UDP{Payload: payload, Require: true, Reply: []byte{1, 2, 3, 4, 5}}, echo, nil, 0},
		{"another answer", UDP{Payload: payload, Require: true, Reply: []byte{1, 3}}, echo, errMismatch, 0},
		{"some bits do not matter", UDP{Payload: payload, Require: true, Reply: []byte{1, 3}, Mask: []byte{0, 1}}, echo, nil, 0},
		{"nothing to compare, any length", UDP{Payload: payload, Require: true, Min: 5}, echo, nil, 0},
		{"too short", UDP{Payload: payload, Require: true, Reply: payload, Min: 5}, echo, errMismatch, 0},
		{"too long", UDP{Payload: payload, Require: true, Reply: payload, Max: 3}, echo, errMismatch, 0},
		{"longer than 255", UDP{Require: true, Reply: []byte{0}}, long, errMismatch, 0},
		{"long enough", UDP{Require: true, Reply: []byte{0}, Max: 700}, long, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Dial = Dial{Addr: tt.to, Timeout: testenv.Patience}
			if tt.to == mute {
				tt.c.Dial.Timeout = timeout
			}
			wants(t, &tt.c, tt.want, tt.least)
		})
	}
}

func TestMisc(t *testing.T) {
	file := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nexec $*\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		command string
		dynamic bool
		grade   Grade
		want    string // of Down with retry 2
	}{
		{"true", false, Grade{}, ""},
		{"exit 1", true, Grade{}, "failed after 2 retries (exited with status 1)"},
		{"exit 7", false, Grade{}, "failed after 2 retries (exited with status 7)"},
		{"exit 2", true, Grade{Kind: GradeWeight, Value: 0}, ""},
		{"exit 255", true, Grade{Kind: GradeWeight, Value: 253}, ""},
		{"kill -9 $$", true, Grade{}, "failed after 2 retries (due to signal 9)"},
		{"sleep 30", false, Grade{}, "timed out after 2 retries"},
	} {
		t.Run(tt.command, func(t *testing.T) {
			c := Misc{
				Runner:  script.Runner{Clock: clock.NewSystem()},
				Command: script.Command{Args: []string{"/bin/sh", "-c", tt.command}, Timeout: testenv.Patience}, Dynamic: tt.dynamic,
			}
			if strings.HasPrefix(tt.want, "timed out") {
				c.Command.Timeout = 500 * time.Millisecond
			}
			g, err := c.Grade(t.Context())
			if g != tt.grade || (err == nil) != (tt.want == "") {
				t.Fatalf("grade %+v, %v, want %+v, %q", g, err, tt.grade, tt.want)
			}
			n := Names{"[192.0.2.11]:tcp:80", "FWM 7"}
			if want := "Misc check for [[192.0.2.11]:tcp:80 VS FWM 7] by [/bin/sh] " + tt.want + "."; err != nil && c.Down(n, err, Try{N: 2, Retry: 2}) != want {
				t.Errorf("line %q, want %q", c.Down(n, err, Try{N: 2, Retry: 2}), want)
			}
		})
	}
	missing := Misc{Runner: script.Runner{Clock: clock.NewSystem()}, Command: script.Command{Args: []string{"/nonexistent"}}}
	if err := missing.Check(t.Context()); err == nil || errors.Is(err, ErrLocal) {
		t.Errorf("a program that does not exist: %v", err)
	}
}

func TestMiscLines(t *testing.T) {
	c := Misc{Command: script.Command{Args: []string{"/usr/bin/test"}}}
	n := Names{"S", "V"}
	failed := &Failure{Text: "exited with status 1"}
	for _, tt := range []struct{ got, want string }{
		{c.Up(n), "Misc check for [S VS V] by [/usr/bin/test] succeeded."},
		{c.Down(n, failed, Try{}), "Misc check for [S VS V] by [/usr/bin/test] failed with retry disabled (exited with status 1)."},
		{c.Down(n, failed, Try{N: 1, Retry: 1}), "Misc check for [S VS V] by [/usr/bin/test] failed after 1 retry (exited with status 1)."},
		{c.Failed(n, failed, Try{Retry: 1}), "Misc check for [S VS V] by [/usr/bin/test] failed, will do 1 retry (exited with status 1)."},
		{c.Failed(n, failed, Try{N: 1, Retry: 3}), "Misc check for [S VS V] by [/usr/bin/test] failed on retry 1/3 (exited with status 1)."},
		{c.Failed(n, failed, Try{N: 3, Retry: 3}), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// TestNoDescriptors runs checks in a process that has none left: they fail as the director's own lack.
func TestNoDescriptors(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), starveEnv+"="+serve(t, silent).String())
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "local local local" {
		t.Errorf("%q, %v, want three times local", got, err)
	}
}

const starveEnv = "HEALTH_TEST_STARVE"

// starve uses up all descriptors and prints what checks of the server say.
func starve(server string) {
	a := netip.MustParseAddrPort(server)
	if c, err := net.Dial("tcp", server); err == nil { // the poller has its descriptors
		c.Close()
	}
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64})
	for {
		if _, err := syscall.Dup(1); err != nil {
			break
		}
	}
	for _, c := range []Checker{&TCP{Dial{Addr: a}}, &UDP{Dial: Dial{Addr: a}}, &Misc{
		Runner: script.Runner{Clock: clock.NewSystem()}, Command: script.Command{Args: []string{"/bin/true"}, Output: 10},
	}} {
		err := c.Check(context.Background())
		if errors.Is(err, ErrLocal) {
			fmt.Print("local ")
		} else {
			fmt.Print(err, " ")
		}
	}
}

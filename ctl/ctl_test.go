package ctl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/stats"
)

// fake is a director that answers from fields.
type fake struct {
	stats   stats.Stats
	conns   int
	yielded atomic.Int64
	err     error
}

func (f *fake) Stats() (stats.Stats, error) { return f.stats, f.err }

func (f *fake) Conns(yield func(stats.Conn) bool) error {
	for i := range f.conns {
		f.yielded.Add(1)
		if !yield(testConn(i)) {
			break
		}
	}
	return f.err
}

func (f *fake) Explain(q string) (string, error) { return "about " + q, f.err }
func (f *fake) Reload() (string, error)          { return "", f.err }

func (f *fake) Do(verb string, args []string, stdin string) (Outcome, error) {
	return Outcome{Stdout: verb + strings.Join(args, "|"), Stderr: fmt.Sprint(len(stdin)), Exit: len(args)}, f.err
}

func testConn(i int) stats.Conn {
	client := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
	return stats.Conn{
		Proto: "TCP", Client: netip.AddrPortFrom(client, uint16(i>>8)),
		Virtual: netip.MustParseAddrPort("192.0.2.1:80"), Dest: netip.MustParseAddrPort("198.51.100.7:80"),
		State: "ESTABLISHED", Left: 900 * time.Second, Template: i%2 == 1,
	}
}

// start serves b until the test ends.
func start(t testing.TB, b Backend, c clock.Clock) (path string, s *Server) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "control.sock")
	s, err := Listen(path, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, b) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path, s
}

func dial(t testing.TB, path string) *Client {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	b := &fake{conns: 2*connsChunk + 3, stats: stats.Stats{
		Version: "1", Connections: 7, Drops: []stats.Drop{{Reason: "no-service", Frames: 1 << 63}},
		Services: []stats.Service{{Proto: "TCP", Addr: netip.MustParseAddr("2001:db8::1"), Port: 80}},
	}}
	path, _ := start(t, b, &clock.Manual{})
	c := dial(t, path)

	st, err := c.Stats()
	if err != nil || !reflect.DeepEqual(st, b.stats) {
		t.Errorf("Stats: %v\n got %+v\nwant %+v", err, st, b.stats)
	}
	n := 0
	if err := c.Conns(func(got stats.Conn) bool {
		if want := testConn(n); !reflect.DeepEqual(got, want) {
			t.Fatalf("connection %d: got %+v, want %+v", n, got, want)
		}
		n++
		return true
	}); err != nil || n != b.conns {
		t.Errorf("Conns: %v, %d connections, want %d", err, n, b.conns)
	}
	if got, err := c.Explain("tcp <x> & \"y\""); err != nil || got != "about tcp <x> & \"y\"" {
		t.Errorf("Explain: %q, %v", got, err)
	}
	if got, err := c.Reload(); err != nil || got != "" {
		t.Errorf("Reload: %q, %v, want an empty text", got, err)
	}
}

func TestDo(t *testing.T) {
	path, _ := start(t, &fake{}, &clock.Manual{})
	c := dial(t, path)
	rules := strings.Repeat("-a -t 192.0.2.100:80 -r 198.51.100.11:80 -m -w 1\n", 100_000)
	for _, tt := range []struct {
		name, verb string
		args       []string
		stdin      string
		stdout     string
	}{
		{"no words", "ipvsadm", nil, "", "ipvsadm"},
		{"words", "ipvsadm", []string{"-A", "-t", "192.0.2.100:80", ""}, "", "ipvsadm-A|-t|192.0.2.100:80|"},
		{"a long standard input", "ipvsadm", []string{"-R"}, rules, "ipvsadm-R"},
		{"words with what JSON quotes", "mark", []string{"\"\n<", "\u2028"}, "", "mark\"\n<|\u2028"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, exit, err := c.Do(tt.verb, tt.args, tt.stdin)
			if stdout != tt.stdout || stderr != fmt.Sprint(len(tt.stdin)) || exit != len(tt.args) || err != nil {
				t.Errorf("got %q, %q, %d, %v, want %q", stdout, stderr, exit, err, tt.stdout)
			}
		})
	}
	if _, _, _, err := c.Do("ipvsadm", []string{"-R"}, strings.Repeat("x", maxRequest)); err == nil ||
		!strings.Contains(err.Error(), "longer than") {
		t.Errorf("a standard input beyond every measure: %v", err)
	}
}

func TestErrorOfTheDirector(t *testing.T) {
	b := &fake{conns: 3, err: errors.New("k.conf:3:1: unknown scheduler")}
	path, _ := start(t, b, &clock.Manual{})
	c := dial(t, path)
	_, statsErr := c.Stats()
	_, explainErr := c.Explain("q")
	_, reloadErr := c.Reload()
	_, _, _, doErr := c.Do("v", nil, "")
	connsErr := c.Conns(func(stats.Conn) bool { return true })
	for name, err := range map[string]error{
		"Stats": statsErr, "Explain": explainErr, "Reload": reloadErr, "Do": doErr, "Conns": connsErr,
	} {
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Text != b.err.Error() {
			t.Errorf("%s: error %v, want %v", name, err, b.err)
		}
	}
}

func TestEmptyListing(t *testing.T) {
	path, _ := start(t, &fake{}, &clock.Manual{})
	if err := dial(t, path).Conns(func(stats.Conn) bool { t.Error("yielded"); return true }); err != nil {
		t.Error(err)
	}
}

func TestListingStopsWhenTheClientGoes(t *testing.T) {
	b := &fake{conns: 1 << 30}
	path, s := start(t, b, &clock.Manual{})
	n := 0
	if err := dial(t, path).Conns(func(stats.Conn) bool { n++; return n < 10 }); err != nil || n != 10 {
		t.Errorf("took %d connections, error %v, want 10 and none", n, err)
	}
	waitIdle(t, s)
	if got := b.yielded.Load(); got > 1<<20 {
		t.Errorf("the director listed %d connections to a client that had gone", got)
	}
}

// waitIdle waits until the server has no client.
func waitIdle(t *testing.T, s *Server) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d clients are still served", n)
		}
		time.Sleep(time.Millisecond)
	}
}

// raw sends text as a client would, and returns the first line of the answer.
func raw(t *testing.T, path, text string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil && len(text) <= maxRequest {
		t.Fatal(err)
	}
	c.(*net.UnixConn).CloseWrite()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && text != "" && len(text) <= maxRequest {
		t.Errorf("%.40q: no answer: %v", text, err)
	}
	return line
}

func TestGarbage(t *testing.T) {
	path, s := start(t, &fake{}, &clock.Manual{})
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"not JSON", "GET / HTTP/1.1\n", "not understood"},
		{"binary", "\x00\xff\xfe\n", "not understood"},
		{"wrong types", `{"protocol":"one"}` + "\n", "not understood"},
		{"no end of line", `{"protocol":1,"command":"stats"}`, "broke off"},
		{"unknown command", `{"protocol":1,"command":"launch"}` + "\n", `command \"launch\"`},
		{"no command", `{"protocol":1}` + "\n", `command \"\"`},
		{"another protocol", `{"protocol":2,"command":"stats"}` + "\n", "protocol 2, this director speaks 1"},
		{"too long", strings.Repeat("a", maxRequest) + "\n", "longer than 16777216 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := raw(t, path, tt.in)
			if tt.want == "" {
				if got != "" {
					t.Errorf("got %q, want no answer", got)
				}
				return
			}
			var m message
			if err := json.Unmarshal([]byte(got), &m); err != nil {
				t.Fatalf("answer %q: %v", got, err)
			}
			if !strings.Contains(got, tt.want) || m.Error == "" {
				t.Errorf("got %q, want an error with %q", got, tt.want)
			}
		})
	}
	raw(t, path, strings.Repeat("a", 2*maxRequest))
	waitIdle(t, s)
	if _, err := dial(t, path).Stats(); err != nil {
		t.Errorf("after the garbage: %v", err)
	}
}

func TestSlowClients(t *testing.T) {
	var c clock.Manual
	b := &fake{conns: 1 << 30}
	path, s := start(t, b, &c)
	silent, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	greedy, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer greedy.Close()
	fmt.Fprintln(greedy, `{"protocol":1,"command":"conns"}`) // and reads nothing
	for b.yielded.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := dial(t, path).Stats(); err != nil {
		t.Errorf("a slow client holds up others: %v", err)
	}
	// The two are cut off by the clock alone; advance it until they are, since their timers start on their own goroutines.
	end := time.Now().Add(time.Minute)
	for open := 2; open > 0; {
		c.Advance(writeTime + time.Second)
		s.mu.Lock()
		open = len(s.conns)
		s.mu.Unlock()
		if time.Now().After(end) {
			t.Fatalf("%d slow clients were not cut off", open)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestManyAtOnce(t *testing.T) {
	b := &fake{conns: 1000}
	path, _ := start(t, b, &clock.Manual{})
	c := dial(t, path)
	var wg sync.WaitGroup
	for i := range 3 * maxClients {
		wg.Go(func() {
			if i%2 == 0 {
				n := 0
				if err := c.Conns(func(stats.Conn) bool { n++; return true }); err != nil || n != b.conns {
					t.Errorf("Conns: %d, %v", n, err)
				}
				return
			}
			if got, err := c.Explain(fmt.Sprint(i)); err != nil || got != fmt.Sprint("about ", i) {
				t.Errorf("Explain %d: %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
}

func TestDirectorEndsInTheMiddle(t *testing.T) {
	b := &fake{conns: 1 << 30}
	path, s := start(t, b, &clock.Manual{})
	c := dial(t, path)
	n := 0
	err := c.Conns(func(stats.Conn) bool {
		if n++; n == connsChunk {
			s.Close()
		}
		return true
	})
	if err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("error %v, want one that says that the answer broke off", err)
	}
	if _, err := c.Stats(); !errors.Is(err, ErrUnreachable) {
		t.Errorf("after the end: error %v, want ErrUnreachable", err)
	}
}

// BenchmarkMillionConns carries a full table; B/op shows that it is never held in memory (encoding garbage only).
func BenchmarkMillionConns(b *testing.B) {
	path, _ := start(b, &fake{conns: 1_000_000}, clock.NewSystem())
	c := dial(b, path)
	for range b.N {
		n := 0
		if err := c.Conns(func(stats.Conn) bool { n++; return true }); err != nil || n != 1_000_000 {
			b.Fatal(n, err)
		}
	}
}

package health

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
)

const serveEnv = "HEALTH_BENCH_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		acceptAll()
		return
	}
	if server := os.Getenv(starveEnv); server != "" {
		starve(server)
		return
	}
	os.Exit(m.Run())
}

// acceptAll accepts and closes on a port that it prints, until its input ends: the servers of the benchmark, in a
// process of their own so that their work is not counted.
func acceptAll() {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// BenchmarkTCPTargets is what n servers cost that are checked once in a second with TCP_CHECK: percent of one core, with
// all that the kernel does for both ends on the loopback.
func BenchmarkTCPTargets(b *testing.B) {
	for _, n := range []int{200, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchTargets(b, n) })
	}
}

func benchTargets(b *testing.B, n int) {
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), serveEnv+"=1")
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = server.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	var port uint16
	if _, err := fmt.Sscan(strings.TrimSpace(line), &port); err != nil {
		b.Fatalf("server says %q", line)
	}
	var changes atomic.Int64
	p := NewProber(Options{Clock: clock.NewSystem(), Log: zap.NewNop(), Report: func(e Event) { changes.Add(1) }})
	p.Set(manyTargets(n, port))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	time.Sleep(2500 * time.Millisecond) // all have begun
	before, asked := cpu(), askedSum(p)
	start := time.Now()
	for b.Loop() {
		time.Sleep(5 * time.Second)
	}
	took := time.Since(start)
	threads := threadCount(b)
	used, rate := cpu()-before, float64(askedSum(p)-asked)/took.Seconds()
	cancel()
	<-done
	b.ReportMetric(100*used.Seconds()/took.Seconds(), "%core")
	b.ReportMetric(rate, "checks/s")
	b.ReportMetric(threads, "threads")
	b.ReportMetric(float64(used.Microseconds())/(rate*took.Seconds()), "µs/check")
	for _, s := range p.States() {
		if !s.Up {
			b.Fatalf("%s is down: %+v", s.Key, s.Checks[0])
		}
	}
}

// manyTargets are n servers 127.x.y.z:port.
func manyTargets(n int, port uint16) []Target {
	var out []Target
	for i := range n {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), port)
		out = append(out, Target{
			Key: a.String(), Names: Names{Server: a.String(), Service: "v"}, Weight: 1,
			Checks: []Check{{
				Kind: KindTCP, ID: a.String(), Checker: &TCP{Dial: Dial{Addr: a, Timeout: time.Second}},
				Timing: Timing{Loop: time.Second, BeforeRetry: time.Second, Warmup: time.Second, Retry: 3},
			}},
		})
	}
	return out
}

func askedSum(p *Prober) (n uint64) {
	for _, s := range p.States() {
		n += s.Checks[0].Asked
	}
	return n
}

// threadCount is how many threads this process has.
func threadCount(b *testing.B) float64 {
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	return float64(len(list))
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

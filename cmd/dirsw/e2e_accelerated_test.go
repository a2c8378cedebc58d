package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
	"dirsw/packet"
)

// bulkAt is the service of these tests.
const bulkAt = "192.168.56.200:8080"

// bulkConf is the pasted configuration with that service, by a method, with an accelerator.
func bulkConf(method, check string) string {
	return plain() + `
dataplane {
    accelerate on
}
virtual_server 192.168.56.200 8080 {
    delay_loop 1
    lvs_sched rr
    lvs_method ` + method + `
    protocol TCP
    real_server 192.168.56.103 8080 {
        weight 1
        ` + check + `
    }
}
`
}

// bulk is a director with an accelerator, and a server that takes and gives many bytes.
type bulk struct {
	*rig
	p     *process
	taken atomic.Int64 // by the server, of bytes
}

func newBulk(t *testing.T, method, check string) *bulk {
	b := &bulk{rig: newRig(t)}
	b.capable()
	if method == "TUN" {
		b.ip("switch", "link", "set", "lb1", "gro_max_size", "1500") // the end of the tunnel would get joined packets, whose sums are not finished
		d, err := b.c.OpenDecap("rs1", packet.Tunnel{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
	}
	l, err := b.c.Listen("rs1", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.answer(c)
		}
	}()
	b.write(bulkConf(method, check))
	b.p = b.run().ready()
	b.sniff()
	return b
}

// answer is the server: it gives as many bytes as it is asked for, or takes all that comes and tells their sum.
func (b *bulk) answer(c net.Conn) {
	defer c.Close()
	var n uint64
	if _, err := fmt.Fscanf(c, "%d\n", &n); err != nil {
		return // a check
	}
	if n > 0 {
		_, _ = io.CopyN(c, stream(n), int64(n))
		return
	}
	sum, buf := sha256.New(), make([]byte, 1<<16)
	for {
		n, err := c.Read(buf)
		sum.Write(buf[:n])
		b.taken.Add(int64(n))
		if err != nil {
			break
		}
	}
	fmt.Fprintf(c, "%x", sum.Sum(nil))
}

// segmentHeaders is how many bytes of a TCP segment with time stamps are not content.
const segmentHeaders = packet.IPv4MinLen + packet.TCPMinLen + 12

// stream is bytes that anyone can make again.
func stream(seed uint64) io.Reader {
	var key [32]byte
	key[0] = byte(seed)
	return rand.NewChaCha8(key)
}

// sniff has the client's kernel count what it sends to the service, before its long segments are cut.
func (b *bulk) sniff() {
	b.t.Helper()
	for _, rule := range []string{"add table ip sniff", "add chain ip sniff out { type filter hook postrouting priority 300; }",
		"add rule ip sniff out ip daddr 192.168.56.200 tcp dport 8080 counter"} {
		if out, err := b.c.Command(context.Background(), "client", "nft", rule).CombinedOutput(); err != nil {
			b.t.Fatalf("%v %s", err, out)
		}
	}
}

// sent is what the client's kernel has counted.
func (b *bulk) sent() (packets, bytes int) {
	b.t.Helper()
	out, err := b.c.Command(context.Background(), "client", "nft", "list", "chain", "ip", "sniff", "out").CombinedOutput()
	_, text, ok := strings.Cut(string(out), "counter ")
	if _, scan := fmt.Sscanf(text, "packets %d bytes %d", &packets, &bytes); err != nil || !ok || scan != nil {
		b.t.Fatalf("%v %v %s", err, scan, out)
	}
	return packets, bytes
}

// listed is what "ipvsadm -Ln --stats --exact" says of the service.
func (b *bulk) listed() (packets, bytes int) {
	b.t.Helper()
	out, code := b.tool("ipvsadm", "--socket", b.sock, "-Ln", "--stats", "--exact", "-t", bulkAt)
	for l := range strings.Lines(out) {
		if f := strings.Fields(l); len(f) > 5 && f[1] == bulkAt {
			packets, _ = strconv.Atoi(f[3])
			bytes, _ = strconv.Atoi(f[5])
			return packets, bytes
		}
	}
	b.t.Fatalf("exit %d\n%s", code, out)
	return 0, 0
}

// lost is how many frames were not for the director to see: the queue to its interface, or the one to its worker, had no room.
func (b *bulk) lost() int {
	b.t.Helper()
	h, err := b.c.Netlink("switch")
	if err != nil {
		b.t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName("lb1")
	if err != nil {
		b.t.Fatal(err)
	}
	n := l.Attrs().Statistics.TxDropped
	for _, w := range b.stats().Workers {
		n += w.Lane.RxDropped
	}
	return int(n)
}

// upload is bytes on their way to the server.
type upload struct {
	b    *bulk
	conn net.Conn
	sum  hash.Hash
	stop chan struct{}
	done sync.WaitGroup
	err  error
}

// pour sends bytes at some ten megabytes a second until end.
func (b *bulk) pour() *upload {
	b.t.Helper()
	conn, err := b.c.Dial(context.Background(), "client", "tcp", bulkAt)
	if err != nil {
		b.t.Fatal(err)
	}
	u := &upload{b: b, conn: conn, sum: sha256.New(), stop: make(chan struct{})}
	b.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, "0\n"); err != nil {
		b.t.Fatal(err)
	}
	u.done.Go(func() {
		from, buf := stream(1), make([]byte, 1<<15)
		for {
			select {
			case <-u.stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
			_, _ = io.ReadFull(from, buf)
			if _, u.err = conn.Write(buf); u.err != nil {
				return
			}
			u.sum.Write(buf)
		}
	})
	before := b.stats().Accelerated
	u.flows()
	testenv.Await(b.t, "the connection to be accelerated", func() bool { s := b.stats(); return s.Quick == 1 && s.Accelerated > before+100 })
	return u
}

// flows waits until more has come to the server.
func (u *upload) flows() {
	u.b.t.Helper()
	before := u.b.taken.Load()
	testenv.Await(u.b.t, "bytes to flow", func() bool { return u.b.taken.Load() > before+1<<20 })
}

// stalls waits until nothing more comes to the server.
func (u *upload) stalls() {
	u.b.t.Helper()
	var last int64
	since := time.Now()
	testenv.Await(u.b.t, "bytes to stop flowing", func() bool {
		if n := u.b.taken.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 700*time.Millisecond
	})
}

// end has the server say what it got.
func (u *upload) end() {
	u.b.t.Helper()
	close(u.stop)
	u.done.Wait()
	if u.err != nil {
		u.b.t.Fatal(u.err)
	}
	_ = u.conn.SetReadDeadline(time.Now().Add(testenv.Patience))
	if err := u.conn.(*net.TCPConn).CloseWrite(); err != nil {
		u.b.t.Fatal(err)
	}
	got, err := io.ReadAll(u.conn)
	if want := hex.EncodeToString(u.sum.Sum(nil)); err != nil || string(got) != want {
		u.b.t.Fatalf("the server got %s, %v; want %s", got, err, want)
	}
}

// TestAcceleratedTransfers sends a hundred megabytes to a server and has it send as many, directly and in a tunnel: all bytes arrive,
// nearly all packets are accelerated, and what is listed is what the client has sent.
func TestAcceleratedTransfers(t *testing.T) {
	const size = 100 << 20
	for _, method := range []string{"DR", "TUN"} {
		t.Run(method, func(t *testing.T) {
			b := newBulk(t, method, "")
			up, err := b.c.Dial(context.Background(), "client", "tcp", bulkAt)
			if err != nil {
				t.Fatal(err)
			}
			defer up.Close()
			want, began := sha256.New(), time.Now()
			_ = up.SetDeadline(began.Add(testenv.Patience))
			if _, err = io.WriteString(up, "0\n"); err == nil {
				_, err = io.CopyN(io.MultiWriter(up, want), stream(2), size)
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = up.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(up); err != nil || string(got) != hex.EncodeToString(want.Sum(nil)) {
				t.Fatalf("the server got %s, %v; want %x", got, err, want.Sum(nil))
			}
			t.Logf("up in %v", time.Since(began))
			b.down(uint64(size))
			segments, bytes := b.sent()
			var packets int
			testenv.Await(t, "what was sent to be listed", func() bool {
				n, k := b.listed()
				packets = n
				content := func(packets, bytes int) int { return bytes - packets*segmentHeaders }
				return content(n, k) == content(segments, bytes) || n > segments && content(n, k) < content(segments, bytes) && b.lost() > 0
			})
			if s := b.stats(); s.Accelerated < uint64(packets)*9/10 {
				t.Errorf("of %d packets %d were accelerated", packets, s.Accelerated)
			} else {
				t.Logf("%d packets, %d accelerated", packets, s.Accelerated)
			}
		})
	}
}

// down asks for so many bytes.
func (b *bulk) down(size uint64) {
	b.t.Helper()
	c, err := b.c.Dial(context.Background(), "client", "tcp", bulkAt)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "%d\n", size); err != nil {
		b.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(testenv.Patience))
	got, want := sha256.New(), sha256.New()
	n, err := io.Copy(got, c)
	_, _ = io.CopyN(want, stream(size), int64(size))
	if err != nil || uint64(n) != size || string(got.Sum(nil)) != string(want.Sum(nil)) {
		b.t.Fatalf("%d bytes came, %v, of the sum %x; want %d of %x", n, err, got.Sum(nil), size, want.Sum(nil))
	}
}

// TestAcceleratedServerLeaves takes the server away in the middle of a transfer, by command, by reload and by a check that fails. Its
// packets stop at once; when it is back, the transfer goes on and all bytes arrive.
func TestAcceleratedServerLeaves(t *testing.T) {
	for _, method := range []string{"DR", "TUN"} {
		t.Run(method, func(t *testing.T) {
			b := newBulk(t, method, "TCP_CHECK {\n connect_timeout 2\n }")
			b.p.said("TCP connection to [192.168.56.103]:tcp:8080 success.", 1)
			u := b.pour()
			flag := map[string]string{"DR": "-g", "TUN": "-i"}[method]
			ipvsadm := func(args ...string) {
				t.Helper()
				if out, code := b.tool(append([]string{"ipvsadm", "--socket", b.sock}, args...)...); code != 0 {
					t.Fatalf("exit %d: %s", code, out)
				}
			}
			ipvsadm("-d", "-t", bulkAt, "-r", "192.168.56.103")
			u.stalls()
			ipvsadm("-a", "-t", bulkAt, "-r", "192.168.56.103", flag)
			u.flows()
			b.write(strings.Replace(bulkConf(method, "TCP_CHECK {\n connect_timeout 2\n }"), "lvs_sched rr", "lvs_sched wlc", 1))
			b.p.signal(unix.SIGHUP)
			b.p.said(`"reloaded"`, 1)
			u.flows()
			nft := func(rules ...string) {
				t.Helper()
				for _, rule := range rules {
					if out, err := b.c.Command(context.Background(), "rs1", "nft", rule).CombinedOutput(); err != nil {
						t.Fatalf("%v %s", err, out)
					}
				}
			}
			nft("add table ip shut", "add chain ip shut in { type filter hook input priority 0; }",
				"add rule ip shut in ip saddr 192.168.56.101 tcp dport 8080 reject with tcp reset")
			b.p.said("Removing service [192.168.56.103]:tcp:8080", 1)
			u.stalls()
			nft("delete table ip shut")
			u.flows()
			u.end()
		})
	}
}

// TestAcceleratedDirectorFreezes stops the director in the middle of a transfer: a second later its program sends nothing any more.
// When it goes on, so does the transfer.
func TestAcceleratedDirectorFreezes(t *testing.T) {
	b := newBulk(t, "DR", "")
	u := b.pour()
	b.p.signal(unix.SIGSTOP)
	u.stalls()
	if prog, _ := b.link(); prog == 0 {
		t.Error("a director that stands still has lost its program")
	}
	b.p.signal(unix.SIGCONT)
	u.flows()
	u.end()
	_, bytes := b.sent()
	testenv.Await(t, "what was sent to be listed", func() bool { _, n := b.listed(); return n > bytes/2 })
}

// TestAcceleratedDirectorDies kills the director in the middle of a transfer: its program goes with it, nothing is forwarded any
// more, and its machine's network works.
func TestAcceleratedDirectorDies(t *testing.T) {
	b := newBulk(t, "DR", "")
	u := b.pour()
	b.p.signal(unix.SIGKILL)
	<-b.p.done
	testenv.Await(t, "the program to go", func() bool { prog, _ := b.link(); return prog == 0 })
	before := b.taken.Load()
	time.Sleep(time.Second)
	if n := b.taken.Load(); n > before+1<<20 { // what was on its way
		t.Errorf("of a director that is dead %d bytes came", n-before)
	}
	u.stalls()
	if _, err := b.c.Ping("client", netip.MustParseAddr("192.168.56.101"), 1); err != nil {
		t.Errorf("the director's machine does not answer: %v", err)
	}
	p := b.run().ready()
	if who := b.mustFetch(); who == "" {
		t.Errorf("a new director does not forward:\n%s", p.text())
	}
	close(u.stop)
	u.conn.Close()
	u.done.Wait()
}

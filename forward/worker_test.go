package forward_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

const vip = "192.0.2.100:80"

var (
	oneServer  = []string{"-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80"}
	twoServers = append(slices.Clone(oneServer), "-a -t 192.0.2.100:80 -r 172.16.0.12:80")
	sticky     = []string{"-A -t 192.0.2.100:80 -s rr -p 50", "-a -t 192.0.2.100:80 -r 172.16.0.11:80",
		"-a -t 192.0.2.100:80 -r 172.16.0.12:80"}
)

func client(port int) string { return fmt.Sprintf("203.0.113.7:%d", port) }

func TestConnectionsAlternateAndStay(t *testing.T) {
	b := newBench(t, forward.Options{}, twoServers...)
	var got []string
	for p := range 4 {
		got = append(got, b.tcp(client(1000+p), vip, packet.SYN))
	}
	want := []string{"172.16.0.12", "172.16.0.11", "172.16.0.12", "172.16.0.11"}
	if !slices.Equal(got, want) {
		t.Errorf("new connections went to %v, want %v", got, want)
	}
	for p := range 4 {
		if got := b.tcp(client(1000+p), vip, packet.ACK); got != want[p] || b.last.Why != forward.WhyConnection {
			t.Errorf("connection %d: the next packet went to %s (%v), want %s", p, got, b.last.Why, want[p])
		}
	}
}

func TestPersistence(t *testing.T) {
	b := newBench(t, forward.Options{}, sticky...)
	first := b.tcp(client(1), vip, packet.SYN)
	if b.last.Why != forward.WhyScheduler {
		t.Errorf("first connection decided by %v", b.last.Why)
	}
	for p := range 5 {
		b.now = b.now.Add(40 * time.Second) // each connection starts the template's 50 s again
		got := b.tcp(client(10+p), vip, packet.SYN)
		if got != first || b.last.Why != forward.WhyTemplate || b.last.Left != 50*time.Second {
			t.Errorf("connection %d: %s by %v with %v left, want %s by its template with 50s", p, got, b.last.Why,
				b.last.Left, first)
		}
	}
	if other := b.tcp("203.0.113.8:1", vip, packet.SYN); other == first {
		t.Errorf("another client got %s as well, the turn was the other server's", other)
	}
	n := 0
	for _, c := range b.conns() {
		if c.Template {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d templates listed, want 2", n)
	}
	if got := b.snap.Dests[0].Load.Persistent() + b.snap.Dests[1].Load.Persistent(); got != 2 {
		t.Errorf("%d templates counted on the servers, want 2", got)
	}
}

func TestExplainChangesNothing(t *testing.T) {
	b := newBench(t, forward.Options{}, sticky...)
	ask := func(from string) *forward.Question {
		buf := make([]byte, 2048)
		f := packet.Build(buf[256:256], packet.Spec{SrcMAC: clientMAC, DstMAC: directorMAC, TCPFlags: packet.SYN,
			Tuple: tuple(packet.ProtoTCP, from, vip)})
		q := &forward.Question{Frame: packet.MakeFrame(buf, 256, len(f), 0, 0)}
		done := make(chan struct{}, 1)
		b.w.Post(forward.Command{Explain: q, Done: done})
		b.step()
		<-done
		return q
	}
	for range 3 {
		q := ask(client(1))
		if q.Verdict.Why != forward.WhyScheduler || b.snap.Dests[q.Verdict.Dest].Addr.String() != "172.16.0.12" {
			t.Fatalf("%+v, want the scheduler's choice 172.16.0.12 each time", q.Verdict)
		}
	}
	if len(b.conns()) != 0 {
		t.Error("a question left a connection behind")
	}
	b.tcp(client(1), vip, packet.SYN)
	b.now = b.now.Add(10 * time.Second)
	q := ask(client(2))
	if q.Verdict.Why != forward.WhyTemplate || q.Verdict.Left != 40*time.Second || q.TemplateClient.String() != "203.0.113.7" {
		t.Errorf("%v left %v for %v, want the template of 203.0.113.7 with 40s", q.Verdict.Why, q.Verdict.Left, q.TemplateClient)
	}
	if mac := packet.Ethernet(q.Frame.Bytes()).Dst(); mac != b.snap.Dests[q.Verdict.Dest].Hop.Dst {
		t.Errorf("the frame would go to %v", mac)
	}
}

func TestDrops(t *testing.T) {
	syn := func(to string) packet.Spec {
		return packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), to), TCPFlags: packet.SYN}
	}
	for _, c := range []struct {
		name  string
		rules []string
		spec  packet.Spec
		want  packet.DropReason
	}{
		{"no service", oneServer, syn("192.0.2.100:81"), packet.DropNoService},
		{"no connection", oneServer, packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), vip), TCPFlags: packet.ACK},
			packet.DropNoConnection},
		{"no server", oneServer[:1], syn(vip), packet.DropNoServer},
		{"weight 0", append(slices.Clone(oneServer), "-e -t 192.0.2.100:80 -r 172.16.0.11:80 -w 0"), syn(vip),
			packet.DropNoServer},
		{"TTL", oneServer, packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), vip), TCPFlags: packet.SYN, TTL: 1},
			packet.DropTTL},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, forward.Options{}, c.rules...)
			if got := b.flow(c.spec); got != "" || b.last.Drop != c.want {
				t.Errorf("went to %q, %v; want %v", got, b.last.Drop, c.want)
			}
			if n := b.counters().Drops[c.want]; n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
}

func TestTableFullRefusesOnlyNewConnections(t *testing.T) {
	b := newBench(t, forward.Options{Table: conntrack.Options{MaxConns: 8}}, twoServers...)
	for p := range 8 {
		b.tcp(client(p+1), vip, packet.SYN)
	}
	if got := b.tcp(client(100), vip, packet.SYN); got != "" || b.last.Drop != packet.DropTableFull {
		t.Errorf("the ninth went to %q, %v", got, b.last.Drop)
	}
	for p := range 8 {
		if b.tcp(client(p+1), vip, packet.ACK) == "" {
			t.Errorf("connection %d suffers: %v", p, b.last.Drop)
		}
	}
	b.now = b.now.Add(16 * time.Minute)
	for range 4 {
		b.step()
	}
	if b.tcp(client(100), vip, packet.SYN) == "" {
		t.Errorf("no room after the others ended: %v", b.last.Drop)
	}
	if got := b.snap.Dests[0].Load.Active() + b.snap.Dests[1].Load.Active(); got != 1 {
		t.Errorf("%d active connections counted, want 1", got)
	}
}

func TestServerRemovedAndBack(t *testing.T) {
	b := newBench(t, forward.Options{}, oneServer...)
	b.tcp(client(1), vip, packet.SYN)
	b.rules("-d -t 192.0.2.100:80 -r 172.16.0.11:80")
	if got := b.tcp(client(1), vip, packet.ACK); got != "" || b.last.Drop != packet.DropServerGone {
		t.Errorf("went to %q, %v", got, b.last.Drop)
	}
	b.rules("-a -t 192.0.2.100:80 -r 172.16.0.11:80")
	if got := b.tcp(client(1), vip, packet.ACK); got != "172.16.0.11" || b.last.Why != forward.WhyConnection {
		t.Errorf("went to %q by %v after the server came back", got, b.last.Why)
	}
}

func TestTallies(t *testing.T) {
	b := newBench(t, forward.Options{}, oneServer...)
	b.tcp(client(1), vip, packet.SYN)
	b.tcp(client(1), vip, packet.ACK)
	b.commit()
	want := forward.Traffic{Conns: 1, Packets: 2, Bytes: 80}
	if got := b.snap.Services[0].Tally.Read(); got != want {
		t.Errorf("service %+v, want %+v", got, want)
	}
	if got := b.snap.Dests[0].Tally.Read(); got != want {
		t.Errorf("server %+v, want %+v", got, want)
	}
	if c := b.counters(); c.Received != 2 || c.Forwarded != 2 || c.Connections != 1 {
		t.Errorf("counters %+v", c)
	}
}

func TestUnfinishedChecksumIsFinishedOnlyWhereItMayBe(t *testing.T) {
	whole := packet.Build(nil, packet.Spec{SrcMAC: clientMAC, DstMAC: directorMAC, TCPFlags: packet.SYN,
		Tuple: tuple(packet.ProtoTCP, client(1), vip)})
	half := bytes.Clone(whole)
	sum := uint32(6 + 20) // protocol and length of the pseudo-header, then both addresses
	for i := 26; i < 34; i += 2 {
		sum += uint32(half[i])<<8 | uint32(half[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	half[50], half[51] = byte(sum>>8), byte(sum)
	for _, unfinished := range []bool{true, false} {
		b := newBench(t, forward.Options{}, oneServer...)
		ports := forwardtest.DefaultPorts()
		ports[0].Unfinished = unfinished
		b.lane = forwardtest.New(t, forwardtest.Options{Ports: ports})
		b.w.SetLane(b.lane)
		out := b.send(half)
		if len(out) != 1 {
			t.Fatalf("%d frames left", len(out))
		}
		if finished := bytes.Equal(out[0][50:52], whole[50:52]); finished != unfinished {
			t.Errorf("port unfinished %v: checksum finished %v", unfinished, finished)
		}
	}
}

func TestLaneErrorEndsRun(t *testing.T) {
	b := newBench(t, forward.Options{}, oneServer...)
	b.lane.Fail(io.EOF)
	if _, err := b.w.Step(b.now); err != io.EOF {
		t.Errorf("Step: %v, want EOF", err)
	}
}

func TestNoAllocation(t *testing.T) {
	tp := tuple(packet.ProtoTCP, client(1), vip)
	for _, c := range []struct {
		name  string
		rules []string
		spec  packet.Spec
	}{
		{"known connection", oneServer, packet.Spec{Tuple: tp, TCPFlags: packet.SYN}},
		{"persistent", sticky, packet.Spec{Tuple: tp, TCPFlags: packet.SYN}},
		{"RST", oneServer, packet.Spec{Tuple: tp, TCPFlags: packet.ACK}},
		{"ICMP error", oneServer[:1], packet.Spec{Tuple: tp, TCPFlags: packet.SYN}},
		{"new connection each time", oneServer, packet.Spec{Tuple: tp, TCPFlags: packet.SYN}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, forward.Options{}, c.rules...)
			c.spec.SrcMAC, c.spec.DstMAC = clientMAC, directorMAC
			loop, err := forwardtest.NewLoop(forwardtest.LoopOptions{
				Frames: slices.Values([][]byte{packet.Build(nil, c.spec)})})
			if err != nil {
				t.Fatal(err)
			}
			w, err := forward.NewWorker(0, loop, forward.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			w.Publish(b.snap)
			now, step := b.now, time.Second
			if c.name == "new connection each time" {
				step = 2 * time.Hour
			}
			if n := testing.AllocsPerRun(200, func() {
				now = now.Add(step)
				if _, err := w.Step(now); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v allocations a breath", n)
			}
		})
	}
}

func TestErrorsAreLimited(t *testing.T) {
	b := newBench(t, forward.Options{}, oneServer[:1]...)
	sent := 0
	for p := range 1000 {
		b.tcp(client(1000+p), vip, packet.SYN)
		sent += len(b.lane.Sent(0))
	}
	if sent != 64 {
		t.Errorf("%d errors within one instant, want 64", sent)
	}
	b.now = b.now.Add(time.Second / 100)
	for p := range 100 {
		b.tcp(client(1000+p), vip, packet.SYN)
		sent += len(b.lane.Sent(0))
	}
	if sent != 74 {
		t.Errorf("%d errors after a hundredth of a second, want 10 more", sent)
	}
}

func TestNoAnswerToWhatMustNotBeAnswered(t *testing.T) {
	b := newBench(t, forward.Options{}, oneServer...)
	for _, c := range []struct {
		name, from string
		flags      uint8
	}{
		{"RST", client(1), packet.RST},
		{"multicast source", "224.0.0.1:1", packet.ACK},
		{"source 0.0.0.0", "0.0.0.0:1", packet.ACK},
	} {
		b.tcp(c.from, vip, c.flags)
		if n := len(b.lane.Sent(0)); n != 0 || b.last.Drop != packet.DropNoConnection {
			t.Errorf("%s: %d answers, %v", c.name, n, b.last.Drop)
		}
	}
}

func TestServiceOnAllPorts(t *testing.T) {
	b := newBench(t, forward.Options{}, "-A -t 192.0.2.100:0 -s rr -p 50", "-a -t 192.0.2.100:0 -r 172.16.0.11:0",
		"-a -t 192.0.2.100:0 -r 172.16.0.12:0")
	if first, second := b.tcp(client(1), "192.0.2.100:22", packet.SYN), b.tcp(client(2), "192.0.2.100:8080", packet.SYN); first == "" || first != second {
		t.Errorf("port 22 went to %q, port 8080 to %q: one template is for all ports", first, second)
	}
	for _, c := range b.conns() {
		if c.Template && c.DestPort != 0 || !c.Template && c.DestPort != c.Tuple.DstPort {
			t.Errorf("listed with the server's port %d: %+v", c.DestPort, c)
		}
	}
}

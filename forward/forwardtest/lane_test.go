package forwardtest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"dirsw/packet"
)

// recorder is a TB that remembers complaints.
type recorder struct {
	errs    []string
	cleanup func()
}

func (r *recorder) Helper()                       {}
func (r *recorder) Errorf(f string, args ...any)  { r.errs = append(r.errs, fmt.Sprintf(f, args...)) }
func (r *recorder) Cleanup(f func())              { r.cleanup = f }
func frame(n int, fill byte) []byte               { return bytes.Repeat([]byte{fill}, n) }
func recv(t *testing.T, l *Lane, b *packet.Batch) { t.Helper(); must(t, l, b, nil) }

func must(t *testing.T, l *Lane, b *packet.Batch, want error) {
	t.Helper()
	if n, err := l.Recv(b); err != want || n != b.N {
		t.Fatalf("Recv: %d, %v (b.N %d), want error %v", n, err, b.N, want)
	}
}

func TestLaneCarriesFramesByPort(t *testing.T) {
	l := New(t, Options{})
	l.Inject(0, frame(60, 1), frame(61, 2))
	l.Inject(1, frame(62, 3))
	var in, out, drop packet.Batch
	recv(t, l, &in)
	if in.N != 3 || in.Frames[2].Port != 1 || in.Frames[0].Offset() != Headroom {
		t.Fatalf("received %d frames, the last on port %d, offset %d", in.N, in.Frames[2].Port, in.Frames[0].Offset())
	}
	in.Frames[0].Port = 1
	out.Add(in.Frames[0])
	drop.Add(in.Frames[1])
	drop.Add(in.Frames[2])
	if n, err := l.Send(&out); n != 1 || err != nil || out.N != 0 {
		t.Errorf("Send: %d, %v, b.N %d", n, err, out.N)
	}
	l.Drop(&drop)
	for _, c := range []struct {
		name string
		got  [][]byte
		want [][]byte
	}{
		{"sent on 0", l.Sent(0), nil},
		{"sent on 1", l.Sent(1), [][]byte{frame(60, 1)}},
		{"dropped on 0", l.Dropped(0), [][]byte{frame(61, 2)}},
		{"dropped on 1", l.Dropped(1), [][]byte{frame(62, 3)}},
		{"sent on 1 again", l.Sent(1), nil},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if c := l.Counters(); c.Received != 3 || c.Sent != 1 {
		t.Errorf("counters %+v", c)
	}
}

func TestLaneFailsTheTest(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(l *Lane, b *packet.Batch)
		want string
	}{
		{"a frame is kept", func(l *Lane, b *packet.Batch) {}, "1 frames were received or allocated and never sent"},
		{"a frame is sent and dropped", func(l *Lane, b *packet.Batch) {
			again := *b
			l.Send(b)
			l.Drop(&again)
		}, "dropped: frame 0 was given back twice"},
		{"a frame is twice in a batch", func(l *Lane, b *packet.Batch) {
			b.Add(b.Frames[0])
			l.Send(b)
		}, "sent: frame 0 was given back twice"},
		{"a stranger's frame", func(l *Lane, b *packet.Batch) {
			b.Frames[1] = packet.MakeFrame(make([]byte, BufferLen), Headroom, 60, 0, 99999)
			b.N = 2
			l.Send(b)
		}, "Desc 99999 is not of this lane"},
		{"another buffer", func(l *Lane, b *packet.Batch) {
			b.Frames[0] = packet.MakeFrame(make([]byte, BufferLen), Headroom, 60, 0, b.Frames[0].Desc)
			l.Send(b)
		}, "comes back with another buffer"},
		{"no such port", func(l *Lane, b *packet.Batch) {
			b.Frames[0].Port = 7
			l.Send(b)
		}, "frame 0 is sent on port 7 of 2"},
		{"injected on no port", func(l *Lane, b *packet.Batch) {
			l.Inject(2, frame(60, 0))
			l.Drop(b)
		}, "Inject on port 2 of 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r recorder
			l := New(&r, Options{})
			l.Inject(0, frame(60, 1))
			var b packet.Batch
			recv(t, l, &b)
			c.do(l, &b)
			r.cleanup()
			if len(r.errs) == 0 || !strings.Contains(r.errs[0], c.want) {
				t.Errorf("complaints %q, want one with %q", r.errs, c.want)
			}
		})
	}
}

func TestLaneSpoilsWhatCameBack(t *testing.T) {
	l := New(t, Options{})
	l.Inject(0, frame(60, 1))
	var b packet.Batch
	recv(t, l, &b)
	kept := b.Frames[0].Bytes()
	l.Drop(&b)
	if bytes.Equal(kept, frame(60, 1)) {
		t.Error("the bytes of a dropped frame are still there")
	}
}

func TestLaneFaults(t *testing.T) {
	l := New(t, Options{Frames: 3})
	l.SetRoom(0, 1)
	l.SetDown(1, true)
	l.Fail(io.EOF)
	l.Inject(0, frame(60, 1), frame(60, 2))
	l.Inject(1, frame(60, 3), frame(60, 4), frame(BufferLen, 5))
	var b packet.Batch
	recv(t, l, &b)
	if b.N != 3 {
		t.Fatalf("received %d frames from a pool of 3", b.N)
	}
	if _, ok := l.Alloc(); ok {
		t.Error("Alloc from an empty pool")
	}
	if n, _ := l.Send(&b); n != 1 {
		t.Errorf("Send took %d, want 1: the ring has room for one, the other port is down", n)
	}
	recv(t, l, &b)
	l.Drop(&b)
	must(t, l, &b, io.EOF)
	want := l.Counters()
	want.Received, want.Sent, want.SendFull, want.SendFailed, want.RxDropped = 4, 1, 1, 1, 1
	if got := l.Counters(); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
	f, ok := l.Alloc()
	if !ok || f.Len() != 0 || !f.Resize(100) {
		t.Fatalf("Alloc: %v, %d bytes", ok, f.Len())
	}
	if _, ok := f.Prepend(Headroom); !ok {
		t.Error("no headroom in an allocated frame")
	}
	l.SetDown(1, false)
	f.Port = 1
	b.Add(f)
	if n, _ := l.Send(&b); n != 1 || len(l.Sent(1)) != 1 {
		t.Errorf("Send of an allocated frame: %d", n)
	}
}

func TestLaneAllocatesNothingOnceGrown(t *testing.T) {
	l := New(t, Options{})
	f := frame(60, 1)
	var b packet.Batch
	breath := func() {
		for range 8 {
			l.Inject(0, f)
		}
		l.Recv(&b)
		l.Send(&b)
		l.Inject(0, f)
		l.Recv(&b)
		l.Drop(&b)
	}
	for range 1000 {
		breath()
	}
	l.Sent(0)
	l.Dropped(0)
	if n := testing.AllocsPerRun(100, breath); n != 0 {
		t.Errorf("%v allocations a breath, want 0", n)
	}
}

func TestLaneClosesOnce(t *testing.T) {
	l := New(t, Options{})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if l.Close() == nil {
		t.Error("the second Close: no error")
	}
}

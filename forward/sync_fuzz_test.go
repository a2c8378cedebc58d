package forward_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
)

// syncWorld has a service of each kind that records may be about.
var syncWorld = slices.Concat(twoServers, masqRules(ftpVirtual, ftpReal), sipRules("-m"), []string{
	"-A -u 192.0.2.100:53 -s wlc -p 5", "-a -u 192.0.2.100:53 -r 172.16.0.11:53 -i -x 3", "-a -u 192.0.2.100:53 -r 172.16.0.12:53 -m",
	"-A -t [2001:db8:100::100]:80 -s rr", "-a -t [2001:db8:100::100]:80 -r [2001:db8:2::11]:8080 -m",
	"-A -f 5 -s rr -p 60", "-a -f 5 -r 172.16.0.11:0 -g"})

// draft is what a record is made of: a choice for each of its fields, so that a fuzzer that knows nothing of addresses makes
// records that nearly fit.
type draft [12]byte

var (
	draftVirtual = []string{vip, ftpVirtual, sipVirtual, "192.0.2.100:53", vip6, "0.0.0.5:0", "192.0.2.200:1"}
	draftReal    = []string{"172.16.0.11", "172.16.0.12", "172.16.0.13", "172.16.0.99", "2001:db8:2::11", "2001:db8:2::99", "192.0.2.1"}
	draftPorts   = []uint16{80, 21, 5060, 53, 8080, 0, 81}
	draftProtos  = []uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP, 0, 50}
)

func (d draft) record() (r conntrack.Record) {
	client := fmt.Sprintf("198.51.100.%d:%d", d[0]%4, int(d[1]%8))
	virtual := draftVirtual[int(d[2])%len(draftVirtual)]
	if virtual == vip6 {
		client = fmt.Sprintf("[2001:db8:c::%d]:%d", d[0]%4, int(d[1]%8))
	}
	r.Tuple = tuple(draftProtos[int(d[3])%len(draftProtos)], client, virtual)
	r.Real, r.RealPort = addrOf(draftReal[int(d[4])%len(draftReal)]), draftPorts[int(d[5])%len(draftPorts)]
	r.Flags = conntrack.RecordFlags(d[6]) | conntrack.RecordFlags(d[7]&0x3f)<<8
	r.State = conntrack.State(d[8])
	r.Timeout = time.Duration(int8(d[9])) * time.Second
	r.Mark = uint32(d[10] & 7)
	if r.IsTemplate() && d[11]&1 != 0 {
		r.SrcPort, r.State = 0, r.State&1
	}
	if d[11]&6 == 6 {
		r.EngineLen, r.DataLen = uint8(copy(r.Engine[:], "sip")), d[11]>>3&3
		r.Data = [255]byte{'a' + d[11]>>5}
	}
	r.Out = conntrack.RecordSeq{Init: uint32(d[9]) << 24, Delta: uint32(int8(d[10])), Previous: uint32(d[1])}
	return r
}

// FuzzSync has a director learn drafts, twelve bytes each, among packets and time, and lose and regain a server: no panic, and
// each server counts what is listed for it; in the end nothing is left.
func FuzzSync(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		in := make([]byte, 12*40)
		for i := range in {
			in[i] = byte(rnd.Uint32())
			if rnd.IntN(2) == 0 {
				in[i] %= 4
			}
		}
		f.Add(in)
	}
	f.Fuzz(playSync)
}

func playSync(t *testing.T, in []byte) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 64}}, syncWorld...)
	x.edit(func(s *forward.Snapshot) {
		s.Sync = defaultSync
		s.Sync.Master, s.Sync.Backup = true, true
		addStranger(s, "172.16.0.99")
	})
	for ; len(in) >= 12; in = in[12:] {
		x.draft(draft(in[:12]))
	}
	x.counted()
	for range 5 * 60 { // the longest time that a draft can say, and that of connections, in grace perhaps
		x.now = x.now.Add(7 * time.Second)
		x.step()
	}
	for i := range x.snap.Dests {
		if l := x.snap.Dests[i].Load; !l.Idle() {
			t.Errorf("server %d counts %d, %d, %d in the end", i, l.Active(), l.Inactive(), l.Persistent())
		}
	}
	if n := x.count(); n.Connections != 0 {
		t.Errorf("%d entries in the end", n.Connections)
	}
}

// draft learns one, and does something else.
func (x *masq) draft(d draft) {
	r := d.record()
	x.w.Learn(&r)
	switch r := d.record(); d[1] >> 4 {
	case 0, 1, 2: // of the client
		x.lane.Inject(0, frame(r.Proto, client(1), vip, func(p *packet.Spec) {
			p.Tuple, p.TCPFlags, p.Payload = r.Tuple, []uint8{packet.SYN, packet.ACK, packet.FIN, packet.RST}[d[9]&3], []byte(message("a"))
		}))
	case 3: // of a server
		x.lane.Inject(1, frame(r.Proto, client(1), vip, func(p *packet.Spec) {
			p.Tuple = packet.Tuple{Src: r.Real, Dst: r.Src, SrcPort: r.RealPort, DstPort: r.SrcPort, Proto: r.Proto, Family: r.Family}
			p.TCPFlags = packet.ACK
		}))
	case 4:
		x.now = x.now.Add(time.Duration(binary.LittleEndian.Uint16(d[10:])) * time.Millisecond)
	case 5:
		x.edit(func(s *forward.Snapshot) { s.Dests[0].Gone = !s.Dests[0].Gone })
	case 6:
		x.edit(func(s *forward.Snapshot) { s.Dests[1].Method = forward.Method(1 + d[10]%3) })
	}
	x.step()
	for port := range 2 {
		x.lane.Sent(port)
		x.lane.Dropped(port)
	}
	x.told()
}

// counted holds what servers count against what is listed.
func (x *masq) counted() {
	x.t.Helper()
	var want, got [3]int
	done := make(chan struct{}, 1)
	l := forward.Listing{Conns: make([]forward.ConnInfo, 0, 128)}
	x.w.Post(forward.Command{List: &l, Done: done})
	x.step()
	<-done
	for i := range l.Conns {
		switch c := &l.Conns[i]; {
		case c.Template:
			want[2]++
		case c.State.Active():
			want[0]++
		default:
			want[1]++
		}
	}
	for i := range x.snap.Dests {
		load := x.snap.Dests[i].Load
		got[0] += load.Active()
		got[1] += load.Inactive()
		got[2] += load.Persistent()
	}
	if got != want {
		x.t.Errorf("servers count %v, listed are %v", got, want)
	}
}

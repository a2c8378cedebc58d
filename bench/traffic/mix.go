package traffic

import (
	"iter"
	"math/rand/v2"

	"dirsw/packet"
)

// Mix says how connections follow each other. Zero fields stand for 1 connection at a time and 1 packet of data.
type Mix struct {
	Flows      Flows
	Concurrent int     // connections open at the same time
	Data       int     // packets of data of a connection from the client, at most; at least one
	Payload    int     // bytes of a packet of data
	Reset      float64 // share of connections that end with RST instead of FIN
}

// Packet is a frame of a Mix and what it is.
type Packet struct {
	Flow  int
	Flags uint8 // of TCP
	First bool  // it opens its connection
	Last  bool  // nothing of its connection follows
	Frame []byte
}

// connection is how far a client has come.
type connection struct {
	flow, step, data int
	reset            bool
}

// Packets yields what the clients of a Mix send, connections interleaved at random, without end: each connection is a
// flow of its own until MaxFlows have been used, then the first comes again. A TCP client sends SYN, ACK, data, FIN, ACK,
// or RST in place of FIN; a UDP client sends data only. A Packet's frame is valid until the next.
func (m Mix) Packets() iter.Seq[*Packet] {
	return func(yield func(*Packet) bool) {
		rnd := rand.New(rand.NewPCG(m.Flows.Seed, 1))
		open := make([]connection, max(m.Concurrent, 1))
		next := 0
		begin := func(c *connection) {
			*c = connection{flow: next % MaxFlows, data: 1 + rnd.IntN(max(m.Data, 1)), reset: rnd.Float64() < m.Reset}
			next++
		}
		for i := range open {
			begin(&open[i])
		}
		var p Packet
		for {
			c := &open[rnd.IntN(len(open))]
			m.step(c, &p)
			if !yield(&p) {
				return
			}
			if p.Last {
				begin(c)
			}
		}
	}
}

// step fills p with the next packet of c.
func (m *Mix) step(c *connection, p *Packet) {
	p.Flow, p.First, p.Last = c.flow, c.step == 0, false
	payload := 0
	if m.Flows.Service.Proto == packet.ProtoUDP {
		p.Flags, payload = 0, m.Payload
		p.Last = c.step == c.data-1
	} else {
		switch after := c.step - 2 - c.data; {
		case c.step == 0:
			p.Flags = packet.SYN
		case c.step == 1:
			p.Flags = packet.ACK
		case after < 0:
			p.Flags, payload = packet.PSH|packet.ACK, m.Payload
		case after == 0 && c.reset:
			p.Flags, p.Last = packet.RST|packet.ACK, true
		case after == 0:
			p.Flags = packet.FIN | packet.ACK
		default:
			p.Flags, p.Last = packet.ACK, true
		}
	}
	c.step++
	p.Frame = m.Flows.Frame(p.Frame, c.flow, p.Flags, payload)
}

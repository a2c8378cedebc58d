package main

import (
	"bytes"
	"fmt"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
)

// repeats is how many times more a plain packet of an established connection is sent, in the same instant. That changes nothing of
// what a transcript says, as the kernel's listings do not count packets; but an accelerated machine has most of those packets
// forwarded by its accelerator, where transcripts have few themselves.
const repeats = 8

// traffic is what has been sent through machines.
type traffic struct{ packets, accelerated uint64 }

// repeat sends a frame again, of which one frame left, if it is plain, and compares what leaves.
func (m *machine) repeat(port int, frame []byte, meta *packet.Meta, sent []out) error {
	if m.repeats == 0 || len(sent) != 1 || !m.settled(meta) {
		return nil
	}
	last := m.last
	for i := range m.repeats {
		again, err := m.inject(port, bytes.Clone(frame))
		if err != nil {
			return err
		}
		if len(again) != 1 || again[0].port != sent[0].port || !bytes.Equal(anonymous(again[0].frame), anonymous(sent[0].frame)) {
			return differs(fmt.Sprintf("%v (%v)", again, m.last.Drop), sent, "sent again %d times", i+1)
		}
	}
	m.last = last
	return nil
}

// settled reports whether a packet, of which the worker has told, is of a connection that further ones do not change.
func (m *machine) settled(meta *packet.Meta) bool {
	v := &m.last
	switch {
	case meta.Flags != 0 || v.Drop != packet.NoDrop || v.Dir != conntrack.FromClient:
		return false
	case meta.Proto == packet.ProtoTCP:
		return v.Why == forward.WhyConnection && v.State == conntrack.TCPEstablished && meta.TCPFlags&(packet.FIN|packet.SYN|packet.RST|packet.ACK) == packet.ACK
	case meta.Proto != packet.ProtoUDP || v.Service == forward.NoService || m.snap.Services[v.Service].OnePacket:
		return false
	}
	return v.Why == forward.WhyConnection || v.Why == forward.WhyScheduler || v.Why == forward.WhyTemplate
}

// anonymous is a frame without the identification of its IPv4 header, which is drawn for what is put into a tunnel.
func anonymous(frame []byte) []byte {
	const id, sum = packet.EthernetLen + 4, packet.EthernetLen + 10
	frame = bytes.Clone(frame)
	if packet.Ethernet(frame).Type() == packet.EtherTypeIPv4 {
		clear(frame[id : id+2])
		clear(frame[sum : sum+2])
	}
	return frame
}

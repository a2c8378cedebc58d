package forward_test

import (
	"testing"

	"dirsw/packet"
)

// TestFTPInTeam: control and data connections of a client are one worker's, whichever their frames come to.
func TestFTPInTeam(t *testing.T) {
	for _, workers := range []int{2, 3} {
		e := newTeam(t, workers, masqRules(ftpVirtual, ftpReal)...)
		for _, client := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"} {
			e.ftp(client)
		}
	}
}

// ftp plays a session of a client: passive, then active.
func (e *team) ftp(client string) {
	e.t.Helper()
	seq := [2]uint32{1, 1}
	say := func(by int, flags uint8, text string) []byte {
		from, to := client+":40000", ftpVirtual
		if by == byServer {
			from, to = ftpReal, client+":40000"
		}
		f := frame(packet.ProtoTCP, from, to, func(p *packet.Spec) {
			p.TCPFlags, p.Seq, p.Ack, p.Payload = flags, seq[by], seq[1-by], []byte(text)
		})
		seq[by] += uint32(len(text))
		return e.one(by, f)
	}
	say(byClient, packet.SYN, "")
	say(byServer, packet.SYN|packet.ACK, "")
	say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
	var m packet.Meta
	f := say(byServer, packet.ACK|packet.PSH, "227 (172,16,0,11,195,80)\r\n")
	if packet.Parse(f, &m); string(f[m.Payload:m.End]) != "227 (192,0,2,100,195,80)\r\n" {
		e.t.Fatalf("%s read %q", client, f[m.Payload:m.End])
	}
	data := func(by int, from, to string, flags uint8, want packet.Tuple) {
		f := e.one(by, frame(packet.ProtoTCP, from, to, func(p *packet.Spec) { p.TCPFlags = flags }))
		if packet.Parse(f, &m); m.Tuple != want {
			e.t.Fatalf("%s: %v, want %v", client, m.Tuple, want)
		}
	}
	here := client + ":40001"
	data(byClient, here, "192.0.2.100:50000", packet.SYN, tuple(packet.ProtoTCP, here, "172.16.0.11:50000"))
	data(byServer, "172.16.0.11:50000", here, packet.SYN|packet.ACK, tuple(packet.ProtoTCP, "192.0.2.100:50000", here))
	say(byClient, packet.ACK|packet.PSH, "EPRT |1|"+client+"|40002|\r\n")
	here = client + ":40002"
	data(byServer, "172.16.0.11:20", here, packet.SYN, tuple(packet.ProtoTCP, "192.0.2.100:20", here))
	data(byClient, here, "192.0.2.100:20", packet.SYN|packet.ACK, tuple(packet.ProtoTCP, here, "172.16.0.11:20"))
}

// one lets a frame in by a port and returns what left by the other: one frame.
func (e *team) one(port int, f []byte) []byte {
	e.t.Helper()
	out := e.any(port, f)
	if len(out[port]) != 0 || len(out[1-port]) != 1 {
		e.t.Fatalf("%d frames came back and %d went on, want 1 that went on", len(out[port]), len(out[1-port]))
	}
	return out[1-port][0]
}

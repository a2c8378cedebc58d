package connsync

import (
	"context"
	"encoding/binary"
	"net/netip"
)

// A backup that has just begun says so: by a message of version 1 without entries, to which a kernel, whatever its version, pays
// no heed. A Master that hears it has the whole table told (MasterOptions.Joined).

// helloTries is how often a backup says so while it hears no master, each some checkEvery apart.
const helloTries = 5

// hello returns the message. A syncID of 0 is for every master.
func hello(syncID uint8) []byte { return NewMessage(Version1, syncID, headerLen).Bytes() }

// isHello reports whether a message is one for the masters of a syncID.
func isHello(msg []byte, syncID uint8) bool {
	return len(msg) == headerLen && binary.BigEndian.Uint32(msg[4:]) == uint32(Version1)<<16 && msg[0] == 0 &&
		binary.BigEndian.Uint16(msg[2:]) == headerLen && (msg[1] == syncID || msg[1] == 0)
}

// sayHello sends one. If that fails no harm is done: the operator may ask for the table.
func (b *Backup) sayHello() {
	c, err := b.o.Sockets.OpenSender(b.o.Endpoint)
	if err != nil {
		return
	}
	_ = c.Send(hello(b.o.SyncID))
	_ = c.Close()
}

// listen tells of backups that have begun until ctx ends.
func (m *Master) listen(ctx context.Context) {
	l := m.ear
	buf := make([]byte, headerLen+1) // what is longer is cut, and is none
	for ctx.Err() == nil {
		c, err := l.open(m.o.Clock, m.o.Sockets.OpenReceiver)
		for err == nil {
			var n int
			var from netip.Addr
			if n, from, err = c.Receive(buf); err == nil && isHello(buf[:n], m.o.SyncID) {
				m.o.Joined(from)
			}
		}
		l.shut(false)
		if pause(m.o.Clock, reopenAfter, ctx.Done()) {
			return
		}
	}
}

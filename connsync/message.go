package connsync

import (
	"encoding/binary"
	"math"
	"time"

	"dirsw/conntrack"
)

// Version is that of the messages: sysctl sync_version.
type Version uint8

// The versions.
const (
	Version0 Version = iota // IPv4 only; the backup takes the timeouts of its own protocols, three minutes for templates
	Version1
)

// MaxEntries is how many entries a message has room for, whatever its length: their number is one byte.
const MaxEntries = 255

// Message gathers records until it is as long as it may be. The zero value has room for nothing.
type Message struct {
	buf     []byte // the header first, with what Bytes fills in missing
	max     int
	n       int
	syncID  uint8
	version Version
}

// NewMessage returns an empty message of at most max bytes. One that has no room for a record of IPv6 is never full, but
// refuses such records (Refused).
func NewMessage(v Version, syncID uint8, max int) *Message {
	m := &Message{max: max, syncID: syncID, version: v}
	m.buf = make([]byte, 0, max)
	m.Reset()
	return m
}

// Reset makes the message empty. What Bytes returned is no longer valid.
func (m *Message) Reset() {
	m.n = 0
	m.buf = append(m.buf[:0], 0, m.syncID, 0, 0)
	if m.version == Version1 {
		m.buf = append(m.buf, 0, byte(Version1), 0, 0)
	}
}

// Len returns the number of records in the message.
func (m *Message) Len() int { return m.n }

// Result is what became of a record given to Add.
type Result uint8

// The results.
const (
	Added   Result = iota
	Full           // the message has no room for it: send and Reset it, then Add it again
	Refused        // no message can say this: an IPv6 record in version 0, two families, or more than an empty message holds
)

// Add puts a record behind those that the message has. It allocates nothing.
func (m *Message) Add(r *conntrack.Record) Result {
	at := len(m.buf)
	if m.version == Version0 {
		m.buf = append0(m.buf, r)
	} else {
		m.buf = append1(m.buf, r)
	}
	switch {
	case len(m.buf) == at:
		return Refused
	case len(m.buf) <= m.max && m.n < MaxEntries:
		m.n++
		return Added
	}
	m.buf = m.buf[:at]
	if m.n == 0 {
		return Refused
	}
	return Full
}

// Bytes returns the message as it is sent. It is valid until the next Add or Reset.
func (m *Message) Bytes() []byte {
	binary.BigEndian.PutUint16(m.buf[2:], uint16(len(m.buf)))
	if m.version == Version0 {
		m.buf[0] = byte(m.n)
	} else {
		m.buf[4] = byte(m.n)
	}
	return m.buf
}

// append1 writes an entry of version 1, with the padding in front of it; nothing if it cannot be said.
func append1(b []byte, r *conntrack.Record) []byte {
	kind, a := byte(0), 4
	if !r.Src.Is4() {
		kind, a = entryInet6, 16
	}
	if mixed(r) {
		return b
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	at := len(b)
	b = append(b, kind, r.Proto, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Flags))
	b = binary.BigEndian.AppendUint16(b, stateNumber(r))
	b = binary.BigEndian.AppendUint16(b, r.SrcPort)
	b = binary.BigEndian.AppendUint16(b, r.DstPort)
	b = binary.BigEndian.AppendUint16(b, r.RealPort)
	b = binary.BigEndian.AppendUint32(b, r.Mark)
	b = binary.BigEndian.AppendUint32(b, seconds(r))
	b = append(b, r.Src[16-a:]...)
	b = append(b, r.Dst[16-a:]...)
	b = append(b, r.Real[16-a:]...)
	if r.Flags&recordSeqs != 0 {
		b = append(b, optionSeq, seqsLen)
		b = appendSeq(b, binary.BigEndian, &r.In)
		b = appendSeq(b, binary.BigEndian, &r.Out)
	}
	if r.EngineLen > 0 && r.DataLen > 0 {
		b = append(b, optionData, r.DataLen)
		b = append(b, r.Data[:r.DataLen]...)
		name := r.Engine[:min(r.EngineLen, conntrack.RecordEngineMax)]
		b = append(b, optionEngine, byte(len(name)))
		b = append(b, name...)
	}
	binary.BigEndian.PutUint16(b[at+2:], uint16(len(b)-at)&entryLenMask)
	return b
}

// mixed reports whether the addresses are of two families, for which an entry has no room.
func mixed(r *conntrack.Record) bool {
	is4 := r.Src.Is4()
	return r.Dst.Is4() != is4 || r.Real.Is4() != is4
}

// seconds is the timeout as it is told.
func seconds(r *conntrack.Record) uint32 {
	return uint32(min(max(r.Timeout/time.Second, 0), math.MaxUint32))
}

package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// maxPacket is the longest packet that tcpdump records (MAXIMUM_SNAPLEN of libpcap).
const maxPacket = 262144

// record is one packet of a capture.
type record struct {
	at    time.Time
	bytes []byte // valid until the next
	whole int    // bytes that the packet had on the wire
	link  int    // LINKTYPE_ number
}

// source yields the packets of a capture. At its proper end the error is io.EOF, inside a packet io.ErrUnexpectedEOF, a
// damage errDamaged with what it is.
type source interface {
	next() (record, error)
}

// errDamaged is wrapped with what is wrong.
var errDamaged = errors.New("damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

// open looks at the first bytes to see what kind of capture it is. Compressed ones (gzip) are read too.
func open(r io.Reader) (source, error) {
	b := bufio.NewReader(r)
	start, err := b.Peek(4)
	if len(start) >= 2 && start[0] == 0x1f && start[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, &NotCaptureError{bytes.Clone(start)}
		}
		b = bufio.NewReader(z)
		start, _ = b.Peek(4)
	}
	if len(start) == 0 && (err == nil || errors.Is(err, io.EOF)) {
		return nil, ErrEmpty
	}
	if len(start) == 0 {
		return nil, fmt.Errorf("read the capture: %w", err)
	}
	if string(start) == "\x0a\x0d\x0d\x0a" {
		return &ngSource{r: b}, nil
	}
	return openPcap(b, bytes.Clone(start))
}

// openPcap reads the header of the classic format (draft-ietf-opsawg-pcap, section 4).
func openPcap(b *bufio.Reader, start []byte) (source, error) {
	var order binary.ByteOrder
	switch string(start) {
	case "\xa1\xb2\xc3\xd4", "\xa1\xb2\x3c\x4d": // with microseconds, nanoseconds
		order = binary.BigEndian
	case "\xd4\xc3\xb2\xa1", "\x4d\x3c\xb2\xa1":
		order = binary.LittleEndian
	default:
		return nil, &NotCaptureError{start}
	}
	head, err := b.Peek(pcapHeader)
	if err != nil {
		return nil, &CutError{}
	}
	// pcapgo keeps eight bits of it only. The upper ones say whether frames end with their checksum.
	link := int(order.Uint32(head[20:]) & 0xffff)
	r, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, &FormatError{What: err.Error()}
	}
	r.SetSnaplen(maxPacket) // of files whose header says less than their packets have, and to bound memory
	return &pcapSource{r, link}, nil
}

// pcapHeader is the length in bytes of the header of a pcap file.
const pcapHeader = 24

// pcapSource reads the classic format.
type pcapSource struct {
	r    *pcapgo.Reader
	link int
}

func (s *pcapSource) next() (record, error) {
	b, ci, err := s.r.ZeroCopyReadPacketData()
	switch {
	case errors.Is(err, io.EOF) && ci.CaptureLength > 0:
		return record{}, io.ErrUnexpectedEOF // the header of the packet was there, nothing of the packet
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return record{}, err
	case ci.CaptureLength > maxPacket || ci.CaptureLength > ci.Length:
		return record{}, damaged("a packet of %d bytes with %d of them recorded", ci.Length, ci.CaptureLength)
	case err != nil:
		return record{}, err
	}
	return record{at: ci.Timestamp, bytes: b, whole: ci.Length, link: s.link}, nil
}

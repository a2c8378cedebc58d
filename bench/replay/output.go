package replay

import (
	"io"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// output writes a pcap file with times in nanoseconds.
type output struct {
	pcap *pcapgo.Writer
	to   keeper
}

func newOutput(w io.Writer) (*output, error) {
	o := &output{to: keeper{w: w}}
	o.pcap = pcapgo.NewWriterNanos(&o.to)
	if err := o.pcap.WriteFileHeader(maxPacket, layers.LinkTypeEthernet); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *output) write(at time.Time, frame []byte) error {
	if at.IsZero() {
		at = time.Unix(0, 0) // for the zero time pcapgo would take the clock's
	}
	err := o.pcap.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}, frame)
	if o.to.err != nil {
		return o.to.err
	}
	return err
}

// keeper keeps the error of a writer, of which pcapgo passes on the text only.
type keeper struct {
	w   io.Writer
	err error
}

func (k *keeper) Write(b []byte) (int, error) {
	n, err := k.w.Write(b)
	if err != nil {
		k.err = err
	}
	return n, err
}

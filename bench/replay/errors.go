package replay

import (
	"errors"
	"fmt"
)

// ErrEmpty is returned for a file of no bytes.
var ErrEmpty = errors.New("the file is empty: record again, and let tcpdump end by itself (tcpdump -c) or with Ctrl-C")

// NotCaptureError is returned for a file that is no capture.
type NotCaptureError struct{ Start []byte } // its first bytes, four at most

func (e *NotCaptureError) Error() string {
	return fmt.Sprintf("not a capture: it starts with % x, which is neither pcap nor pcapng; "+
		"record one with tcpdump -i INTERFACE -w FILE", e.Start)
}

// LinkTypeError is returned for a capture from something else than Ethernet.
type LinkTypeError struct{ Type int } // LINKTYPE_ number

func (e *LinkTypeError) Error() string {
	name := fmt.Sprint(e.Type)
	switch e.Type {
	case 101, 228, 229:
		name += " (bare IP)"
	case 113, 276:
		name += " (tcpdump -i any)"
	}
	return fmt.Sprintf("link type %s: only Ethernet can be played; record again on one Ethernet interface", name)
}

// CutError is returned at the end of a file that ends in the middle of a packet.
type CutError struct{ After int } // whole packets before

func (e *CutError) Error() string {
	if e.After == 0 {
		return "the capture ends before its first packet is whole: copy or record it again"
	}
	return fmt.Sprintf("the capture ends in the middle of packet %d: copy it again, or go by the %d packets before",
		e.After+1, e.After)
}

// SnapError is returned at a packet that was not recorded whole.
type SnapError struct {
	Packet      int // counted from 1
	Have, Whole int // bytes
}

func (e *SnapError) Error() string {
	return fmt.Sprintf("packet %d holds %d of %d bytes, and what is left cannot be forwarded: record again with tcpdump -s 0",
		e.Packet, e.Have, e.Whole)
}

// FormatError is returned where a capture contradicts itself.
type FormatError struct {
	After int // whole packets before
	What  string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("the capture is damaged behind packet %d (%s): copy or record it again", e.After, e.What)
}

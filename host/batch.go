package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"

	"golang.org/x/sys/unix"
)

// batchSize is how many requests go to the kernel in one message: as many as keep their answers, each of which may quote
// its request, within a socket's ordinary buffer.
const batchSize = 64

// rtnl is a netlink socket for requests that are only confirmed. Many go in one message, as netlink allows: the kernel
// works through them and has queued all the answers when the send returns.
type rtnl struct {
	fd  int
	seq uint32
	out []byte
	in  []byte
}

// openRTNL opens the socket in the namespace of the calling thread.
func openRTNL() (*rtnl, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	limit := unix.NsecToTimeval(answerTime.Nanoseconds())
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1), // answers do not quote their request
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1), // and say what was wrong
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &rtnl{fd: fd, out: make([]byte, 0, 1<<14), in: make([]byte, 1<<15)}, nil
}

func (r *rtnl) close() error { return unix.Close(r.fd) }

// request is one message to rtnetlink.
type request struct {
	kind  uint16
	flags uint16 // besides REQUEST and ACK
	body  []byte // behind struct nlmsghdr
}

// do sends the requests, at most batchSize of them, and returns the error of each. What the socket itself says is in
// the second result.
func (r *rtnl) do(reqs []request) ([]error, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	first := r.seq + 1
	r.out = r.out[:0]
	for i := range reqs {
		q := &reqs[i]
		r.seq++
		r.out = binary.NativeEndian.AppendUint32(r.out, uint32(unix.SizeofNlMsghdr+len(q.body)))
		r.out = binary.NativeEndian.AppendUint16(r.out, q.kind)
		r.out = binary.NativeEndian.AppendUint16(r.out, q.flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
		r.out = binary.NativeEndian.AppendUint32(r.out, r.seq)
		r.out = append(r.out, 0, 0, 0, 0)
		r.out = append(r.out, q.body...)
		r.out = pad4(r.out)
	}
	if err := unix.Sendto(r.fd, r.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return r.answers(first, len(reqs))
}

// answers reads the confirmations of n requests from the sequence number first on.
func (r *rtnl) answers(first uint32, n int) ([]error, error) {
	out := make([]error, n)
	for left := n; left > 0; {
		got, _, err := unix.Recvfrom(r.fd, r.in, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("netlink: %w", err)
		}
		for b := r.in[:got]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return nil, errors.New("netlink: an answer that is cut")
			}
			kind, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
			if i := seq - first; kind == unix.NLMSG_ERROR && i < uint32(n) && size >= unix.SizeofNlMsghdr+4 {
				out[i] = refusalOf(binary.NativeEndian.Uint16(b[6:]), b[unix.SizeofNlMsghdr:size])
				left--
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
	return out, nil
}

// refusalOf reads struct nlmsgerr and the attributes behind it (linux/netlink.h); nil if it confirms.
func refusalOf(flags uint16, b []byte) error {
	code := int32(binary.NativeEndian.Uint32(b))
	if code == 0 {
		return nil
	}
	errno := unix.Errno(-code)
	const quoted = 4 + unix.SizeofNlMsghdr // the error, and the header of the request
	if flags&unix.NLM_F_ACK_TLVS == 0 || len(b) < quoted {
		return errno
	}
	for kind, value := range attributes(b[quoted:]) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			return fmt.Errorf("%w (%s)", errno, strings.TrimRight(string(value), ".\x00"))
		}
	}
	return errno
}

// attributes goes through netlink attributes (struct rtattr) until the end, or one that does not fit.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) || !yield(binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}

// pad4 fills up with zeros to a multiple of four bytes, as netlink aligns.
func pad4(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendAttr appends a netlink attribute (struct rtattr).
func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return pad4(append(b, value...))
}

// appendAttr32 appends an attribute that is a number.
func appendAttr32(b []byte, kind uint16, value uint32) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint32(nil, value))
}

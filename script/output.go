package script

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// capture reads what a program prints, keeps the beginning, and forgets the rest.
type capture struct {
	r, w *os.File
	kept []byte // written by the reading goroutine until done is closed
	done chan struct{}
}

// newCapture returns a capture that keeps at most limit bytes, and reads already.
func newCapture(limit int) (*capture, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := &capture{r: r, w: w, kept: make([]byte, 0, limit), done: make(chan struct{})}
	go c.read()
	return c, nil
}

// read takes what comes until all who could write are gone, or finish was called.
func (c *capture) read() {
	defer close(c.done)
	buf := make([]byte, 4096)
	for {
		n, err := c.r.Read(buf)
		c.keep(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.rest(buf)
			return
		}
		if err != nil {
			return
		}
	}
}

// rest takes what the program left in the pipe. One who is still writing is not waited for.
func (c *capture) rest(buf []byte) {
	raw, err := c.r.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		for len(c.kept) < cap(c.kept) {
			n, err := syscall.Read(int(fd), buf)
			if err == syscall.EINTR {
				continue
			}
			if n <= 0 {
				return
			}
			c.keep(buf[:n])
		}
	})
}

func (c *capture) keep(b []byte) {
	c.kept = append(c.kept, b[:min(len(b), cap(c.kept)-len(c.kept))]...)
}

// finish is called when the program has ended. It returns what was kept, and leaves no goroutine and no file.
func (c *capture) finish() []byte {
	_ = c.r.SetReadDeadline(time.Unix(1, 0)) // long ago: ends a Read that waits
	<-c.done
	c.r.Close()
	return c.kept
}

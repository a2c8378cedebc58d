package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"dirsw/clock"
	"dirsw/script"
)

// ErrNotFIFO says that there is something else in the place of a pipe.
var ErrNotFIFO = errors.New("not a FIFO")

// The times of a pipe's reader: how long it is waited for before it is started again, and how long it may go on with
// what is in the pipe after it was closed.
const (
	firstRestart = time.Second
	lastRestart  = time.Minute
	readerGrace  = time.Second
)

// pipeSize is how many bytes a pipe holds, as far as the kernel lets it: with its own 64 KB the lines of a thousand real
// servers that fail at once would be lost before any reader could take them.
const pipeSize = 1 << 20

// fifo is an open pipe. It is open for reading as well, so that opening and writing work without a reader, who then
// finds the lines since, as far as the pipe holds them.
type fifo struct {
	FIFO
	clock clock.Clock
	log   *zap.Logger
	run   Runner
	made  bool
	ino   uint64

	mu   sync.Mutex // guards what follows
	fd   int        // -1 once closed
	full bool       // said so

	cancel context.CancelFunc // ends the reader
	done   chan struct{}      // closed when it ended; nil without one
}

// openFIFO makes the pipe if need be, and opens it.
func openFIFO(f FIFO, c clock.Clock, log *zap.Logger, run Runner) (*fifo, error) {
	o := &fifo{FIFO: f, clock: c, log: log, run: run}
	err := syscall.Mkfifo(f.Path, 0o600)
	switch {
	case err == nil:
		o.made = true
	case !errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("create FIFO %s: %w", f.Path, err)
	}
	if o.fd, err = syscall.Open(f.Path, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open FIFO %s: %w", f.Path, err)
	}
	var st syscall.Stat_t
	if err = syscall.Fstat(o.fd, &st); err == nil && st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		err = ErrNotFIFO
	}
	if err == nil && o.made && f.User != nil {
		err = syscall.Fchown(o.fd, int(f.User.UID), int(f.User.GID))
	}
	if err != nil {
		syscall.Close(o.fd)
		return nil, fmt.Errorf("open FIFO %s: %w", f.Path, err)
	}
	o.ino = st.Ino
	_, _ = unix.FcntlInt(uintptr(o.fd), unix.F_SETPIPE_SZ, pipeSize) // a smaller one holds less, and is no error
	return o, nil
}

// start starts the reader, if there is one.
func (f *fifo) start() {
	if f.Reader == nil {
		return
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background()) // it ends by close, after the last line
	f.done = make(chan struct{})
	go f.keep(ctx)
}

// keep runs the reader until ctx is done, again and again.
func (f *fifo) keep(ctx context.Context) {
	defer close(f.done)
	wait := firstRestart
	for {
		res := f.run.Run(ctx, f.Reader.With(f.Path))
		if ctx.Err() != nil || f.closed() {
			return
		}
		if res.Elapsed > lastRestart {
			wait = firstRestart
		}
		f.log.Warn("notify fifo script terminated", zap.String("fifo", f.Path), zap.Stringer("script", f.Reader),
			zap.Object("result", res), zap.Duration("starts again in", wait))
		over := make(chan struct{})
		timer := f.clock.AfterFunc(wait, func() { close(over) })
		select {
		case <-over:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		wait = min(2*wait, lastRestart)
	}
}

// write writes a line, or loses it when the pipe is full.
func (f *fifo) write(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return
	}
	var err error
	for {
		_, err = syscall.Write(f.fd, []byte(line)) // whole or not at all: it is shorter than PIPE_BUF
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil && !f.full {
		f.log.Warn("a notification is lost: nobody reads the FIFO", zap.String("fifo", f.Path), zap.Error(err))
	}
	f.full = err != nil
}

func (f *fifo) closed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fd < 0
}

// close closes the pipe, lets the reader take what is in it, ends the reader, and removes the pipe if it was made here.
func (f *fifo) close() {
	f.mu.Lock()
	syscall.Close(f.fd)
	f.fd = -1
	f.mu.Unlock()
	if f.done != nil {
		timer := f.clock.AfterFunc(readerGrace, f.cancel)
		<-f.done
		timer.Stop()
		f.cancel()
	}
	if st, err := os.Lstat(f.Path); err == nil && f.made {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Ino == f.ino {
			os.Remove(f.Path)
		}
	}
}

// same reports whether an open pipe is what another configuration asks for.
func (f *fifo) same(o FIFO) bool {
	if f.Path != o.Path || (f.Reader == nil) != (o.Reader == nil) {
		return false
	}
	return f.Reader == nil || sameCommand(*f.Reader, o.Reader)
}

func sameCommand(a script.Command, b *script.Command) bool {
	return a.String() == b.String() && a.User.String() == b.User.String()
}

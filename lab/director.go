package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// director is a `dirsw run` inside a node, or what stands for it.
type director struct {
	cmd   *Cmd
	log   *logBuffer
	ended chan struct{} // closed when the process has ended and err is set
	err   error
}

// readyLine is in the line that dirsw logs when it forwards.
const readyLine = "forwarding"

// startDirector starts dirsw inside a node and returns when it says that it forwards. If ctx ends it is asked to stop; it
// never outlives this process.
func (c *Cluster) startDirector(ctx context.Context, node, self, conf, socket string, more ...string) (*director, error) {
	return c.startProcess(ctx, node, readyLine, self, append([]string{"run", "-f", conf, "--socket", socket}, more...)...)
}

// startProcess is startDirector for any program: it returns when that has written the word.
func (c *Cluster) startProcess(ctx context.Context, node, ready, program string, args ...string) (*director, error) {
	d := &director{log: newLogBuffer(ready), ended: make(chan struct{})}
	d.cmd = c.Command(ctx, node, program, args...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // an interrupt from the terminal reaches it through ctx only, in its turn
	}
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(unix.SIGTERM) }
	d.cmd.WaitDelay = gentle
	name := filepath.Base(program)
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	limit, cancel := context.WithTimeout(ctx, ample)
	defer cancel()
	select {
	case <-d.log.said:
		return d, nil
	case <-d.ended:
		return nil, fmt.Errorf("%s ended (%v) before it said %q; it said:\n%s", name, d.err, ready, d.log.tail(20))
	case <-limit.Done():
		err := fmt.Errorf("%s does not say %q (%w); it said:\n%s", name, ready, limit.Err(), d.log.tail(20))
		return nil, errors.Join(err, d.stop(unix.SIGTERM, gentle))
	}
}

// stop sends a signal and waits for the end of the process; if that takes longer than d it is killed.
func (d *director) stop(sig unix.Signal, wait time.Duration) error {
	if err := d.cmd.Process.Signal(sig); err != nil {
		<-d.ended // it has ended
		return nil
	}
	limit, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	select {
	case <-d.ended:
		return nil
	case <-limit.Done():
		_ = d.cmd.Process.Kill() // it may end meanwhile
		<-d.ended
		return fmt.Errorf("the director did not end within %v of %v", wait, unix.SignalName(sig))
	}
}

// logBuffer keeps what a process writes. Write is called by one goroutine, the rest by any.
type logBuffer struct {
	said chan struct{} // closed when a line with the word has come

	mu   sync.Mutex
	word string // empty once it has come
	buf  bytes.Buffer
}

func newLogBuffer(word string) *logBuffer {
	return &logBuffer{said: make(chan struct{}), word: word}
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	if l.word != "" && bytes.Contains(l.buf.Bytes(), []byte(l.word)) {
		l.word = ""
		close(l.said)
	}
	return len(b), nil
}

// tail returns the last n lines.
func (l *logBuffer) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.SplitAfter(strings.TrimRight(l.buf.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// text returns everything that was written.
func (l *logBuffer) text() string { return l.since(0) }

// size is how many bytes were written: where what comes next begins.
func (l *logBuffer) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Len()
}

// since returns what was written after the first n bytes.
func (l *logBuffer) since(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf.Bytes()[n:])
}

package track

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"dirsw/clock"
)

// fileWatcher reads one file again and again. It is not inotify: what is read is a line, it works on every file system,
// and the file and its directory may come and go.
type fileWatcher struct {
	report
	f File

	mu       sync.Mutex // guards what follows
	timer    clock.Timer
	ctx      context.Context
	cancel   context.CancelFunc // nil until started
	complain string             // the last complaint, so that it is made once
}

var _ watcher = (*fileWatcher)(nil)

func (f File) watcher(t *Tracker) watcher {
	w := &fileWatcher{f: f}
	w.report.t, w.report.now = t, State{Key: f.Key()}
	return w
}

func (w *fileWatcher) object() Object { return w.f }
func (w *fileWatcher) kept()          {}

// prepare writes the first value, if the file was not watched before, and reads the file.
func (w *fileWatcher) prepare(old watcher) {
	o, ok := old.(*fileWatcher)
	if ok {
		w.inherit(o.state())
	}
	if w.f.Init != nil && !(ok && o.f.Path == w.f.Path) {
		if err := w.f.init(); err != nil {
			w.t.Log.Warn("Unable to initialise track file "+w.f.Name, zap.Error(err))
		}
	}
	w.look()
}

// init writes the first value to the file, if it does not exist or may be overwritten. It follows no link in its place:
// the directory may be one in which others write.
func (f File) init() error {
	flags := os.O_WRONLY | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	if f.Overwrite {
		flags |= os.O_TRUNC
	} else {
		flags |= os.O_EXCL
	}
	file, err := os.OpenFile(f.Path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) && !f.Overwrite {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, *f.Init)
	return errors.Join(err, file.Close())
}

func (w *fileWatcher) start(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.timer = w.t.Clock.AfterFunc(w.t.FileEvery, w.due)
}

func (w *fileWatcher) stop() {
	w.mute()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
		w.timer.Stop()
	}
}

// due looks, and waits for the next time: a file system that hangs is not asked twice.
func (w *fileWatcher) due() {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() == nil {
		w.timer = w.t.Clock.AfterFunc(w.t.FileEvery, w.due)
	}
}

// look reads the file and tells what is in it.
func (w *fileWatcher) look() {
	n, complaint := read(w.f.Path)
	w.mu.Lock()
	if complaint != w.complain && complaint != "" {
		w.t.Log.Warn(fmt.Sprintf("Track file %s: %s, taken as %d", w.f.Name, complaint, n))
	}
	w.complain = complaint
	w.mu.Unlock()
	if was := w.state(); was.Known && was.Value != n {
		w.t.Log.Info(fmt.Sprintf("Track file %s changed from %d to %d", w.f.Name, was.Value, n))
	}
	w.set(State{Known: true, Up: n == 0, Value: n})
}

// read returns the number that the file at path begins with, else 0; and what is wrong with it, if it is worth a word.
func read(path string) (n int, complaint string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, ""
	}
	if err != nil {
		return 0, err.Error()
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return 0, path + " is not a regular file"
	}
	buf := make([]byte, 128)
	got, err := f.Read(buf)
	if err != nil && err != io.EOF {
		return 0, err.Error()
	}
	return leading(string(buf[:got]))
}

// leading reads a number as C's strtol does: blanks, a sign, digits, and whatever. It is kept within 32 bits.
func leading(text string) (n int, complaint string) {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || end == 0 && (text[0] == '-' || text[0] == '+')) {
		end++
	}
	v, err := strconv.ParseInt(text[:end], 10, 64)
	switch {
	case text == "":
		return 0, ""
	case err != nil && !errors.Is(err, strconv.ErrRange):
		line, _, _ := strings.Cut(text, "\n")
		return 0, fmt.Sprintf("%q is no number", line)
	}
	return int(min(max(v, math.MinInt32), math.MaxInt32)), ""
}

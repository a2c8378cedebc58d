package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dirsw/clock"
	"dirsw/internal/testenv"
	"dirsw/script"
)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}

func TestFIFOMadeAndRemoved(t *testing.T) {
	dir := t.TempDir()
	made, there := dir+"/made", dir+"/there"
	if err := syscall.Mkfifo(there, 0o640); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{})
	user := &script.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if user.UID == 0 {
		user.UID, user.GID = 1, 2
	}
	c := Config{Instances: FIFO{Path: made, User: user}, Servers: FIFO{Path: there, User: user}}
	if err := b.Set(c); err != nil {
		t.Fatal(err)
	}
	if m := mode(t, made); m != os.ModeNamedPipe|0o600 {
		t.Errorf("mode %v of the one that was made", m)
	}
	if m := mode(t, there); m != os.ModeNamedPipe|0o640 {
		t.Errorf("mode %v of the one that was there", m)
	}
	st, _ := os.Lstat(made)
	if sys := st.Sys().(*syscall.Stat_t); sys.Uid != user.UID || sys.Gid != user.GID {
		t.Errorf("it belongs to %d:%d", sys.Uid, sys.Gid)
	}
	st, _ = os.Lstat(there)
	if sys := st.Sys().(*syscall.Stat_t); int(sys.Uid) != os.Geteuid() {
		t.Errorf("the one that was there belongs to %d", sys.Uid)
	}
	next := reader(t, made)
	b.VRRP(Event{Name: "a", State: Master, Priority: 1})
	if err := b.Set(c); err != nil { // as it is
		t.Fatal(err)
	}
	b.VRRP(Event{Name: "a", State: Backup, Priority: 1})
	b.Repeat(Event{Name: "a", State: Backup, Priority: 1})
	b.Repeat(Event{Name: "g", Group: true, State: Backup})
	for _, want := range []string{`INSTANCE "a" MASTER 1`, `INSTANCE "a" BACKUP 1`, `INSTANCE "a" BACKUP 1`, `GROUP "g" BACKUP 0`} {
		if got := next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	b.end()
	if !gone(made) || gone(there) {
		t.Errorf("after the end: made gone %v, there gone %v; want true, false", gone(made), gone(there))
	}
}

func TestFIFOSet(t *testing.T) {
	dir := t.TempDir()
	one, two := dir+"/one", dir+"/two"
	b := newBench(t, Options{})
	set := func(c Config) {
		t.Helper()
		if err := b.Set(c); err != nil {
			t.Fatal(err)
		}
	}
	set(Config{All: FIFO{Path: one}, Instances: FIFO{Path: one}, Servers: FIFO{Path: one}})
	next := reader(t, one)
	b.VRRP(Event{Name: "a", State: Master})
	b.Quorum("s", true, false, 1, 0, 1)
	for _, want := range []string{`INSTANCE "a" MASTER 0`, "VS s UP", ""} {
		if got := next(); got != want {
			t.Errorf("one path for all: %q, want %q", got, want)
		}
	}
	if n := b.logs.FilterMessageSnippet("ignoring").Len(); n != 2 {
		t.Errorf("log %v", b.logs.All())
	}
	set(Config{Instances: FIFO{Path: one}, Servers: FIFO{Path: one}})
	b.VRRP(Event{Name: "a", State: Backup})
	b.Real("s", "r", false, "")
	for _, want := range []string{`INSTANCE "a" BACKUP 0`, "RS r s DOWN", ""} {
		if got := next(); got != want {
			t.Errorf("one path for two: %q, want %q", got, want)
		}
	}
	set(Config{Servers: FIFO{Path: two}})
	if !gone(one) {
		t.Error("the one that is not configured any more is still there")
	}
	b.VRRP(Event{Name: "a", State: Fault})
	b.Real("s", "r", true, "")
	if got := reader(t, two)(); got != "RS r s UP" {
		t.Errorf("got %q", got)
	}
}

func TestFIFOWrong(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/file"
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{})
	err := b.Set(Config{All: FIFO{Path: dir + "/none/x"}, Instances: FIFO{Path: file}, Servers: FIFO{Path: dir + "/good"}})
	if err == nil || !errors.Is(err, ErrNotFIFO) || !strings.Contains(err.Error(), "create FIFO "+dir+"/none/x: no such file") {
		t.Errorf("got %v", err)
	}
	b.VRRP(Event{Name: "a", State: Master})
	b.Quorum("s", true, true, 1, 0, 1)
	if got := reader(t, dir+"/good")(); got != "VS s UP" {
		t.Errorf("the good one got %q", got)
	}
	b.end()
	if data, _ := os.ReadFile(file); string(data) != "x" {
		t.Errorf("the file that is no FIFO has become %q", data)
	}
}

// TestFIFOWithoutReader: nobody is held up, what fits into the pipe is found later, and the rest is lost.
func TestFIFOWithoutReader(t *testing.T) {
	path := t.TempDir() + "/f"
	b := newBench(t, Options{})
	if err := b.Set(Config{All: FIFO{Path: path}}); err != nil {
		t.Fatal(err)
	}
	const n = 50000
	for i := range n {
		b.VRRP(Event{Name: "instance", State: Master, Priority: i})
	}
	next := reader(t, path)
	got := 0
	for l := next(); l != ""; l = next() {
		if want := fmt.Sprintf(`INSTANCE "instance" MASTER %d`, got); l != want {
			t.Fatalf("line %d: %q, want %q", got, l, want)
		}
		got++
	}
	if got < 1000 || got == n {
		t.Errorf("%d of %d lines found", got, n)
	}
	if n := b.logs.FilterMessageSnippet("is lost").Len(); n != 1 {
		t.Errorf("said %d times that lines are lost", n)
	}
	b.VRRP(Event{Name: "instance", State: Backup, Priority: 1})
	if l := next(); l != `INSTANCE "instance" BACKUP 1` {
		t.Errorf("with a reader: %q", l)
	}
}

// TestFIFOReader: a real program is started, fed to the last line, and ended; one that does not end is killed; one that
// ends is started again.
func TestFIFOReader(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) *script.Command {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return &script.Command{Args: []string{path, dir + "/" + name + ".out"}}
	}
	read := func(name string) string {
		b, _ := os.ReadFile(dir + "/" + name + ".out")
		return string(b)
	}
	core, logs := observer.New(zap.InfoLevel)
	n := New(Options{Clock: clock.NewSystem(), Log: zap.New(core)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	err := n.Set(Config{
		// as the sample of keepalived does, it ends at the end of the pipe
		All: FIFO{Path: dir + "/all", Reader: write("feed", `echo start >> $1; while read -r l; do echo "$l" >> $1; done < $2; echo end >> $1`)},
		// holds the pipe open itself, and ignores SIGTERM
		Instances: FIFO{Path: dir + "/vrrp", Reader: write("stay", `trap 'echo TERM >> $1' TERM; exec 3<>$2; echo $$ start >> $1; while :; do read -r l <&3 && echo "$l" >> $1; done`)},
		Servers:   FIFO{Path: dir + "/lvs", Reader: write("quit", `echo start >> $1; exit 7`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have started", func() bool { return read("feed") != "" && read("stay") != "" && read("quit") != "" })
	n.VRRP(Event{Name: "a", State: Master, Priority: 1})
	eventually(t, "it is fed", func() bool {
		return strings.Contains(read("feed"), "MASTER") && strings.Contains(read("stay"), "MASTER")
	})
	eventually(t, "started again", func() bool { return read("quit") == "start\nstart\n" })
	if l := logs.FilterMessageSnippet("fifo script terminated").All(); len(l) < 1 || l[0].ContextMap()["fifo"] != dir+"/lvs" {
		t.Errorf("log %v", logs.All())
	}
	n.VRRP(Event{Name: "a", State: Stop, Priority: 1})
	start := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Logf("the end took %v", time.Since(start))
	if got, want := read("feed"), "start\nINSTANCE \"a\" MASTER 1\nINSTANCE \"a\" STOP 1\nend\n"; got != want {
		t.Errorf("fed %q, want %q", got, want)
	}
	if got := read("stay"); !strings.HasSuffix(got, " start\nINSTANCE \"a\" MASTER 1\nINSTANCE \"a\" STOP 1\nTERM\n") {
		t.Errorf("fed %q", got)
	}
	var pid int
	if _, err := fmt.Sscan(read("stay"), &pid); err != nil || syscall.Kill(pid, 0) == nil {
		t.Errorf("the reader %d that ignores SIGTERM is still there (%v)", pid, err)
	}
	for _, p := range []string{"/all", "/vrrp", "/lvs"} {
		if !gone(dir + p) {
			t.Errorf("%s is still there", p)
		}
	}
}

// TestFIFOHoldsACrowd: the news of 2 000 real servers that fail at once wait in the pipe for a reader that is slow.
func TestFIFOHoldsACrowd(t *testing.T) {
	path := t.TempDir() + "/pipe"
	b := newBench(t, Options{})
	if err := b.Set(Config{Servers: FIFO{Path: path}}); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		b.Real("[2001:db8:1:2::5]:tcp:443", fmt.Sprintf("[2001:db8:1:2::%x]:tcp:443", i), false, "test")
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines := 0
	for buf := make([]byte, 1<<20); lines < 2000; {
		if err := r.SetReadDeadline(time.Now().Add(testenv.Patience)); err != nil {
			t.Fatal(err)
		}
		n, err := r.Read(buf)
		lines += strings.Count(string(buf[:n]), "\n")
		if err != nil {
			break
		}
	}
	if lines != 2000 {
		t.Errorf("%d lines, want 2000", lines)
	}
}

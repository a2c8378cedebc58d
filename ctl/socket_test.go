package ctl

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"dirsw/clock"
)

func TestModes(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		base := t.TempDir()
		if umask == 0o777 { // a directory made under it is of no use to anybody but root
			os.Mkdir(filepath.Join(base, "run"), 0o755)
		}
		path := filepath.Join(base, "run", "control.sock")
		old := syscall.Umask(umask)
		s, err := Listen(path, &clock.Manual{})
		syscall.Umask(old)
		if err != nil {
			t.Fatalf("umask %03o: %v", umask, err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != fs.ModeSocket|0o600 {
			t.Errorf("umask %03o: mode %v, want srw-------", umask, got)
		}
		s.Close()
		s.Close()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("umask %03o: the socket is left after Close: %v", umask, err)
		}
	}
}

// TestNeverOpenToOthers watches the file between bind and chmod: the mode must be right from the start.
func TestNeverOpenToOthers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "control.sock")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if info, err := os.Lstat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("mode %v was seen", info.Mode())
				return
			}
		}
	})
	for range 300 {
		s, err := Listen(path, &clock.Manual{})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	close(stop)
	wg.Wait()
}

// deadSocket leaves a socket as a killed process does.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestDeadSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	deadSocket(t, path)
	_, err := Dial(path)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("Dial: %v, want that its director has ended", err)
	}
	s, err := Listen(path, &clock.Manual{})
	if err != nil {
		t.Fatalf("Listen over a dead socket: %v", err)
	}
	s.Close()
}

func TestLivingSocketIsNotReplaced(t *testing.T) {
	path, _ := start(t, &fake{}, &clock.Manual{})
	_, err := Listen(path, &clock.Manual{})
	if err == nil || !strings.Contains(err.Error(), "another director is running at "+path) {
		t.Errorf("Listen: %v, want that another director is running", err)
	}
	if err := Serve(context.Background(), path, &fake{}); err == nil {
		t.Error("Serve took over a living socket")
	}
	if _, err := dial(t, path).Stats(); err != nil {
		t.Errorf("the first director does not answer any more: %v", err)
	}
}

func TestOneOfManyWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	deadSocket(t, path)
	var mu sync.Mutex
	var won []*Server
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			s, err := Listen(path, &clock.Manual{})
			if err != nil {
				return
			}
			mu.Lock()
			won = append(won, s)
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d directors hold one socket", len(won))
	}
	for _, s := range won {
		s.Close()
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		if _, err := Listen(path, &clock.Manual{}); err == nil || !strings.Contains(err.Error(), "is not a socket") {
			t.Errorf("Listen(%s): %v, want that it is not a socket", path, err)
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file holds %q", b)
	}
}

func TestCloseLeavesTheSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	first, err := Listen(path, &clock.Manual{})
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	second, err := Listen(path, &clock.Manual{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second director's socket is gone: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "control.sock")
	_, err := Dial(path)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), `start one with "dirsw run"`) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), "\n") || len(err.Error()) > 250 {
		t.Errorf("not one sentence: %q", err)
	}
}

// asNobody runs f on a thread of user 65534.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		// The raw call changes this thread only.
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0)); errno != 0 {
			done <- errno
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// openDir makes a directory that everybody can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dirsw-ctl-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStrangersAreRefused(t *testing.T) {
	path := filepath.Join(openDir(t), "control.sock")
	s, err := Listen(path, &clock.Manual{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(ctx, &fake{}) })
	defer wg.Wait()
	defer stop()

	asNobody(t, func() {
		_, err := net.Dial("unix", path)
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("mode 0600 let a stranger in: %v", err)
		}
		if got := reason(path, err); !strings.Contains(got, "open to root and to the director's own user only") {
			t.Errorf("reason: %q", got)
		}
	})
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		if got := raw(t, path, `{"protocol":1,"command":"stats"}`+"\n"); !strings.Contains(got, "user 65534 may not command") {
			t.Errorf("a stranger got %q", got)
		}
	})
}

func TestClientDoesNotTrustStrangers(t *testing.T) {
	path := filepath.Join(openDir(t), "control.sock")
	var l net.Listener
	asNobody(t, func() {
		var err error
		if l, err = net.Listen("unix", path); err != nil {
			t.Error(err)
		}
	})
	if l == nil {
		t.FailNow()
	}
	defer l.Close()
	_, err := Dial(path)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("Dial: %v, want that the socket belongs to a stranger", err)
	}
}

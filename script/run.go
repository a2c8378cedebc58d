package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// ErrEmpty says that a Command has no words.
var ErrEmpty = errors.New("no program given")

// Runner runs commands. Its methods may be called from any goroutine; the Clock must be set.
type Runner struct {
	// Clock measures the timeouts.
	Clock clock.Clock
}

// Run starts the program, waits until it has ended, and says how. It returns as soon as the program itself has ended,
// even if others that it started are still there. When the time is over, or ctx is done, the whole process group gets
// SIGTERM, after Grace SIGKILL, and whoever is left when the program ends is killed. The program also gets SIGTERM when
// this process dies.
//
// The calling goroutine keeps its thread meanwhile: the kernel ties that last promise to the thread that forked.
func (r Runner) Run(ctx context.Context, c Command) Result {
	start := r.Clock.Now()
	res := r.run(ctx, c)
	res.Elapsed = r.Clock.Now().Sub(start)
	return res
}

func (r Runner) run(ctx context.Context, c Command) Result {
	if err := ctx.Err(); err != nil {
		return Result{Err: err}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := prepare(c)
	if err != nil {
		return Result{Err: err}
	}
	var out *capture
	if c.Output > 0 {
		if out, err = newCapture(min(c.Output, MaxOutput)); err != nil {
			return Result{Err: fmt.Errorf("run %s: %w", c.Name(), err)}
		}
		cmd.Stdout, cmd.Stderr = out.w, out.w
	}
	err = cmd.Start()
	if out != nil {
		out.w.Close() // what is left of it is in the program
	}
	if err != nil {
		if out != nil {
			out.finish()
		}
		return Result{Err: startError(c, err)}
	}
	stop := newStopper(r.Clock, cmd.Process.Pid)
	if c.Timeout > 0 {
		stop.after(c.Timeout, c.OnTimeout)
	}
	forget := context.AfterFunc(ctx, stop.cancel)
	waitDead(cmd.Process.Pid)
	forget()
	forced, timedOut := stop.dead()
	waitErr := cmd.Wait() // reaps: until here the number of the group could not become somebody else's
	var res Result
	if out != nil {
		res.Output = out.finish()
	}
	res.TimedOut = timedOut
	if forced && !timedOut {
		res.Err = ctx.Err()
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		if ws.Signaled() {
			res.Signal = ws.Signal()
		} else {
			res.Status = ws.ExitStatus()
		}
	} else if res.Err == nil {
		res.Err = waitErr
	}
	return res
}

// prepare fills in all of exec.Cmd but the output.
func prepare(c Command) (*exec.Cmd, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil, ErrEmpty
	}
	path := c.Args[0]
	if !strings.Contains(path, "/") {
		found, err := exec.LookPath(path)
		if err != nil {
			return nil, startError(c, err)
		}
		path = found
	}
	cmd := &exec.Cmd{Path: path, Args: c.Args, Env: environ(c.Env)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if c.User != nil && !c.User.current() {
		cmd.SysProcAttr.Credential = c.User.credential()
	}
	return cmd, nil
}

// startError says why a program could not be started.
func startError(c Command, err error) error {
	var path *os.PathError
	var search *exec.Error
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &search):
		err = search.Err
	}
	return fmt.Errorf("run %s: %w", c.Name(), err)
}

// environ returns this process's environment without what concerns only its own service manager, and extra.
func environ(extra []string) []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
		default:
			env = append(env, e)
		}
	}
	return append(env, extra...)
}

// waitDead waits until pid has ended, and leaves it to be reaped.
func waitDead(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

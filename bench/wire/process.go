package wire

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is something that runs in a namespace until it is stopped.
type process struct {
	name  string
	cmd   *exec.Cmd
	said  bytes.Buffer // on standard error; to be read when it has ended
	ended chan struct{}
}

func startProcess(n *namespace, name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &p.said
	if err := n.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = cmd.Wait() // how it ended is in its ProcessState
		close(p.ended)
	}()
	return p, nil
}

// stop kills the process and waits until it is gone. Its sockets and programs go with it.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// failure returns why the process has ended by itself; nil while it runs.
func (p *process) failure() error {
	select {
	case <-p.ended:
		last := bytes.TrimSpace(p.said.Bytes())
		last = last[bytes.LastIndexByte(last, '\n')+1:]
		return fmt.Errorf("%s has ended (%v): %s", p.name, p.cmd.ProcessState, last)
	default:
		return nil
	}
}

// cpuTime returns the nanoseconds that the threads of processes have run, the kernel's work in their name included
// (proc_pid_schedstat(5)). A process that is gone has none.
func cpuTime(pids ...int) (ns int64) {
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue // a thread that has just ended
			}
			if w := strings.Fields(string(b)); len(w) > 0 {
				n, _ := strconv.ParseInt(w[0], 10, 64)
				ns += n
			}
		}
	}
	return ns
}

// sleeps returns how often the threads of processes have slept, which is counted where they give up their processor by
// themselves (proc_pid_status(5)).
func sleeps(pids ...int) (n int64) {
	const counter = "voluntary_ctxt_switches:"
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue // a thread that has just ended
			}
			for line := range strings.Lines(string(b)) {
				if rest, ok := strings.CutPrefix(line, counter); ok {
					more, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
					n += more
				}
			}
		}
	}
	return n
}

// napiThreads returns the kernel's threads that receive on an interface.
func napiThreads(dev string) []int { return threadsNamed("napi/" + dev + "-") }

// threadsNamed returns the processes whose names begin so.
func threadsNamed(name string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(b), name) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// pinTo binds threads to a processor.
func pinTo(cpu int, pids ...int) error {
	var set unix.CPUSet
	set.Set(cpu)
	for _, pid := range pids {
		if err := unix.SchedSetaffinity(pid, &set); err != nil {
			return fmt.Errorf("pin thread %d to processor %d: %w", pid, cpu, err)
		}
	}
	return nil
}

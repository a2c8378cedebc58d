package track

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxCmdline is how much of a command line is looked at.
const maxCmdline = 32 << 10

// systemProc is where the kernel tells of processes.
const systemProc = "/proc"

// eachProcess calls f for every process that is no zombie, with its number, its name and, if asked for, its command line. A process
// that ends meanwhile is left out.
func eachProcess(proc string, cmdline bool, f func(pid int, comm string, args []string)) {
	dir, err := os.Open(proc)
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	buf := make([]byte, maxCmdline)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, ok := slurp(filepath.Join(proc, name, "stat"), buf)
		if !ok {
			continue
		}
		comm, running := parseStat(stat)
		if !running {
			continue
		}
		var args []string
		if cmdline {
			line, ok := slurp(filepath.Join(proc, name, "cmdline"), buf)
			if !ok {
				continue
			}
			args = splitArgs(line)
		}
		f(pid, comm, args)
	}
}

// slurp reads the beginning of a small file into buf.
func slurp(path string, buf []byte) ([]byte, bool) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	defer syscall.Close(fd)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		return nil, false
	}
	return buf[:n], true
}

// parseStat returns the name in a /proc/PID/stat (proc_pid_stat(5)), which may itself contain blanks and parentheses,
// and whether the process runs: it is neither a zombie nor dead.
func parseStat(stat []byte) (comm string, running bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open || end+2 >= len(stat) {
		return "", false
	}
	switch stat[end+2] {
	case 'Z', 'X', 'x':
		return "", false
	}
	return string(stat[open+1 : end]), true
}

// splitArgs splits a /proc/PID/cmdline. A kernel thread has none.
func splitArgs(line []byte) []string {
	if len(line) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
}

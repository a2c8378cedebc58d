package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/reassembly"
	"dirsw/xsk"
)

// unpinned stands for a core: the worker may run on any.
const unpinned = -1

// crew returns the core of each worker. Queues are those of the interface with the fewest, CPUs those that this process
// may use. A single worker that nobody asked to pin stays free: what else runs on the machine may push it aside.
func crew(d *config.Dataplane, queues int, cpus []int) []int {
	switch {
	case len(d.Cores) > 0:
		return d.Cores
	case d.AutoCores:
		n := min(queues, len(cpus))
		if d.Workers > 0 {
			n = d.Workers
		}
		if n > 1 && n <= len(cpus) {
			return cpus[:n]
		}
		return free(max(n, 1))
	}
	return free(max(d.Workers, 1))
}

// free is n workers that may run anywhere.
func free(n int) []int {
	cores := make([]int, n)
	for i := range cores {
		cores[i] = unpinned
	}
	return cores
}

// fewestQueues returns how many workers all ports have queues for.
func fewestQueues(ports []xsk.PortOptions, tx []int, served int) int {
	fewest := 0
	for i := range ports {
		n := tx[i]
		if ports[i].Receive {
			n = min(n, ports[i].Queues)
			if served > 0 {
				n = min(n, served)
			}
		}
		if fewest == 0 || n < fewest {
			fewest = n
		}
	}
	return max(fewest, 1)
}

// allowedCPUs lists the CPUs that this process may use.
func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("ask which CPUs may be used: %w", err)
	}
	var list []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list, nil
}

// usable says which core no worker can have, before anything is taken from the kernel.
func usable(cores, cpus []int) error {
	for _, c := range cores {
		if c != unpinned && !slices.Contains(cpus, c) {
			return fmt.Errorf("core %d is not there, or this process may not use it (taskset, cpuset); name some of %s", c, ranges(cpus))
		}
	}
	return nil
}

// ranges writes numbers that ascend as the kernel does: 0-3,8.
func ranges(list []int) string {
	var s strings.Builder
	for i := 0; i < len(list); i++ {
		first := i
		for i+1 < len(list) && list[i+1] == list[i]+1 {
			i++
		}
		if first > 0 {
			s.WriteByte(',')
		}
		if s.WriteString(strconv.Itoa(list[first])); i > first {
			s.WriteString("-" + strconv.Itoa(list[i]))
		}
	}
	return s.String()
}

// pin binds the calling thread to a core.
func pin(core int) error {
	if core == unpinned {
		return nil
	}
	var cpus unix.CPUSet
	cpus.Set(core)
	if err := unix.SchedSetaffinity(0, &cpus); err != nil {
		return fmt.Errorf("pin a worker to core %d: %w; it was usable at the start, name another one", core, err)
	}
	return nil
}

// newWorkers makes a team on the lanes of set. The room for connections is shared out evenly.
func newWorkers(d *config.Dataplane, set *xsk.Set, n int, c clock.Clock) (team []*forward.Worker, err error) {
	room := d.Connections
	if room == 0 {
		room = conntrack.DefaultMaxConns
	}
	o := forward.Options{Spin: d.Wait == config.WaitBusy, TimeOfDay: timeOfDay(time.Now(), c)}
	for i := range n {
		o.Table = conntrack.Options{MaxConns: (room + n - 1) / n, Seed: rand.Uint64()}
		o.Fragments = reassembly.Options{Seed: rand.Uint64()}
		w, err := forward.NewWorker(i, set.Lane(i), o)
		if err != nil {
			closeWorkers(team)
			return nil, err
		}
		team = append(team, w)
	}
	forward.Join(team)
	return team, nil
}

// closeWorkers gives their tables back. What that can fail with, nobody could do anything about: the process ends.
func closeWorkers(team []*forward.Worker) {
	for _, w := range team {
		_ = w.Close()
	}
}

// parseCores reads --cores into d: auto, or numbers with commas between.
func parseCores(s string, d *config.Dataplane) (errs []error) {
	d.Cores, d.AutoCores, d.Workers = nil, s == "auto", 0
	if d.AutoCores {
		return nil
	}
	for _, s := range strings.Split(s, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			errs = append(errs, fmt.Errorf("--cores: %q is not a core; write numbers from 0, or auto", s))
		}
		d.Cores = append(d.Cores, n)
	}
	return errs
}

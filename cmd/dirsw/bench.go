package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"dirsw/bench/loop"
	"dirsw/bench/replay"
	"dirsw/config"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/packet"
)

// shortestBench is what a measurement takes at least: in less there is no packet at 99.9 percent.
const shortestBench = 10 * time.Millisecond

// cmdBench loops a capture through the pipeline of a configuration and says what a packet costs.
func cmdBench(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("bench", "-f FILE in.pcap [-mac MAC] [-for DURATION] [-json]", stderr)
	file := fs.String("f", defaultConfig, "configuration `file`")
	var id string
	defineID(fs, &id)
	mac := fs.String("mac", "", "the director's own Ethernet `address` (default: where the first packet for a service goes)")
	length := fs.Duration("for", 2*time.Second, "measure for this `duration`")
	asJSON := fs.Bool("json", false, "print JSON")
	if code := parse(args); code >= 0 {
		return code
	}
	in := fs.Arg(0)
	if fs.NArg() > 1 { // flags may stand behind the name as well
		if code := parse(fs.Args()[1:]); code >= 0 {
			return code
		}
	}
	if in == "" || fs.NArg() > 0 && fs.Arg(0) != in || *length < shortestBench {
		fmt.Fprintf(stderr, "dirsw bench: name one capture, and a duration of at least %v: dirsw bench -f FILE in.pcap -for 2s\n", shortestBench)
		return exitUsage
	}
	m, _, err := loadAs(*file, id)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	p := &player{quiet: true, out: io.Discard, servers: map[string]int{}}
	if *mac != "" {
		if p.mac, err = parseMAC(*mac); err != nil {
			fail(stderr, "bench", err)
			return exitUsage
		}
	}
	r, err := benchCapture(ctx, p, m, in, *length)
	if err != nil {
		return fail(stderr, "bench", fmt.Errorf("%s: %w", in, err))
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return fail(stderr, "bench", err)
		}
		return exitOK
	}
	r.print(stdout)
	return exitOK
}

// benchReport is what is said of a capture.
type benchReport struct {
	Frames       int `json:"framesOfCapture"` // that are looped
	LeftToKernel int `json:"leftToKernel"`    // for no service, or for another station
	TooLong      int `json:"tooLong"`         // for a buffer: not looped
	*loop.Result
	remark string
}

// benchCapture reads the frames for the services from a capture and measures a worker with them.
func benchCapture(ctx context.Context, p *player, m *config.Model, in string, length time.Duration) (*benchReport, error) {
	f, err := os.Open(in)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	way := captureWays(m)
	capture, err := replay.Open(bufio.NewReader(f), nil, replay.Options{Name: way.ports[0].Name, MAC: way.ports[0].MAC,
		MTU: way.ports[0].MTU, Unfinished: true, Wanted: p.wanted})
	if err != nil {
		return nil, err
	}
	p.lane = &captureLane{Lane: capture, stack: way.ports[1]}
	worker, snap, err := offlineWorker(m, way, p.lane, nil)
	if err != nil {
		return nil, err
	}
	defer worker.Close()
	p.filter = snap.Filter()
	r := &benchReport{remark: way.remark}
	frames, err := p.frames(r)
	if err != nil {
		return nil, err
	}
	r.Result, err = benchWorker(ctx, worker, loop.Options{Frames: frames, Ports: p.lane.Ports(), For: length})
	return r, err
}

// frames reads all that the services are for.
func (p *player) frames(r *benchReport) ([][]byte, error) {
	var all [][]byte
	var b packet.Batch
	for _, ok := p.lane.Next(); ok; _, ok = p.lane.Next() {
		if _, err := p.lane.Recv(&b); err != nil {
			return nil, err
		}
		for i := range b.N {
			if f := b.Frames[i].Bytes(); len(f) <= loop.MaxFrame {
				all = append(all, bytes.Clone(f))
			} else {
				r.TooLong++
			}
		}
		p.lane.Drop(&b)
	}
	r.Frames, r.LeftToKernel = len(all), p.lane.LeftToKernel()
	if err := p.lane.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("no packet of the capture is for a service of the configuration; dirsw replay says where they go")
	}
	return all, nil
}

// benchWorker measures on a goroutine whose thread, which is pinned, ends with it.
func benchWorker(ctx context.Context, w *forward.Worker, o loop.Options) (*loop.Result, error) {
	type result struct {
		r   *loop.Result
		err error
	}
	done := make(chan result)
	go func() {
		r, err := loop.Measure(ctx, w, o)
		done <- result{r, err}
	}()
	r := <-done
	return r.r, r.err
}

func (r *benchReport) print(w io.Writer) {
	fmt.Fprintf(w, "%d frames, again and again", r.Frames)
	if r.LeftToKernel > 0 {
		fmt.Fprintf(w, "; %d of the capture are not for a service here", r.LeftToKernel)
	}
	if r.TooLong > 0 {
		fmt.Fprintf(w, "; %d are longer than the %d bytes of a buffer", r.TooLong, loop.MaxFrame)
	}
	fmt.Fprintf(w, "\n%d packets in batches of %.1f\n", r.Packets, r.Batch)
	fmt.Fprintf(w, "  %12.0f packets/s of one processor\n  %12.1f ns a packet, %.1f of them the lane's\n", r.PerSecond, r.Ns, r.LaneNs)
	if h := r.Hardware; h != nil {
		fmt.Fprintf(w, "  %12.1f cycles, %.1f instructions, %.2f cache misses a packet\n", h.Cycles, h.Instructions, h.CacheMisses)
	} else {
		fmt.Fprintf(w, "  %12s cycles, instructions and cache misses: %s\n", "-", r.HardwareError)
	}
	fmt.Fprintf(w, "  %12.4f allocations a packet\n", r.Allocs)
	us := func(ns uint64) float64 { return float64(ns) / 1e3 }
	fmt.Fprintf(w, "  %12.2f us in the worker at the median, %.2f at 99 %%, %.2f at 99.9 %%, %.2f at most (the others of its batch included)\n",
		us(r.Latency.P50), us(r.Latency.P99), us(r.Latency.P999), us(r.Latency.Max))
	fmt.Fprintf(w, "  %12.2f %% forwarded\n", 100*r.Forwarded)
	for _, d := range r.Drops {
		fmt.Fprintf(w, "  %12.2f %% dropped, %v: %s\n", 100*d.Share, d.Reason, director.DropText(d.Reason))
	}
	fmt.Fprint(w, r.remark)
}

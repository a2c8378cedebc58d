package director

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/config/keepalived"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

var update = flag.Bool("update", false, "write the golden files anew")

func parse(t *testing.T, text string) *config.Model {
	t.Helper()
	m, _, err := keepalived.Parse("test.conf", strings.NewReader(text), &keepalived.Options{Open: func(string) (io.ReadCloser, error) {
		return nil, os.ErrNotExist
	}})
	if err == nil {
		err = m.Validate(sched.Names())
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestCompile plays the files of testdata: configurations one after the other, each divided by a line of dashes, and after
// a line "====" the snapshots that they lead to.
func TestCompile(t *testing.T) {
	files, _ := filepath.Glob("testdata/compile-*.txt")
	if len(files) == 0 {
		t.Fatal("no testdata")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := bytes.Cut(text, []byte("====\n"))
			got := compileAll(t, string(in))
			if *update {
				if err := os.WriteFile(file, []byte(string(in)+"====\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// compileAll compiles the configurations one after the other. A line "# next hops: A B" in one gives those real servers a
// resolved next hop; "# local: A B" are addresses of this host; "# busy: A" counts a connection on that real server first.
func compileAll(t *testing.T, in string) string {
	var out strings.Builder
	var prev *forward.Snapshot
	for _, text := range strings.Split(in, "----\n") {
		inputs := &Inputs{Model: AllWell(parse(t, text)), Hops: map[netip.Addr]forward.Hop{}, Workers: 1}
		for _, line := range strings.Split(text, "\n") {
			if rest, ok := strings.CutPrefix(line, "# next hops: "); ok {
				for i, a := range strings.Fields(rest) {
					inputs.Hops[netip.MustParseAddr(a)] = forward.Hop{OK: true, MTU: 1500,
						Src: packet.MAC{2, 0, 0, 0, 0, 1}, Dst: packet.MAC{2, 0, 0, 0, 1, byte(i)}}
				}
			}
			if rest, ok := strings.CutPrefix(line, "# local: "); ok {
				for _, a := range strings.Fields(rest) {
					inputs.Local = append(inputs.Local, packet.AddrFrom(netip.MustParseAddr(a)))
				}
			}
			if rest, ok := strings.CutPrefix(line, "# busy: "); ok {
				for i := range prev.Dests {
					if prev.Dests[i].Addr.String() == rest {
						prev.Dests[i].Load.Add(0, 1, 0, 0)
					}
				}
			}
		}
		s, err := Compile(inputs, prev)
		if err != nil {
			fmt.Fprintf(&out, "refused:\n%v\n", err)
			continue
		}
		dump(&out, s)
		prev = s
	}
	return out.String()
}

func dump(w io.Writer, s *forward.Snapshot) {
	fmt.Fprintf(w, "generation %d\n", s.Gen)
	for i := range s.Services {
		svc := &s.Services[i]
		fmt.Fprintf(w, "  service %d %s sched %s gen %d pool gen %d taken %v gone %v", i, describeService(svc, nil),
			svc.Kind.Name, svc.SchedGen, svc.PoolGen, svc.Taken, svc.Gone)
		if svc.Persistence > 0 {
			fmt.Fprintf(w, " mask %x", svc.Mask[8:])
		}
		fmt.Fprint(w, " list")
		for _, d := range svc.Pool.Dests {
			fmt.Fprintf(w, " %d:w%d", d.ID, d.Weight)
		}
		fmt.Fprintln(w)
	}
	for i := range s.Dests {
		d := &s.Dests[i]
		fmt.Fprintf(w, "  dest %d of %d %s %v weight %d x %d y %d gone %v hop", i, d.Service, addrPort(d.Addr, d.Port),
			d.Method, d.Weight, d.Upper, d.Lower, d.Gone)
		if d.Ends || d.Established != 0 {
			fmt.Fprintf(w, " ends %v established %d", d.Ends, d.Established)
		}
		if d.Method == forward.TUN {
			fmt.Fprintf(w, " tunnel %+v", d.Tunnel)
		}
		if d.Hop.OK {
			fmt.Fprintf(w, " %v -> %v", macString(d.Hop.Src), macString(d.Hop.Dst))
		}
		fmt.Fprintln(w)
	}
	if len(s.Shut) > 0 {
		fmt.Fprintln(w, "  shut", s.Shut)
	}
	fmt.Fprint(w, "  filter")
	for _, k := range s.Filter().Keys {
		if fmt.Fprint(w, " "); k.Kind != forward.ToService {
			fmt.Fprintf(w, "%v:", k.Kind)
		}
		fmt.Fprintf(w, "%s/%s", protoName(k.Proto), addrPort(k.Addr, k.Port))
	}
	fmt.Fprintln(w)
}

package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// written is a Model in words: "S:origin:scheduler [real:origin:weight …]" for each service, "tcp N" for a timeout.
func written(m *Model) string {
	var out []string
	for i := range m.Services {
		s := &m.Services[i]
		var reals []string
		for k := range s.Reals {
			r := &s.Reals[k]
			reals = append(reals, r.Key().String()+":"+r.Origin.String()+":"+show(r.Weight))
		}
		out = append(out, s.Key().String()+":"+s.Origin.String()+":"+s.Scheduler+" ["+strings.Join(reals, " ")+"]")
	}
	if t := m.Globals.Timeouts.TCP; t != 0 {
		out = append(out, "tcp "+t.String())
	}
	return strings.Join(out, "\n")
}

// service makes one of a port with servers in the notation of servers.
func service(port uint16, o Origin, scheduler string, reals ...Real) Service {
	return Service{Addr: netip.MustParseAddr("192.0.2.1"), Port: port, Proto: TCP, Origin: o, Scheduler: scheduler, Reals: reals}
}

func server(last byte, o Origin, weight int) Real {
	return Real{Addr: netip.AddrFrom4([4]byte{198, 51, 100, last}), Port: 80, Origin: o, Weight: weight}
}

func TestMerge(t *testing.T) {
	tcp := func(d time.Duration) Globals { return Globals{Timeouts: Timeouts{TCP: d}} }
	for _, tt := range []struct {
		name                string
		base, running, file Model
		want                string
		notes               int
	}{
		{name: "nothing anywhere"},
		{name: "a new file",
			base:    Model{Services: []Service{service(80, FromFile, "rr", server(1, FromFile, 1))}},
			running: Model{Services: []Service{service(80, FromFile, "rr", server(1, FromFile, 1))}},
			file:    Model{Services: []Service{service(81, FromFile, "wrr", server(2, FromFile, 2))}},
			want:    "TCP 192.0.2.1:81:file:wrr [198.51.100.2:80:file:2]"},
		{name: "what commands made stays",
			running: Model{Services: []Service{service(90, FromCommand, "sh", server(9, FromCommand, 3)),
				service(80, FromFile, "rr", server(1, FromFile, 1), server(2, FromCommand, 2))}},
			file: Model{Services: []Service{service(80, FromFile, "rr", server(1, FromFile, 1), server(3, FromFile, 1))}},
			want: "TCP 192.0.2.1:90:command:sh [198.51.100.9:80:command:3]\n" +
				"TCP 192.0.2.1:80:file:rr [198.51.100.1:80:file:1 198.51.100.2:80:command:2 198.51.100.3:80:file:1]"},
		{name: "what commands changed or deleted is as the file says",
			running: Model{Services: []Service{service(80, FromFile, "sh", server(1, FromFile, 0))}},
			file: Model{Services: []Service{service(80, FromFile, "rr", server(1, FromFile, 5), server(2, FromFile, 1)),
				service(81, FromFile, "rr")}},
			want: "TCP 192.0.2.1:80:file:rr [198.51.100.1:80:file:5 198.51.100.2:80:file:1]\nTCP 192.0.2.1:81:file:rr []"},
		{name: "both name it: the file's, with the servers of both",
			running: Model{Services: []Service{service(80, FromCommand, "sh", server(1, FromCommand, 7), server(2, FromCommand, 8))}},
			file:    Model{Services: []Service{service(80, FromFile, "rr", server(2, FromFile, 1))}},
			want:    "TCP 192.0.2.1:80:file:rr [198.51.100.1:80:command:7 198.51.100.2:80:file:1]", notes: 2},
		{name: "gone from the file with the servers of commands",
			running: Model{Services: []Service{service(80, FromFile, "rr", server(1, FromFile, 1), server(2, FromCommand, 1))}},
			want:    "", notes: 1},
		{name: "a timeout of a command stays", running: Model{Globals: tcp(time.Minute)}, want: "tcp 1m0s"},
		{name: "a timeout of the file wins", running: Model{Globals: tcp(time.Minute)}, file: Model{Globals: tcp(time.Hour)},
			want: "tcp 1h0m0s"},
		{name: "a timeout that leaves the file goes", base: Model{Globals: tcp(time.Minute)}, running: Model{Globals: tcp(time.Minute)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := written(&tt.running)
			got, notes := Merge(&tt.base, &tt.running, &tt.file)
			if w := written(got); w != tt.want {
				t.Errorf("got\n%s\nwant\n%s", w, tt.want)
			}
			if len(notes) != tt.notes {
				t.Errorf("notes %v, want %d", notes, tt.notes)
			}
			again, _ := Merge(&tt.file, got, &tt.file)
			if written(again) != tt.want {
				t.Errorf("merged again:\n%s", written(again))
			}
			for i := range got.Services {
				got.Services[i].Scheduler = "changed"
				for k := range got.Services[i].Reals {
					got.Services[i].Reals[k].Weight = 99
				}
			}
			if written(&tt.running) != before || slices.ContainsFunc(tt.file.Services, func(s Service) bool { return s.Scheduler == "changed" }) {
				t.Error("the merged Model shares services with what it was made of")
			}
		})
	}
}

func TestMergeKeepsBirths(t *testing.T) {
	running := Model{Births: 9, Services: []Service{service(80, FromFile, "rr", server(1, FromFile, 1))}}
	running.Services[0].Birth, running.Services[0].Reals[0].Birth = 4, 5
	file := Model{Services: []Service{service(80, FromFile, "wrr", server(1, FromFile, 2))}}
	got, _ := Merge(&file, &running, &file)
	if got.Births != 9 || got.Services[0].Birth != 4 || got.Services[0].Reals[0].Birth != 5 {
		t.Errorf("births %d %d %d, want 9 4 5: a reload does not start anew what stays", got.Births, got.Services[0].Birth,
			got.Services[0].Reals[0].Birth)
	}
}

package director

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/health"
	"dirsw/script"
	"dirsw/track"
	"dirsw/vrrp"
)

// Objects are what is watched for a model: what instances, groups and checks depend on. Programs that cannot be run are left
// out with a note, as keepalived does, and so are they among what an instance depends on (see notRun).
func Objects(m *config.Model) (out []track.Object, notes []config.Note) {
	progs := newPrograms(&m.Globals.Scripts)
	for i := range m.VRRP.Scripts {
		s := &m.VRRP.Scripts[i]
		if !tracked(m, config.TrackScript, s.Name) {
			notes = append(notes, config.Note{Pos: s.Pos, Text: fmt.Sprintf("vrrp_script %s is not run: nobody tracks it", s.Name)})
			continue
		}
		c, err := progs.command(&s.Command, 0)
		if err != nil {
			notes = append(notes, config.Note{Pos: s.Pos, Text: fmt.Sprintf("vrrp_script %s: %v: it is not run, and nobody waits for it", s.Name, err)})
			continue
		}
		out = append(out, track.Script{Name: s.Name, Command: c, Interval: s.Interval, Timeout: s.Timeout, Rise: s.Rise, Fall: s.Fall,
			InitFail: s.InitFail})
	}
	for i := range m.VRRP.Files {
		f := &m.VRRP.Files[i]
		if !tracked(m, config.TrackOfFile, f.Name) && !checkedByFile(m, f.Name) {
			continue
		}
		o := track.File{Name: f.Name, Path: f.Path, Overwrite: f.Init == config.FileInitAlways}
		if f.Init != config.FileInitNo {
			o.Init = &f.Value
		}
		out = append(out, o)
	}
	for i := range m.VRRP.Processes {
		if p := &m.VRRP.Processes[i]; tracked(m, config.TrackOfProcess, p.Name) {
			out = append(out, process(p))
		}
	}
	for i := range m.VRRP.Arbiters {
		if a := &m.VRRP.Arbiters[i]; tracked(m, config.TrackArbiter, a.Name) {
			out = append(out, arbiter(a))
		}
	}
	return out, notes
}

// notRun are the scripts that cannot be run: the election goes on without them.
func notRun(m *config.Model) map[string]bool {
	progs, out := newPrograms(&m.Globals.Scripts), map[string]bool{}
	for i := range m.VRRP.Scripts {
		if _, err := progs.command(&m.VRRP.Scripts[i].Command, 0); err != nil {
			out[m.VRRP.Scripts[i].Name] = true
		}
	}
	return out
}

func process(p *config.TrackProcess) track.Process {
	out := track.Process{Name: p.Name, Command: p.Command, Params: p.Params, Full: p.FullCommand, Quorum: p.Quorum,
		ForkDelay: p.UpDelay, TerminateDelay: p.DownDelay,
		Match: [...]track.Match{config.ParamAny: track.MatchNone, config.ParamExact: track.MatchExact,
			config.ParamInitial: track.MatchInitial, config.ParamPartial: track.MatchPartial}[p.Match]}
	if p.QuorumMax != config.NoQuorumMax {
		out.Max, out.Limited = p.QuorumMax, true
	}
	return out
}

func arbiter(a *config.Arbiter) track.Arbiter {
	return track.Arbiter{Name: a.Name, Quorum: a.Quorum, Interval: a.Interval, Timeout: a.Timeout, Rise: a.Rise, Fall: a.Fall,
		Addresses: a.Addresses}
}

// tracked reports whether an instance or a group depends on a thing.
func tracked(m *config.Model, kind config.TrackKind, name string) bool {
	names := func(t config.Track) bool { return t.Kind == kind && t.Name == name }
	return slices.ContainsFunc(m.Instances, func(in config.Instance) bool { return slices.ContainsFunc(in.Tracks, names) }) ||
		slices.ContainsFunc(m.VRRP.Groups, func(g config.SyncGroup) bool { return slices.ContainsFunc(g.Tracks, names) })
}

// checkedByFile reports whether a FILE_CHECK looks at a file.
func checkedByFile(m *config.Model, name string) bool {
	return slices.ContainsFunc(m.Services, func(s config.Service) bool {
		return slices.ContainsFunc(s.Reals, func(r config.Real) bool {
			return slices.ContainsFunc(r.Checks, func(c config.Check) bool { return c.File != nil && c.File.TrackFile == name })
		})
	})
}

// tracked is told by the tracker, on goroutines of its own.
func (d *Director) trackedIs(s track.State) {
	kind := map[track.Kind]vrrp.TrackKind{track.KindScript: vrrp.TrackScript, track.KindFile: vrrp.TrackFile,
		track.KindProcess: vrrp.TrackProcess, track.KindArbiter: vrrp.TrackArbiter}[s.Kind]
	d.election.Track(kind, s.Name, vrrp.TrackState{Known: s.Known, Up: s.Up, Value: s.Value})
	if s.Kind == track.KindFile {
		d.prober.Feed(health.KindFile, s.Name, int64(s.Value))
	}
}

// watch has what a model depends on watched.
func (d *Director) watch(m *config.Model) error {
	objects, notes := Objects(m)
	for _, n := range notes {
		d.o.Log.Warn(n.Text, zap.Stringer("at", n.Pos))
	}
	return d.tracker.Set(objects)
}

// newTracker makes the tracker.
func (d *Director) newTracker() *track.Tracker {
	return track.New(track.Options{Clock: d.o.Clock, Log: d.o.Log, Runner: script.Runner{Clock: d.o.Clock}, Changed: d.trackedIs})
}

// background runs f until the function that it returns is called, which waits for its end.
func (d *Director) background(what string, f func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			d.o.Log.Error(what+" has ended", zap.Error(err))
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

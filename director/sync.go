package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/connsync"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/stats"
	"dirsw/vrrp"
)

// syncDaemon is a daemon of connection synchronisation that runs. One of master and backup is there.
type syncDaemon struct {
	config.SyncDaemon
	tuning syncTuning
	master *connsync.Master
	backup *connsync.Backup
	end    func()
}

// syncTuning is what of the settings a daemon is started with.
type syncTuning struct {
	version      connsync.Version
	ports, queue int
	buffer       int // of the socket, bytes
}

// syncBuffer is the buffer of a socket where sync_sock_size does not say it: a master that tells its whole table sends faster
// than workers that are busy take it in.
const syncBuffer = 4 << 20

func syncTuningOf(d *config.Dataplane) syncTuning {
	t := syncTuning{version: connsync.Version(d.SysctlNumber("sync_version")), ports: int(d.SysctlNumber("sync_ports")),
		queue: int(d.SysctlNumber("sync_qlen_max")), buffer: int(d.SysctlNumber("sync_sock_size"))}
	if t.buffer == 0 {
		t.buffer = syncBuffer
	}
	return t
}

// syncSettings are what the workers do about synchronisation with these daemons.
func syncSettings(d *config.Dataplane, daemons []config.SyncDaemon) forward.Sync {
	s := forward.Sync{BackupOnly: d.SysctlNumber("backup_only") != 0, PersistMode: d.SysctlNumber("sync_persist_mode") != 0,
		Version0: d.SysctlNumber("sync_version") == 0, Retries: uint8(d.SysctlNumber("sync_retries")),
		Refresh: time.Duration(d.SysctlNumber("sync_refresh_period")) * time.Second}
	for i := range daemons {
		s.Master = s.Master || daemons[i].Master
		s.Backup = s.Backup || !daemons[i].Master
	}
	threshold, period, _ := strings.Cut(d.Sysctl("sync_threshold"), " ")
	s.Threshold, s.Period = number(threshold), number(period)
	return s
}

// number reads one of a setting that was validated.
func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		panic("director: a setting that was not validated: " + s)
	}
	return uint32(n)
}

// syncWanted returns the daemons that are to run for m now.
func (d *Director) syncWanted(m *config.Model) []config.SyncDaemon {
	if d.o.Sync == nil || m.Globals.Sync == nil && len(m.Daemons) == 0 {
		return nil
	}
	return m.SyncDaemons(d.isMaster, func(link string) int {
		l, err := d.o.Host.Link(link)
		if err != nil {
			return 0
		}
		return l.MTU
	})
}

// isMaster reports whether an instance is master.
func (d *Director) isMaster(instance string) bool {
	states, _ := d.election.States()
	return slices.ContainsFunc(states, func(in vrrp.InstanceState) bool { return in.Config.Name == instance && in.State == vrrp.Master })
}

// synchronise has those daemons run that are to run now. Workers tell of connections, or do no more, before who sends what
// they tell begins or ends: so nothing is left behind when a master becomes backup.
func (d *Director) synchronise() {
	now := d.now.Load()
	wanted := d.syncWanted(now.wanted)
	tuning := syncTuningOf(&now.wanted.Dataplane)
	is := syncSettings(&now.wanted.Dataplane, wanted)
	if was := &now.snap.Sync; was.Master != is.Master || was.Backup != is.Backup {
		d.pursue("the role in connection synchronisation has changed and cannot be followed")
	}
	running := d.syncing()
	var next []*syncDaemon
	for _, r := range running {
		if r.tuning == tuning && slices.Contains(wanted, r.SyncDaemon) {
			next = append(next, r)
			continue
		}
		r.end()
		d.o.Log.Info("connection synchronisation has ended", syncFields(&r.SyncDaemon)...)
	}
	for i := range wanted {
		if w := &wanted[i]; !slices.ContainsFunc(next, func(r *syncDaemon) bool { return r.SyncDaemon == *w }) {
			next = append(next, d.startSync(w, tuning))
			d.o.Log.Info("connection synchronisation has started", syncFields(w)...)
		}
	}
	slices.SortStableFunc(next, func(a, b *syncDaemon) int { return a.SyncDaemon.Compare(b.SyncDaemon) })
	d.syncDaemons.Store(&next)
}

// syncFields describe a daemon for the log.
func syncFields(d *config.SyncDaemon) []zap.Field {
	role := "backup"
	if d.Master {
		role = "master"
	}
	return []zap.Field{zap.String("state", role), zap.String("mcast_ifn", d.Interface), zap.Int("syncid", d.SyncID),
		zap.Stringer("group", d.Group), zap.Uint16("port", d.Port)}
}

// syncing returns the daemons that run. Any goroutine; the list is never changed in place.
func (d *Director) syncing() []*syncDaemon {
	if p := d.syncDaemons.Load(); p != nil {
		return *p
	}
	return nil
}

func (d *Director) startSync(w *config.SyncDaemon, t syncTuning) *syncDaemon {
	s := &syncDaemon{SyncDaemon: *w, tuning: t}
	at := connsync.Endpoint{Interface: w.Interface, Group: w.Group, Port: w.Port, TTL: w.TTL, Buffer: t.buffer}
	run := func(context.Context) {}
	if w.Master {
		sources := make([]connsync.Source, len(d.o.Workers))
		for i := range sources {
			sources[i] = d.o.Workers[i]
		}
		s.master = connsync.NewMaster(connsync.MasterOptions{Clock: d.o.Clock, Log: d.o.Log, Sockets: d.o.Sync, Endpoint: at,
			SyncID: uint8(w.SyncID), MaxLen: w.MaxLen, Version: t.version, Ports: t.ports, QueueMax: t.queue, Sources: sources,
			Joined: func(backup netip.Addr) {
				d.o.Log.Info("a backup of connection synchronisation has begun", zap.Stringer("backup", backup))
				select {
				case d.greetings <- struct{}{}:
				default: // one is about to be told of everything: so will this
				}
			}})
		run = s.master.Run
	} else {
		s.backup = connsync.NewBackup(connsync.BackupOptions{Clock: d.o.Clock, Log: d.o.Log, Sockets: d.o.Sync, Endpoint: at,
			SyncID: uint8(w.SyncID), MaxLen: w.MaxLen, Ports: t.ports, Deliver: d.learn})
		run = s.backup.Run
	}
	s.end = d.background("connection synchronisation", func(ctx context.Context) error { run(ctx); return nil })
	return s
}

// learn hands a record to the worker that owns its client. It is called by the one Backup that runs, one at a time.
func (d *Director) learn(r *conntrack.Record) bool {
	return d.o.Workers[d.now.Load().snap.Steer.Owner(&r.Src, r.SrcPort)].Learn(r)
}

// unsync ends all daemons. What the workers have told by now is sent.
func (d *Director) unsync() {
	for _, r := range d.syncing() {
		r.end()
	}
	d.syncDaemons.Store(nil)
}

// ErrNoSyncMaster is the answer of TellAll where no master daemon runs.
var ErrNoSyncMaster = errors.New("no master daemon of connection synchronisation runs here")

// tellPause is what a worker that tells of its whole table, some thousands of entries at a time, leaves the others in between.
const tellPause = 50 * time.Millisecond

// TellAll has the master daemon tell of all connections that backups are ever told of, for one that has just come. It returns
// how many records that were, once they are on their way, or with an error how many until then.
func (d *Director) TellAll() (records int, err error) {
	d.telling.Lock()
	defer d.telling.Unlock()
	for w := range d.o.Workers {
		for t := (forward.Telling{}); !t.End; t.From = t.Next {
			if !slices.ContainsFunc(d.syncing(), func(s *syncDaemon) bool { return s.Master }) {
				return records, ErrNoSyncMaster
			}
			if err := d.command(w, forward.Command{Tell: &t}); err != nil {
				return records, fmt.Errorf("tell of the connections of worker %d: %w", w, err)
			}
			records += t.Told
			over := make(chan struct{})
			d.o.Clock.AfterFunc(tellPause, func() { close(over) })
			<-over
		}
	}
	return records, nil
}

// greetPause is the time between two tellings of everything for backups that begin.
const greetPause = 5 * time.Second

// greet tells backups that have begun of everything until ctx ends.
func (d *Director) greet(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.greetings:
		}
		n, err := d.TellAll()
		if err != nil {
			d.o.Log.Warn("a backup of connection synchronisation is not told of everything", zap.Int("records", n), zap.Error(err))
		} else {
			d.o.Log.Info("a backup of connection synchronisation is told of everything", zap.Int("records", n))
		}
		over := make(chan struct{})
		t := d.o.Clock.AfterFunc(greetPause, func() { close(over) })
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-over:
		}
	}
}

// syncStats fills in what the daemons and the workers, by the sum of their counters, have done.
func (d *Director) syncStats(dst *stats.Stats, sum *forward.Counters) {
	for _, s := range d.syncing() {
		dst.Daemons = append(dst.Daemons, stats.Daemon(s.SyncDaemon))
		out := stats.Sync{Master: s.Master}
		if s.master != nil {
			m := s.master.Status()
			out.Messages, out.Records, out.Errors, out.Dropped, out.Queued = m.Messages, m.Records, m.Errors, m.Dropped, m.Queued
		} else {
			b := s.backup.Status()
			out.Messages, out.Records, out.Dropped, out.From = b.Messages, b.Records, b.Dropped, b.From
			if b.From.IsValid() {
				out.Last = d.o.Clock.Now().Sub(b.Last)
			}
			for f, n := range b.Faults {
				if n > 0 {
					out.Faults = append(out.Faults, stats.Drop{Reason: connsync.Fault(f).String(), Frames: n})
				}
			}
		}
		dst.Sync = append(dst.Sync, out)
	}
	dst.SyncRecords = stats.SyncRecords{Told: sum.SyncTold, Lost: sum.SyncDropped, Learned: sum.SyncLearned, Renewed: sum.SyncRenewed}
	for why, n := range sum.SyncRefused {
		if n > 0 {
			dst.SyncRecords.Refused = append(dst.SyncRecords.Refused, stats.Drop{Reason: forward.Refusal(why).String(), Frames: n})
		}
	}
}

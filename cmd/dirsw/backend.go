package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/ctl"
	"dirsw/director"
	"dirsw/host"
	"dirsw/stats"
)

// backend answers the control socket.
type backend struct {
	d     *director.Director
	plane *dataplane
	h     *host.Host
	log   *zap.Logger
	file  string
	start time.Time
}

var _ ctl.Backend = (*backend)(nil)

// Stats adds to the director's numbers what only the process knows.
func (b *backend) Stats() (stats.Stats, error) {
	s := stats.Stats{Version: version, Start: b.start, Config: b.file, MemoryBytes: residentBytes()}
	b.d.ReadStats(&s)
	for i := range s.Workers {
		s.Workers[i].Core = b.plane.cores[s.Workers[i].ID]
	}
	s.Ports = b.plane.ports()
	for i := range s.Ports {
		l, err := b.h.Link(s.Ports[i].Name)
		s.Ports[i].Up = err == nil && l.Up
	}
	return s, nil
}

// residentBytes is the resident set of this process; 0 where /proc does not say.
func residentBytes() uint64 {
	var size, resident uint64
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return resident * uint64(os.Getpagesize())
}

func (b *backend) Conns(yield func(stats.Conn) bool) error { return b.d.Conns(yield) }

func (b *backend) Explain(query string) (string, error) { return b.d.Explain(query) }

// Reload reads the file again; the answer is what changed.
func (b *backend) Reload() (string, error) {
	changes, notes, err := b.d.Reload()
	for _, n := range notes {
		b.log.Info("configuration", zap.Stringer("at", n.Pos), zap.String("note", n.Text))
	}
	if err != nil {
		var list config.Errors
		if errors.As(err, &list) {
			for _, e := range list {
				b.log.Error("configuration refused, the one before stays in force", zap.Stringer("at", e.Pos),
					zap.String("complaint", e.Message), zap.String("fix", e.Fix))
			}
		} else {
			b.log.Error("configuration refused, the one before stays in force", zap.Error(err))
		}
		return "", err
	}
	for _, c := range changes {
		b.log.Info("changed", zap.Stringer("what", c))
	}
	b.log.Info("reloaded", zap.String("config", b.file), zap.Int("changes", len(changes)))
	return planText(changes), nil
}

// Do runs a command line in the director's own process. What it changed is in force when it returns.
func (b *backend) Do(verb string, args []string, stdin string) (ctl.Outcome, error) {
	switch verb {
	case "ipvsadm":
		return b.ipvsadm(args, stdin), nil
	case "sysctl":
		return b.sysctl(args), nil
	case "mark":
		return b.mark(args, stdin), nil
	case "vrrp":
		return b.vrrp(args), nil
	case "health":
		return b.health(args), nil
	case "sync":
		return b.sync(), nil
	case "reload":
		return b.foresee(), nil
	}
	return ctl.Outcome{}, fmt.Errorf("this director does not know the command %q", verb)
}

// edit changes what is in force and writes to the log what became of it.
func (b *backend) edit(change func(*config.Model) error) error {
	_, err := b.changes(change)
	return err
}

// changes is edit with what is different afterwards.
func (b *backend) changes(change func(*config.Model) error) ([]config.Change, error) {
	changes, err := b.d.Edit(change)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		b.log.Info("changed by a command", zap.Stringer("what", c))
	}
	return changes, nil
}

// reloadOn reloads for each signal until ctx ends. What there is to say of it is in the log.
func (b *backend) reloadOn(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			_, _ = b.Reload()
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/vrrp"
)

// Signals by which keepalived is asked to write what it knows into files, besides SIGUSR1 and SIGUSR2. sigJSON is
// SIGRTMIN+2, which `keepalived --signum=JSON` prints.
const sigJSON = syscall.Signal(36)

// dumpFiles are the files of the configuration, or keepalived's.
func dumpFiles(d *config.DumpGlobals) map[os.Signal]string {
	or := func(name, otherwise string) string {
		if name == "" {
			return filepath.Join(os.TempDir(), otherwise)
		}
		return name
	}
	return map[os.Signal]string{syscall.SIGUSR1: or(d.State, "keepalived.data"), syscall.SIGUSR2: or(d.Stats, "keepalived.stats"),
		sigJSON: or(d.JSON, "keepalived.json")}
}

// dumpOn writes the files that signals ask for, until ctx ends.
func (b *backend) dumpOn(ctx context.Context, o *config.DumpGlobals) {
	files := dumpFiles(o)
	asked := make(chan os.Signal, 4)
	for s := range files {
		signal.Notify(asked, s)
	}
	defer signal.Stop(asked)
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-asked:
			var text strings.Builder
			b.dump(&text, s, o.JSONVersion)
			if err := replaceFile(files[s], text.String()); err != nil {
				b.log.Warn("what a signal asked for cannot be written", zap.Stringer("signal", s), zap.Error(err))
				continue
			}
			b.log.Info("written, as a signal asked for", zap.Stringer("signal", s), zap.String("file", files[s]))
		}
	}
}

// dump writes what a signal asks for.
func (b *backend) dump(out io.Writer, s os.Signal, version int) {
	instances, groups := b.d.Election()
	now := b.plane.clock.Now()
	switch s {
	case sigJSON:
		dumpJSON(out, instancesJSON(instances, now, time.Now()), version)
	case syscall.SIGUSR2:
		for i := range instances {
			dumpCounters(out, &instances[i])
		}
	default:
		fmt.Fprintln(out, "------< VRRP Topology >------")
		for i := range instances {
			dumpInstance(out, &instances[i])
		}
		fmt.Fprintln(out)
		printInstances(out, instances, groups, now)
		fmt.Fprintln(out)
		printHealth(out, b.d.Health(), now)
	}
}

// dumpJSON writes the instances as json_version says: an array of them, or with 2 an object that has it as "vrrp".
func dumpJSON(out io.Writer, list []map[string]any, version int) {
	var v any = list
	if version == 2 {
		v = map[string]any{"vrrp": list}
	}
	_ = json.NewEncoder(out).Encode(v) // into memory, of plain data
}

// dumpCounters writes the counters of an instance as keepalived's SIGUSR2 does (vrrp_print.c).
func dumpCounters(out io.Writer, in *vrrp.InstanceState) {
	s, r := &in.Stats, &in.Stats.Rejects
	fmt.Fprintf(out, "VRRP Instance: %s\n  Advertisements:\n    Received: %d\n    Sent: %d\n  Became master: %d\n  Released master: %d\n",
		in.Config.Name, s.AdvertRcvd, s.AdvertSent, s.BecomeMaster, s.ReleaseMaster)
	fmt.Fprintf(out, "  Packet Errors:\n    Length: %d\n    TTL: %d\n    Invalid Type: %d\n    Advertisement Interval: %d\n    Address List: %d\n",
		r[vrrp.RejectLength], r[vrrp.RejectTTL], r[vrrp.RejectType], s.IntervalErr+r[vrrp.RejectInterval], s.AddrListErr)
	fmt.Fprintf(out, "  Authentication Errors:\n    Invalid Type: %d\n    Type Mismatch: %d\n    Failure: %d\n  Priority Zero:\n    Received: %d\n    Sent: %d\n",
		r[vrrp.RejectAuthUnknown], r[vrrp.RejectAuthType], r[vrrp.RejectAuthData], s.PriZeroRcvd, s.PriZeroSent)
}

// dumpInstance writes the lines of keepalived's SIGUSR1 that say how an instance stands.
func dumpInstance(out io.Writer, in *vrrp.InstanceState) {
	c := &in.Config
	fmt.Fprintf(out, " VRRP Instance = %s\n   VRRP Version = %d\n   State = %v\n   Wantstate = %v\n   Interface = %s\n   Virtual Router ID = %d\n",
		c.Name, c.Version, in.State, in.Want, c.Interface, c.VRID)
	fmt.Fprintf(out, "   Priority = %d\n   Effective priority = %d\n   Total priority = %d\n   Advert interval = %v\n   Virtual IP (%d):\n",
		in.BasePriority, in.Priority, in.TotalPriority, c.Interval, len(c.Addresses))
	for _, a := range addresses(in, c.Addresses) {
		fmt.Fprintf(out, "     %s\n", a)
	}
}

// replaceFile puts a file in the place of another: what stands there, also a link of somebody's, is not written to.
func replaceFile(name, text string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".dirsw-") // for its owner alone
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it may be there still
	}
	return err
}

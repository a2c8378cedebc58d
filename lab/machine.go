package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is a director of a scenario: a node, its files, and the dirsw that runs in it.
type machine struct {
	node         string
	conf, socket string    // paths
	d            *director // nil: it never ran
}

// machine prepares the director of a node. Its files are in the scenario's folder.
func (s *scene) newMachine(node string) *machine {
	return &machine{node: node, conf: filepath.Join(s.dir, node+".conf"), socket: filepath.Join(s.dir, node+".sock")}
}

// at is the scene as seen from another director: its methods then are about that one.
func (s *scene) at(m *machine) *scene {
	there := *s
	there.machine = m
	return &there
}

// boot starts dirsw with a configuration and returns when it says that it forwards.
func (s *scene) boot(conf string) (err error) {
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		return err
	}
	s.d, err = s.c.startDirector(s.ctx, s.node, s.self, s.conf, s.socket)
	return err
}

// reload gives a running dirsw another configuration.
func (s *scene) reload(conf string) error {
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		return err
	}
	_, err := s.dirsw("reload")
	return err
}

// instanceBlock is where a configuration begins a vrrp_instance.
var instanceBlock = regexp.MustCompile(`(?m)^\s*vrrp_instance\s`)

// elected waits until the director is master of every vrrp_instance of its configuration.
func (s *scene) elected(conf string) error {
	n := len(instanceBlock.FindAllString(conf, -1))
	err := poll(s.ctx, s.c.clk, ample, func() (bool, error) {
		select {
		case <-s.d.ended:
			return false, fmt.Errorf("dirsw ended: %w", s.d.err)
		default:
			return strings.Count(s.d.log.text(), "Entering MASTER STATE") >= n, nil
		}
	})
	if err != nil {
		return fmt.Errorf("%s does not become master: %w", s.node, err)
	}
	return nil
}

// stopAll ends every dirsw that still runs, however it likes that.
func stopAll(all ...*machine) {
	for _, m := range all {
		if m.d != nil {
			_ = m.d.stop(unix.SIGTERM, gentle) // killed if it does not hear; it has been judged already
		}
	}
}

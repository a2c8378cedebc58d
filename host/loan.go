package host

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// loan is a setting below net.ipv4.conf that is another than the operator left it.
type loan struct {
	Link string `json:"link"` // "all" and "default" among them
	Key  string `json:"key"`
	Was  string `json:"was"`
	Set  string `json:"set"`
}

// loans are the settings that this process has changed and will restore, and those that one before it did not live to. Where
// there is a file they are written there before they are changed. Any goroutine.
type loans struct {
	mu   sync.Mutex
	path string // empty: not kept
	made []loan
	left []loan // by a director that was killed
}

// kept is the file of loans.
type kept struct {
	Boot      string `json:"boot"`      // the kernel's boot_id
	Namespace string `json:"namespace"` // of the network
	Settings  []loan `json:"settings"`
}

// KeepSettings has the settings of links that Host and VMACs change written to a file, with what they were, and reads what
// the director before this one left there if it was killed: who changes such a setting again restores it to what it was
// then, and ReturnSettings restores the others. It is called once, before any is changed.
func (h *Host) KeepSettings(path string) {
	l := &h.loans
	l.mu.Lock()
	defer l.mu.Unlock()
	l.path = path
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var k kept
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		h.log.Warn("cannot read what settings of interfaces were before another director changed them", zap.Error(err))
		return
	}
	if k.Boot == bootID() && k.Namespace == h.ns64 {
		l.left = k.Settings
	}
}

// ReturnSettings restores what a director that was killed has changed, and what this one has not changed again.
func (h *Host) ReturnSettings() error {
	l := &h.loans
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for _, s := range l.left {
		if now, e := h.sysctl("ipv4", s.Link, s.Key); e != nil || now != s.Set {
			continue // the link is gone or new, or somebody has set it meanwhile
		}
		h.log.Info("restoring a setting that a director before this one changed", zap.String("interface", s.Link), zap.String("setting", s.Key),
			zap.String("from", s.Set), zap.String("to", s.Was))
		err = errors.Join(err, h.restore(&s))
	}
	l.left = nil
	h.keep()
	return err
}

// unlent returns what a setting is, but for what a director that was killed has made of it.
func (h *Host) unlent(link, key string) (string, error) {
	h.loans.mu.Lock()
	defer h.loans.mu.Unlock()
	now, err := h.sysctl("ipv4", link, key)
	if i := h.loans.leftBehind(link, key); err == nil && i >= 0 && h.loans.left[i].Set == now {
		return h.loans.left[i].Was, nil
	}
	return now, err
}

func (l *loans) leftBehind(link, key string) int {
	return slices.IndexFunc(l.left, func(s loan) bool { return s.Link == link && s.Key == key })
}

// borrow changes settings for a time. Was is what unlent says. Those that cannot be changed are borrowed all the same.
func (h *Host) borrow(list []loan) (err error) {
	l := &h.loans
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range list {
		if i := l.leftBehind(s.Link, s.Key); i >= 0 {
			l.left = slices.Delete(l.left, i, i+1)
		}
	}
	l.made = append(l.made, list...)
	h.keep()
	for _, s := range list {
		_, e := h.setSysctl("ipv4", s.Link, s.Key, s.Set)
		err = errors.Join(err, e)
	}
	return err
}

// giveBack restores what was borrowed. A link that is gone is no error.
func (h *Host) giveBack(list []loan) (err error) {
	l := &h.loans
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range list {
		err = errors.Join(err, h.restore(&s))
		if i := slices.Index(l.made, s); i >= 0 {
			l.made = slices.Delete(l.made, i, i+1)
		}
	}
	h.keep()
	return err
}

func (h *Host) restore(s *loan) error {
	if _, err := h.setSysctl("ipv4", s.Link, s.Key, s.Was); !absentSetting(err) {
		return err
	}
	return nil
}

// keep writes the file anew, or removes it when there is nothing to say. Without it a director goes on, and cannot be
// tidied up after.
func (h *Host) keep() {
	l := &h.loans
	if l.path == "" {
		return
	}
	k := kept{Boot: bootID(), Namespace: h.ns64, Settings: slices.Concat(l.made, l.left)}
	if err := k.write(l.path); err != nil {
		h.log.Warn("cannot keep what settings of interfaces were: they stay changed if this director is killed", zap.Error(err))
	}
}

func (k *kept) write(path string) error {
	if len(k.Settings) == 0 {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	slices.SortFunc(k.Settings, func(a, b loan) int { return cmp.Or(strings.Compare(a.Link, b.Link), strings.Compare(a.Key, b.Key)) })
	b, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// bootID is the kernel's name for the time since it started; settings do not outlive it.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it, all times are one
	return strings.TrimSpace(string(b))
}

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// sysctlPath is the file of a setting of a link; family is "ipv4" or "ipv6", and link may be "all" or "default".
func sysctlPath(family, link, key string) string {
	return "/proc/sys/net/" + family + "/conf/" + link + "/" + key
}

// sysctl reads a setting of a link. The files are those of the namespace of the thread that opens them.
func (h *Host) sysctl(family, link, key string) (value string, err error) {
	err = h.within(func() error {
		b, err := os.ReadFile(sysctlPath(family, link, key))
		value = strings.TrimSpace(string(b))
		return err
	})
	return value, err
}

// setSysctl writes a setting of a link unless it is so already, and returns what it was.
func (h *Host) setSysctl(family, link, key, value string) (was string, err error) {
	err = h.within(func() error {
		path := sysctlPath(family, link, key)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if was = strings.TrimSpace(string(b)); was == value {
			return nil
		}
		return os.WriteFile(path, []byte(value), 0)
	})
	if err != nil {
		return was, fmt.Errorf("set %s of %s to %s: %w", key, link, value, err)
	}
	return was, nil
}

// absentSetting says that the kernel has no such setting: an old one, or one without IPv6.
func absentSetting(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// PromoteSecondaries sets the sysctl promote_secondaries of a link: when the first address of a net is removed, as a
// virtual one may be, the others of the net stay. It returns what restores it.
func (h *Host) PromoteSecondaries(link string) (restore func() error, err error) {
	was, err := h.unlent(link, "promote_secondaries")
	if err != nil {
		return nil, fmt.Errorf("promote_secondaries of %s: %w", link, err)
	}
	if was == "1" {
		return func() error { return nil }, nil
	}
	l := []loan{{link, "promote_secondaries", was, "1"}}
	if err := h.borrow(l); err != nil {
		return nil, errors.Join(err, h.giveBack(l))
	}
	return func() error { return h.giveBack(l) }, nil
}

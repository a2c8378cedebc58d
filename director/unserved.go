package director

import (
	"fmt"

	"dirsw/config"
)

// Unserved says everything in a model that is understood but that this version cannot forward, as a config.Errors. Such
// a model must not run: a service that takes frames and then drops them is worse than one that does not start.
func Unserved(m *config.Model) error {
	var errs config.Errors
	say := func(p config.Pos, fix, format string, args ...any) {
		errs = append(errs, config.Error{Pos: p, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	for i := range m.Services {
		s := &m.Services[i]
		for k := range s.Reals {
			r := &s.Reals[k]
			switch {
			case r.Method != config.TUN && s.Mark == 0 && r.Addr.Is4() != s.Addr.Is4():
				say(r.Pos, "use an address of the family of "+s.Addr.String(),
					"%v cannot send from %s to %s: both must be IPv4 or both IPv6", r.Method, s.Addr, r.Addr)
			}
		}
	}
	return errs.Or()
}

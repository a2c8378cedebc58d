package director

import (
	"fmt"

	"dirsw/config"
)

// leave tells of the real servers that m has no more: whoever is told when one goes down is told of those too. It is called
// before adopt.
func (v *vitals) leave(m *config.Model) (told []happening) {
	if v.model == nil {
		return nil
	}
	stays, units := map[string]bool{}, map[string]bool{}
	for i := range m.Services {
		s := &m.Services[i]
		units[unitKey(s)] = true
		for k := range s.Reals {
			stays[checkKey(s, &s.Reals[k])] = true
		}
	}
	v.each(func(s *config.Service, list []*config.Real) {
		if !units[unitKey(s)] {
			told = append(told, happening{service: s, text: "Removing Virtual Server " + serviceName(s)})
		}
		for _, r := range list {
			key := checkKey(s, r)
			if stays[key] {
				continue
			}
			if units[unitKey(s)] {
				told = append(told, happening{service: s, text: fmt.Sprintf("service %s no longer exist", realName(s, r))})
			}
			if !v.reals[key].down {
				told = append(told, happening{kind: realDown, service: s, real: r, why: "Removing",
					text: fmt.Sprintf("Removing service %s from VS %s", realName(s, r), serviceName(s))})
			}
		}
		if !units[unitKey(s)] && v.quorum[unitKey(s)] {
			told = append(told, happening{kind: quorumDown, service: s})
		}
	})
	return told
}

// end tells of the real servers when the director stops: to scripts and by mail only where a service is to behave as if all its
// servers went down (omega). Then it is told that there is no quorum, even where there was none before.
func (v *vitals) end() (told []happening) {
	if v.model == nil {
		return nil
	}
	v.each(func(s *config.Service, list []*config.Real) {
		for _, r := range list {
			down, inhibited := v.reals[checkKey(s, r)].down, ""
			if down && r.Inhibit {
				inhibited = "(inhibited) "
			}
			h := happening{service: s, real: r, why: "Shutting down",
				text: fmt.Sprintf("Shutting down %sservice %s from VS %s", inhibited, realName(s, r), serviceName(s))}
			if s.Omega && !down {
				h.kind = realDown
			}
			told = append(told, h)
		}
		if s.Omega {
			told = append(told, happening{kind: quorumDown, service: s})
		}
	})
	return told
}

// each calls f with every service of the file and its real servers, once for all services of a group.
func (v *vitals) each(f func(*config.Service, []*config.Real)) {
	seen := map[string]bool{}
	for i := range v.model.Services {
		s := &v.model.Services[i]
		if s.Origin == config.FromCommand || seen[unitKey(s)] {
			continue
		}
		seen[unitKey(s)] = true
		list := make([]*config.Real, len(s.Reals))
		for k := range s.Reals {
			list[k] = &s.Reals[k]
		}
		f(s, list)
	}
}

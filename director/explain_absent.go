package director

import (
	"fmt"
	"slices"
	"strings"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/health"
)

// absent tells of what the checks have changed of a service: the servers that are down and what their checks say, those whose
// weight is another than that of the configuration, and the sorry server that stands in for all. It is "" when all is as the
// configuration says.
func (v *vitals) absent(key forward.ServiceKey, states []health.State) string {
	if v.model == nil {
		return ""
	}
	i := slices.IndexFunc(v.model.Services, func(s config.Service) bool { return keyOf(&s) == key })
	if i < 0 {
		return ""
	}
	s := &v.model.Services[i]
	var b strings.Builder
	for k := range s.Reals {
		r := &s.Reals[k]
		p := v.reals[checkKey(s, r)]
		switch {
		case p.down && r.Inhibit:
			fmt.Fprintf(&b, "  - %s is down and has weight 0 for %d (inhibit_on_failure): %s\n", r.Key(), p.of(r), complaint(states, checkKey(s, r), &p))
		case p.down:
			fmt.Fprintf(&b, "  - %s weight %d is down: %s\n", r.Key(), p.of(r), complaint(states, checkKey(s, r), &p))
		case p.weighs:
			fmt.Fprintf(&b, "  - %s has weight %d from its check, and %d in the configuration\n", r.Key(), p.weight, r.Weight)
		}
	}
	if s.SorryServer != nil && !v.quorum[unitKey(s)] {
		fmt.Fprintf(&b, "  - no quorum: servers of weight %d are up, of %d; the sorry server %s stands in for all\n", v.strength(i),
			max(s.Quorum, 1)+s.Hysteresis, s.SorryServer.Key())
	}
	if b.Len() == 0 {
		return ""
	}
	return "by the checks:\n" + b.String()
}

// complaint is what the checks of a server that is down say.
func complaint(states []health.State, key string, p *pulse) string {
	var list []string
	if i := slices.IndexFunc(states, func(s health.State) bool { return s.Key == key }); i >= 0 {
		for k := range states[i].Checks {
			switch c := &states[i].Checks[k]; {
			case c.Advisory || c.Up:
			case c.Last != "":
				list = append(list, fmt.Sprintf("%s %s", c.Kind, c.Last))
			case !c.Ran:
				list = append(list, fmt.Sprintf("%s has not answered yet", c.Kind))
			default:
				list = append(list, fmt.Sprintf("%s has to succeed again", c.Kind))
			}
		}
	}
	if len(list) == 0 {
		return p.why
	}
	return strings.Join(list, "; ")
}

package director

import (
	"errors"
	"slices"

	"dirsw/config"
	"dirsw/host"
)

// Interfaces chooses what to attach to for a model that does not say: the interfaces of its vrrp instances and virtual
// addresses, which clients come in by, and those that its real servers are reached by. For the second kind alone,
// receive is false, unless replies come back by them (NAT) or errors about tunnels (TUN).
func Interfaces(m *config.Model, h Host, links []host.Link) (names []string, receive map[string]bool, err error) {
	receive = map[string]bool{}
	add := func(name string, in bool) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
		receive[name] = receive[name] || in
	}
	for _, name := range m.Dataplane.Interfaces {
		add(name, true)
	}
	if len(names) > 0 {
		return names, receive, nil
	}
	for i := range m.Instances {
		add(m.Instances[i].Interface, true)
		for _, a := range m.Instances[i].Addresses {
			if bearing(links, a.Dev) {
				add(a.Dev, true)
			}
		}
	}
	clients := len(names) > 0
	for i := range m.Services {
		reals := everybody(&m.Services[i])
		for k := range reals {
			hop, err := h.NextHop(reals[k].Addr)
			if err != nil || hop.Unreachable || hop.Local {
				continue
			}
			for _, l := range links {
				if l.Index == hop.Link {
					add(l.Name, !clients || reals[k].Method != config.DR)
				}
			}
		}
	}
	if len(names) == 0 {
		return nil, nil, errors.New("no interface to attach to: there is neither a vrrp_instance nor a real server " +
			"that is reached by one; name it with --interface or in the dataplane block")
	}
	return names, receive, nil
}

// bearing reports whether frames of others come by an interface: an address on the loopback, or on a dummy, is reached by the
// other interfaces. One that does not exist is said to, which is found out later.
func bearing(links []host.Link, name string) bool {
	i := slices.IndexFunc(links, func(l host.Link) bool { return l.Name == name })
	return i < 0 || links[i].MAC != [6]byte{} && links[i].Kind != "dummy"
}

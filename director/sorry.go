package director

import "dirsw/config"

// servers are the real servers that a service has in force: those of the model or, while the weights of these are below
// the quorum, the sorry server in their place (keepalived: perform_quorum_state).
func servers(s *config.Service) []config.Real {
	if s.SorryServer == nil {
		return s.Reals
	}
	sum := 0
	for i := range s.Reals {
		sum += s.Reals[i].Weight
	}
	if sum >= max(s.Quorum, 1) {
		return s.Reals
	}
	return []config.Real{*s.SorryServer}
}

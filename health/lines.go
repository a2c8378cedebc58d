package health

import "fmt"

// The lines of this file are those that keepalived logs where its table changes (ipwrapper.c). Whoever changes the table
// logs them; they stand here with the checks' own, so that all that operators search for is in one place.

// LineServer says that a server went up or down: it is added or removed, or with inhibit_on_failure enabled or disabled.
func LineServer(n Names, up, inhibit bool) string {
	switch {
	case up && inhibit:
		return fmt.Sprintf("Enabling service %s of VS %s", n.Server, n.Service)
	case inhibit:
		return fmt.Sprintf("Disabling service %s of VS %s", n.Server, n.Service)
	case up:
		return fmt.Sprintf("Adding service %s to VS %s", n.Server, n.Service)
	default:
		return fmt.Sprintf("Removing service %s from VS %s", n.Server, n.Service)
	}
}

// LineWeight says that a server's weight changed. alive says whether the server is up.
func LineWeight(n Names, from, to int, alive bool) string {
	return fmt.Sprintf("Changing weight from %d to %d for %sactive service %s of VS %s",
		from, to, pick(alive, "", "in"), n.Server, n.Service)
}

// LineQuorumGained says that the live servers of a service weigh enough again. sum is their weight.
func LineQuorumGained(service string, quorum, hysteresis, sum int) string {
	return fmt.Sprintf("Gained quorum %d+%d=%d <= %d for VS %s", quorum, hysteresis, quorum+hysteresis, sum, service)
}

// LineQuorumLost says that they do not. starting is for a service that begins without its quorum, of which keepalived
// prints the sum with the hysteresis that it would take to gain it.
func LineQuorumLost(service string, quorum, hysteresis, sum int, starting bool) string {
	how, threshold := "Lost quorum", quorum-hysteresis
	if starting {
		how, threshold = "Starting with quorum down", quorum+hysteresis
	}
	return fmt.Sprintf("%s %d-%d=%d > %d for VS %s", how, quorum, hysteresis, threshold, sum, service)
}

// LineSorry says that the sorry server enters or leaves the pool. n names it and its service.
func LineSorry(n Names, on, inhibit bool) string {
	switch {
	case on:
		return fmt.Sprintf("%s sorry server %s to VS %s", pick(inhibit, "Enabling", "Adding"), n.Server, n.Service)
	default:
		return fmt.Sprintf("%s sorry server %s from VS %s", pick(inhibit, "Disabling", "Removing"), n.Server, n.Service)
	}
}

// LinePool says that the live servers of a service enter or leave the pool with the sorry server.
func LinePool(service string, add bool) string {
	return fmt.Sprintf("%s the pool for VS %s", pick(add, "Adding alive servers to", "Removing alive servers from"), service)
}

// LineShutdown says that a server leaves the table because the director ends.
func LineShutdown(n Names, inhibited bool) string {
	return fmt.Sprintf("Shutting down %sservice %s from VS %s", pick(inhibited, "(inhibited) ", ""), n.Server, n.Service)
}

// LineGone says that a reload has removed a server from the configuration.
func LineGone(n Names) string { return fmt.Sprintf("service %s no longer exist", n.Server) }

package director

import "dirsw/vrrp"

// notice is told by the election, on its thread, of what happens to an instance or a group. It does not wait for anybody.
func (d *Director) notice(n vrrp.Notice) {
}

// Election is how the instances and groups stand. Any goroutine.
func (d *Director) Election() ([]vrrp.InstanceState, []vrrp.GroupState) { return d.election.States() }

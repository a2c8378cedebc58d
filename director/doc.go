// Package director decides what should be forwarded now, and publishes it.
//
// One goroutine (Director.Run) takes configuration, facts about the network and commands, compiles them to a
// forward.Snapshot and hands that to the workers and to the packet filter. Compile itself is a function of its
// arguments.
package director

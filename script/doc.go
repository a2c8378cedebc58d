// Package script runs the programs that an operator names in the configuration: checks, trackers and notifications.
//
// A program is started without a shell, as keepalived 2.2.7 does: its words are given as they are, in a process group
// and under a user of its own, with nothing on its standard input. It can be stopped however it behaves: its whole
// group gets SIGTERM, and SIGKILL if it stays. Nothing of it is left behind: neither a zombie, nor a goroutine, nor a
// file.
package script

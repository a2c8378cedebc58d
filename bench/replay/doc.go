// Package replay is the lane that plays a capture: frames and time come from a pcap or pcapng file, and what is sent goes
// to another.
package replay

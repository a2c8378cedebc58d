// Package forwardtest holds lanes in memory: Lane is strict and for tests, Loop is fast and for benchmarks.
package forwardtest

import (
	"dirsw/forward"
	"dirsw/packet"
)

const (
	// BufferLen is the length in bytes of each frame's buffer, as in AF_XDP.
	BufferLen = 2048
	// Headroom is where in its buffer a received packet starts, as in AF_XDP.
	Headroom = 256
	// DefaultFrames is the number of frames of a pool whose options name none.
	DefaultFrames = 4 * packet.BatchSize
)

// DefaultPorts returns what a lane has whose options name no ports: two of them, "eth0" and "eth1", with an MTU of 1500.
func DefaultPorts() []forward.PortInfo {
	return []forward.PortInfo{
		{Name: "eth0", MAC: packet.MAC{0x02, 0, 0x5e, 0x10, 0, 0}, MTU: 1500},
		{Name: "eth1", MAC: packet.MAC{0x02, 0, 0x5e, 0x10, 0, 1}, MTU: 1500},
	}
}

// Package xsk moves frames between NIC queues and a Worker over AF_XDP.
//
// A Set is the packet filter on every port and the sockets on their queues; a Lane is one worker's share of it, with one
// pool of frames for all its sockets, so that a frame goes from one interface to another without a copy. The filter
// takes only what belongs to a virtual service, and what it cannot read passes. It is attached by a bpf_link: when the
// process dies, the kernel takes it away and the interface works as if it had never been there.
//
// What a lane gets is not always what was on the wire. On veth, virtio and the like the transport checksum of a local
// sender holds the sum of the pseudo-header only (forward.PortInfo.Unfinished). In generic mode a local sender's segments
// may come glued together, and those longer than a frame are lost; native mode turns that off at the peer of a veth. A tag
// that the NIC has stripped, or that a VLAN interface on the peer of a veth has put beside the packet, is not seen: turn
// that off where VLANs are in use ("ethtool -K DEV rxvlan off", txvlan at a veth's peer).
//
// Rings and descriptors follow Documentation/networking/af_xdp.rst of Linux. All use of unsafe is in *_unsafe.go.
package xsk

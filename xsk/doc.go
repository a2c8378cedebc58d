// Package xsk moves frames between NIC queues and a Worker over AF_XDP.
//
// A Set is the packet filter on every port and the sockets on their queues; a Lane is one worker's share of it, with one
// pool of frames for all its sockets, so that a frame goes from one interface to another without a copy. The filter
// takes only what belongs to a virtual service. It is attached by a bpf_link: when the process dies, the kernel takes it
// away and the interface works as if it had never been there.
//
// Rings and descriptors follow Documentation/networking/af_xdp.rst of Linux. All use of unsafe is in *_unsafe.go.
package xsk

// Package wire measures forwarding between interfaces: dirsw as it is run, and its peers, in network namespaces of their
// own that end with this process.
//
// The rig is client, director and server joined by veth pairs, without the bridge that package lab has: the kernel's work
// on a bridge would be in every figure. One-armed, the client's interface is the server's too. A generator on the first
// processor puts 64-byte frames of UDP on the client's interface from inside the kernel; the director runs on the last one;
// a program on the interface where the frames arrive counts and takes them.
package wire

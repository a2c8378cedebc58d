// Package lab builds a small cluster in network namespaces of this machine: a switch, a client, directors and real
// servers, wired and configured as they are in a rack. The demonstration, the end-to-end tests and the benchmarks of the
// wire stand on it.
//
// Everything is done over netlink, from sockets inside the namespaces: neither shell nor iproute2 is needed, and
// nothing outside the namespaces is touched, but for the files that give them names (Options.Named).
package lab

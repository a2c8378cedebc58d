// Package iptables reads and writes the rules of iptables and ip6tables that give packets their firewall marks: command
// lines as they are typed, and the files of iptables-save. It speaks iptables' own grammar (iptables 1.8, xshared.c and the
// extensions tcp, udp, sctp, multiport, mark, comment, MARK); what it understands and cannot honour it refuses by name.
//
// Only chains that packets pass before IPVS are of use here: PREROUTING, INPUT, and what these jump to, of the table mangle.
package iptables

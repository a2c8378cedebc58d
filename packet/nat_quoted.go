package packet

// RewriteErrorToServer translates an ICMP or ICMPv6 error from the client's side for the server: a and port become the
// source of the packet that it quotes, which the client saw come from the service, and a becomes its destination. m is
// what Parse learnt of f, with ICMPError set, and is not changed; a is of the packet's family.
//
// As Linux does it (ip_vs_nat_icmp): the checksum of the quoted IPv4 header and that of the message are made anew, so the
// caller has to see to it that the message's was right (ChecksumOK); that of the quoted transport header is left as it is,
// for the quote may be cut. From a quoted later fragment IPv4 takes what stands where the ports would be for ports.
func RewriteErrorToServer(f *Frame, m *Meta, a *Addr, port uint16) {
	rewriteError(f, m, a, port, destination, source)
}

// RewriteErrorToClient translates an error from the server's side for the client: a and port, those of the service, become
// the destination of the packet that it quotes, and a its source, whoever sent it.
func RewriteErrorToClient(f *Frame, m *Meta, a *Addr, port uint16) {
	rewriteError(f, m, a, port, source, destination)
}

func rewriteError(f *Frame, m *Meta, a *Addr, port uint16, outer, quoted end) {
	b := f.Bytes()[:m.End]
	q := b[m.Quoted:]
	switch m.Proto {
	case ProtoTCP, ProtoUDP, ProtoSCTP:
		if m.Family == IPv4Family || m.Flags&QuotedFragment == 0 {
			rewritePort(b[m.QuotedL4:], port, quoted)
		}
	}
	if m.Family == IPv4Family {
		rewriteIPv4(b[m.L3:], a, outer)
		rewriteIPv4(q, a, quoted)
		IPv4(q).SetChecksum(IPv4(q).ComputeChecksum()) // Parse has seen to it that all of the header is there
		h := ICMPv4(b[m.L4:])
		h.SetChecksum(h.ComputeChecksum())
		return
	}
	rewriteIPv6(b[m.L3:], a, outer)
	rewriteIPv6(q, a, quoted)
	h := ICMPv6(b[m.L4:])
	h.SetChecksum(h.ComputeChecksum(IPv6(b[m.L3:]).Src(), IPv6(b[m.L3:]).Dst()))
}

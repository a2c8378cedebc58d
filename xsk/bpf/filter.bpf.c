// SPDX-License-Identifier: Apache-2.0
//
// The packet filter of dirsw: it takes the frames of virtual services to the AF_XDP socket of their queue and passes
// everything else to the kernel, because a frame once taken cannot be given back. What it cannot read it passes. When no
// socket lives on the queue everything passes.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_EXTENSIONS 8	/* IPv6 extension headers that are followed, as in packet.Parse */

#define ICMP_UNREACH 3
#define ICMP_QUENCH 4
#define ICMP_TIME 11
#define ICMP6_INFORMATIONAL 0x80	/* RFC 4443, section 2.1 */
#define ICMP_HEAD 8

/* What a frame is looked up by. A service on all ports has port 0. */
enum kind {
	SERVICE = 0,	/* address, protocol and port */
	PART = 1,	/* address and protocol, port 0: of a later fragment, which carries no ports */
};

struct service {
	__u32 addr[4];	/* IPv4 as v4-mapped, network order */
	__be16 port;
	__u8 proto;
	__u8 kind;
};

struct station {
	__u8 mac[6];
	__u16 zero;
};

/* Shared by all ports. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct service);
	__type(value, __u32);
} services SEC(".maps");

/* One of each for every port. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 256);
	__uint(key_size, 4);
	__uint(value_size, 4);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} queues SEC(".maps");

/* The Ethernet addresses that are ours: a frame for another station is not taken in promiscuous mode either. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct station);
	__type(value, __u32);
} stations SEC(".maps");

static __always_inline void map4(__u32 *to, __be32 addr)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = addr;
}

static __always_inline void map6(__u32 *to, const struct in6_addr *addr)
{
	__builtin_memcpy(to, addr, 16);
}

/* wanted looks for the service of k, whose port is at ports (unless it is a PART). */
static __always_inline int wanted(struct service *k, void *ports, int at, void *end)
{
	if (k->kind == SERVICE) {
		if (ports + at + 2 > end)
			return 0;
		k->port = *(__be16 *)(ports + at);
		if (bpf_map_lookup_elem(&services, k))
			return 1;
		k->port = 0;
	}
	return bpf_map_lookup_elem(&services, k) != 0;
}

static __always_inline int has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static __always_inline int icmp4(void *p, void *end)
{
	struct service k = {};
	__u8 *type = p;
	struct iphdr *q = p + ICMP_HEAD;
	__u32 hlen;

	if ((void *)(q + 1) > end)
		return 0;
	if (*type != ICMP_UNREACH && *type != ICMP_QUENCH && *type != ICMP_TIME)
		return 0;
	hlen = q->ihl * 4;
	if (q->version != 4 || hlen < sizeof(*q) || !has_ports(q->protocol))
		return 0;
	map4(k.addr, q->saddr);
	k.proto = q->protocol;
	if (q->frag_off & bpf_htons(0x1fff))
		k.kind = PART;
	return wanted(&k, (void *)q + hlen, 0, end);
}

static __always_inline int ip4(void *p, void *end)
{
	struct service k = {};
	struct iphdr *ip = p;
	__u32 hlen;

	if ((void *)(ip + 1) > end)
		return 0;
	hlen = ip->ihl * 4;
	if (ip->version != 4 || hlen < sizeof(*ip))
		return 0;
	if (ip->protocol == IPPROTO_ICMP)
		return ip->frag_off & bpf_htons(0x1fff) ? 0 : icmp4(p + hlen, end);
	if (!has_ports(ip->protocol))
		return 0;
	map4(k.addr, ip->daddr);
	k.proto = ip->protocol;
	if (ip->frag_off & bpf_htons(0x1fff))
		k.kind = PART;
	return wanted(&k, p + hlen, 2, end);
}

/* upper follows the extension headers from p on. It returns the transport header, or 0; a later fragment sets *part. */
static __always_inline void *upper(void *p, void *end, __u8 *proto, int *part)
{
#pragma unroll
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 *h = p;

		if (*proto != IPPROTO_HOPOPTS && *proto != IPPROTO_ROUTING && *proto != IPPROTO_DSTOPTS &&
		    *proto != IPPROTO_FRAGMENT)
			return p;
		if (p + 8 > end)
			return 0;
		if (*proto == IPPROTO_FRAGMENT) {
			*proto = h[0];
			if (*(__be16 *)(h + 2) & bpf_htons(0xfff8)) {
				*part = 1;
				return p + 8;
			}
			p += 8;
			continue;
		}
		*proto = h[0];
		p += 8 + 8 * (__u32)h[1];
	}
	return 0;
}

static __always_inline int icmp6(void *p, void *end)
{
	struct service k = {};
	__u8 *type = p;
	struct ipv6hdr *q = p + ICMP_HEAD;
	__u8 proto;
	int part = 0;
	void *t;

	if ((void *)(q + 1) > end)
		return 0;
	if (*type & ICMP6_INFORMATIONAL)
		return 0;
	proto = q->nexthdr;
	t = upper(q + 1, end, &proto, &part);
	if (!t || q->version != 6 || !has_ports(proto))
		return 0;
	map6(k.addr, &q->saddr);
	k.proto = proto;
	k.kind = part ? PART : SERVICE;
	return wanted(&k, t, 0, end);
}

static __always_inline int ip6(void *p, void *end)
{
	struct service k = {};
	struct ipv6hdr *ip = p;
	__u8 proto;
	int part = 0;
	void *t;

	if ((void *)(ip + 1) > end)
		return 0;
	proto = ip->nexthdr;
	t = upper(ip + 1, end, &proto, &part);
	if (!t || ip->version != 6)
		return 0;
	if (proto == IPPROTO_ICMPV6)
		return part ? 0 : icmp6(t, end);
	if (!has_ports(proto))
		return 0;
	map6(k.addr, &ip->daddr);
	k.proto = proto;
	k.kind = part ? PART : SERVICE;
	return wanted(&k, t, 2, end);
}

SEC("xdp")
int dirsw_filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct station to = {};
	void *p = eth + 1;
	__be16 type;
	__u32 queue = ctx->rx_queue_index;
	int take;

	if (p > end)
		return XDP_PASS;
	type = eth->h_proto;
	if (type == bpf_htons(ETH_P_8021Q)) {
		if (p + 4 > end)
			return XDP_PASS;
		type = *(__be16 *)(p + 2);
		p += 4;
	}
	if (type == bpf_htons(ETH_P_IP))
		take = ip4(p, end);
	else if (type == bpf_htons(ETH_P_IPV6))
		take = ip6(p, end);
	else
		return XDP_PASS;
	if (!take)
		return XDP_PASS;
	__builtin_memcpy(to.mac, eth->h_dest, 6);
	if (!bpf_map_lookup_elem(&stations, &to) || !bpf_map_lookup_elem(&queues, &queue))
		return XDP_PASS;
	return bpf_redirect_map(&sockets, queue, XDP_PASS);
}

char _license[] SEC("license") = "Apache-2.0";

// SPDX-License-Identifier: Apache-2.0
//
// The packet filter of dirsw. It takes the frames of virtual services, and what comes back from their servers, to the
// AF_XDP socket of their queue and passes all else to the kernel. What is cut short or malformed passes too. It reads
// frames as packet.Parse does, which says where to follow the kernel's IPVS; the tests compare the two. What is taken is
// forward.Filter, word for word.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define barrier() asm volatile("" ::: "memory")

#define VLAN_LEN 4
#define ICMP_LEN 8
#define PORTS_LEN 4		/* both ports, with which TCP, UDP and SCTP begin */
#define MAX_EXTENSIONS 8	/* IPv6 extension headers that are followed */

#define IP_OFFSET 0x1fff	/* RFC 791, section 3.1 */
#define IP_FRAGMENT 0x3fff	/* offset and MF */
#define IP_DF 0x4000
#define IP6_OFFSET 0xfff8	/* RFC 8200, section 4.5 */

#define ICMP_UNREACH 3		/* RFC 792 */
#define ICMP_QUENCH 4
#define ICMP_TIME 11
#define ICMP6_INFORMATIONAL 0x80 /* RFC 4443, section 2.1 */
#define ND_SOLICIT 135		/* RFC 4861, section 4.3 */
#define ND_ADVERT 136

/* What a key stands for (forward.FilterKind). Port 0 is all ports. */
enum kind {
	TO = 0,		/* packets to a service */
	FROM = 1,	/* packets from a server whose replies are translated */
	TUNNEL = 2,	/* packets to a server that are quoted by ICMP errors about a tunnel */
	OWN = 3,	/* an address of the director (protocol and port 0) */
	SHUT = 4,	/* one to which the kernel gets nothing (likewise); the value is 1 and the number of frames dropped */
	FAMILY4 = 64,	/* in struct wide: a prefix of IPv4 */
	PART = 128,	/* with TO and FROM: some key of address and protocol (port 0), for later fragments */
};

struct service {
	__u32 addr[4];	/* network order, IPv4 as v4-mapped */
	__be16 port;
	__u8 proto;
	__u8 kind;
};

/* A key TO all addresses with a prefix. */
struct wide {
	__u32 bits;	/* that count, of what follows */
	__u8 kind;
	__u8 proto;
	__be16 port;
	__u32 addr[4];
};

/* What there is besides keys TO addresses, so that nobody pays for what is not there. */
enum extra {
	SERVERS = 1,	/* keys FROM */
	TUNNELS = 2,	/* keys TUNNEL */
	PREFIXES = 4,	/* keys in the map of prefixes */
	CLOSED = 8,	/* keys SHUT */
};

struct station {
	__u8 mac[6];
	__u16 zero;
} __attribute__((aligned(8)));

/* Shared by the programs of all ports. The sizes of the maps are set before they are made. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct service);
	__type(value, __u32);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct wide);
	__type(value, __u32);
} prefixes SEC(".maps");

__u32 extras = 0;

/* What stands in queues. From HELD on it is HELD and the number of frames that were dropped. */
enum queue {
	SERVED = 1,
	HELD = 2,	/* while the sockets are opened anew: the kernel would refuse what is for a service */
};

/* Each port has these for itself: the sockets by queue, and what becomes of what is taken from a queue. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} queues SEC(".maps");

/* The Ethernet addresses that are ours: frames to others are seen in promiscuous mode, and are not for us. Nearly all
 * frames are for the first address, which is compared without a call.
 */
struct station first = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct station);
	__type(value, __u32);
} stations SEC(".maps");

static __always_inline int ours(const __u8 *mac)
{
	struct station to = {};

	__builtin_memcpy(to.mac, mac, ETH_ALEN);
	return *(__u64 *)&to == *(volatile __u64 *)&first || bpf_map_lookup_elem(&stations, &to);
}

static __always_inline int extra(__u32 which)
{
	return *(volatile __u32 *)&extras & which;
}

static __always_inline int known(struct service *k)
{
	return bpf_map_lookup_elem(&services, k) != 0;
}

/* prefixed reports whether k is one of the addresses with a prefix. */
static __noinline int prefixed(const struct service *k)
{
	struct wide w = {};

	if (!k)
		return 0;
	w.bits = 8 * (sizeof(w) - sizeof(w.bits));
	w.kind = k->kind;
	if (!k->addr[0] && !k->addr[1] && k->addr[2] == bpf_htonl(0xffff))
		w.kind |= FAMILY4;
	w.proto = k->proto;
	w.port = k->port;
	__builtin_memcpy(w.addr, k->addr, sizeof(w.addr));
	return bpf_map_lookup_elem(&prefixes, &w) != 0;
}

/* wanted reports whether there is a key like k for a port, or for all ports. */
static __always_inline int wanted(struct service *k, __be16 port)
{
	k->port = port;
	if (known(k))
		return 1;
	k->port = 0;
	if (known(k))
		return 1;
	if (!extra(PREFIXES) || k->kind != TO)
		return 0;
	if (prefixed(k))
		return 1;
	k->port = port;
	return port && prefixed(k);
}

/* part is wanted for a fragment. */
static __always_inline int part(struct service *k)
{
	k->kind |= PART;
	if (known(k))
		return 1;
	return extra(PREFIXES) && k->kind == (TO | PART) && prefixed(k);
}

/* own reports whether k's address is the director's. */
static __always_inline int own(struct service *k)
{
	k->port = 0;
	k->proto = 0;
	k->kind = OWN;
	return known(k);
}

/* served reports whether there are services of a protocol. ESP and AH have no ports, and follow a connection of ISAKMP. */
static __always_inline int served(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP || proto == IPPROTO_ESP ||
	       proto == IPPROTO_AH;
}

/* shortest is the least length of a transport header that has ports, 0 if proto has none. */
static __always_inline __u32 shortest(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_UDP:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	}
	return 0;
}

static __always_inline void map4(__u32 *to, __be32 addr)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = addr;
}

static __always_inline void copy6(__u32 *to, const struct in6_addr *addr)
{
	__builtin_memcpy(to, addr, sizeof(*addr));
}

static __always_inline int mapped(const struct in6_addr *a)
{
	return !a->s6_addr32[0] && !a->s6_addr32[1] && a->s6_addr32[2] == bpf_htonl(0xffff);
}

static __always_inline int equal6(const struct in6_addr *a, const struct in6_addr *b)
{
	return a->s6_addr32[0] == b->s6_addr32[0] && a->s6_addr32[1] == b->s6_addr32[1] &&
	       a->s6_addr32[2] == b->s6_addr32[2] && a->s6_addr32[3] == b->s6_addr32[3];
}

/* A packet, or one that is quoted: protocol, ports (0 without), whether its ports do not count: in a fragment, for all
 * fragments of a datagram go the same way, and in what is quoted in a later one.
 */
struct what {
	__u8 proto, later;
	__be16 sport, dport;
};

/* ports reads those of a transport header at p, of which n bytes are there and least are asked for. */
static __always_inline int ports(struct what *w, void *p, __u32 n, __u32 least, void *end)
{
	__be16 *port = p;

	if (w->later || !least)
		return 1;
	if (n < least || p + PORTS_LEN > end)
		return 0;
	w->sport = port[0];
	w->dport = port[1];
	return 1;
}

static __always_inline int match(struct service *k, const struct what *w, __be16 port)
{
	k->proto = w->proto;
	return w->later ? part(k) : wanted(k, port);
}

/* quoted4 is for an ICMP error to addr, about packet w whose header is at q. */
static __always_inline int quoted4(struct iphdr *q, const struct what *w)
{
	struct service k = {};

	map4(k.addr, q->saddr);
	if (served(w->proto)) {
		k.kind = TO;
		if (match(&k, w, w->sport))
			return 1;
	}
	if (!extra(SERVERS | TUNNELS))
		return 0;
	if (extra(SERVERS) && served(w->proto)) {
		map4(k.addr, q->daddr);
		k.kind = FROM;
		if (match(&k, w, w->dport)) {
			map4(k.addr, q->saddr);
			if (!own(&k))
				return 1;
		}
	}
	if (!extra(TUNNELS) || w->later)
		return 0;
	map4(k.addr, q->daddr);
	k.kind = TUNNEL;
	if (!match(&k, w, w->dport))
		return 0;
	map4(k.addr, q->saddr);
	return own(&k);
}

/* icmp4 is for the n bytes at p of an ICMP message to addr. Errors must go to who sent what they quote. */
static __always_inline int icmp4(void *p, __u32 n, __be32 addr, void *end)
{
	struct what w = {};
	__u8 *type = p;
	struct iphdr *q = p + ICMP_LEN;
	__u32 hlen;

	if (n < ICMP_LEN + sizeof(*q) || (void *)(q + 1) > end)
		return 0;
	if (*type != ICMP_UNREACH && *type != ICMP_QUENCH && *type != ICMP_TIME)
		return 0;
	hlen = q->ihl * 4;
	n -= ICMP_LEN;
	if (q->version != 4 || hlen < sizeof(*q) || n < hlen || q->saddr != addr)
		return 0;
	w.proto = q->protocol;
	if (shortest(w.proto) && n < hlen + PORTS_LEN)
		return 0;
	w.later = (q->frag_off & bpf_htons(IP_OFFSET)) != 0;
	return ports(&w, (void *)q + hlen, n - hlen, shortest(w.proto) ? PORTS_LEN : 0, end) && quoted4(q, &w);
}

static __always_inline int ip4(void *p, void *end)
{
	struct service k = {};
	struct what w = {};
	struct iphdr *ip = p;
	__u32 hlen, n;

	if ((void *)(ip + 1) > end)
		return 0;
	hlen = ip->ihl * 4;
	n = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || hlen < sizeof(*ip) || n < hlen || p + n > end)
		return 0;
	if (ip->protocol == IPPROTO_ICMP)
		return ip->frag_off & bpf_htons(IP_FRAGMENT) ? 0 : icmp4(p + hlen, n - hlen, ip->daddr, end);
	if (!served(ip->protocol))
		return 0;
	w.proto = ip->protocol;
	w.later = (ip->frag_off & bpf_htons(IP_FRAGMENT)) != 0;
	if (!ports(&w, p + hlen, n - hlen, shortest(w.proto), end))
		return 0;
	map4(k.addr, ip->daddr);
	k.kind = TO;
	if (match(&k, &w, w.dport))
		return 1;
	if (!extra(SERVERS))
		return 0;
	map4(k.addr, ip->saddr);
	k.kind = FROM;
	if (!match(&k, &w, w.sport))
		return 0;
	map4(k.addr, ip->daddr);
	return !own(&k);
}

/* Where a chain of extension headers ends. */
struct chain {
	__u32 off;	/* from the IPv6 header */
	__u8 proto;
	__u8 fragment, later;
};

/* follow walks the extension headers of the n bytes at p, from c->off on; 0 if they are cut short or too many. */
static __always_inline int follow(void *p, __u32 n, struct chain *c, void *end)
{
#pragma unroll
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 *h = p + c->off;
		__u32 len = 8;

		if (c->proto != IPPROTO_HOPOPTS && c->proto != IPPROTO_ROUTING && c->proto != IPPROTO_DSTOPTS &&
		    c->proto != IPPROTO_FRAGMENT)
			return 1;
		if (c->off + 8 > n || (void *)h + 8 > end)
			return 0;
		if (c->proto == IPPROTO_FRAGMENT) {
			__be16 part = *(__be16 *)(h + 2);

			c->fragment = 1;
			c->later = (part & bpf_htons(IP6_OFFSET)) != 0;
		} else {
			len += 8 * (__u32)h[1];
		}
		c->proto = h[0];
		c->off += len;
		if (c->off > n)
			return 0;
		if (c->later)
			return 1;
	}
	return c->proto != IPPROTO_HOPOPTS && c->proto != IPPROTO_ROUTING && c->proto != IPPROTO_DSTOPTS &&
	       c->proto != IPPROTO_FRAGMENT;
}

/* quoted6 is quoted4 for IPv6. */
static __always_inline int quoted6(struct ipv6hdr *q, const struct what *w)
{
	struct service k = {};

	copy6(k.addr, &q->saddr);
	if (served(w->proto)) {
		k.kind = TO;
		if (match(&k, w, w->sport))
			return 1;
	}
	if (!extra(SERVERS | TUNNELS))
		return 0;
	if (extra(SERVERS) && served(w->proto)) {
		copy6(k.addr, &q->daddr);
		k.kind = FROM;
		if (match(&k, w, w->dport)) {
			copy6(k.addr, &q->saddr);
			if (!own(&k))
				return 1;
		}
	}
	if (!extra(TUNNELS) || w->later)
		return 0;
	copy6(k.addr, &q->daddr);
	k.kind = TUNNEL;
	if (!match(&k, w, w->dport))
		return 0;
	copy6(k.addr, &q->saddr);
	return own(&k);
}

/* icmp6 is icmp4 for ICMPv6. */
static __always_inline int icmp6(void *p, __u32 n, const struct in6_addr *addr, void *end)
{
	struct what w = {};
	struct chain c = {};
	__u8 *type = p;
	struct ipv6hdr *q = p + ICMP_LEN;

	if (n < ICMP_LEN + sizeof(*q) || (void *)(q + 1) > end || *type & ICMP6_INFORMATIONAL)
		return 0;
	if (q->version != 6 || mapped(&q->daddr) || !equal6(&q->saddr, addr))
		return 0;
	c.off = sizeof(*q);
	c.proto = q->nexthdr;
	n -= ICMP_LEN;
	if (!follow(q, n, &c, end))
		return 0;
	w.proto = c.proto;
	if (shortest(w.proto) && n < c.off + PORTS_LEN)
		return 0;
	w.later = c.later;
	return ports(&w, (void *)q + c.off, n - c.off, shortest(w.proto) ? PORTS_LEN : 0, end) && quoted6(q, &w);
}

static __always_inline int ip6(void *p, void *end)
{
	struct service k = {};
	struct what w = {};
	struct chain c = {};
	struct ipv6hdr *ip = p;
	__u32 n;

	if ((void *)(ip + 1) > end)
		return 0;
	n = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || p + n > end || mapped(&ip->saddr) || mapped(&ip->daddr))
		return 0;
	c.off = sizeof(*ip);
	c.proto = ip->nexthdr;
	if (!follow(p, n, &c, end))
		return 0;
	if (c.proto == IPPROTO_ICMPV6)
		return c.fragment ? 0 : icmp6(p + c.off, n - c.off, &ip->daddr, end);
	if (!served(c.proto))
		return 0;
	w.proto = c.proto;
	w.later = c.fragment;
	if (!c.later && n - c.off < shortest(w.proto)) /* of IPv6 fragments, the first must have all headers */
		return 0;
	if (!ports(&w, p + c.off, n - c.off, shortest(w.proto), end))
		return 0;
	copy6(k.addr, &ip->daddr);
	k.kind = TO;
	if (match(&k, &w, w.dport))
		return 1;
	if (!extra(SERVERS))
		return 0;
	copy6(k.addr, &ip->saddr);
	k.kind = FROM;
	if (!match(&k, &w, w.sport))
		return 0;
	copy6(k.addr, &ip->daddr);
	return !own(&k);
}

/* service reports whether the frame is wanted. At most one tag of 802.1Q is followed. */
static __always_inline int service(struct ethhdr *eth, void *end)
{
	void *p = eth + 1;
	__be16 type = eth->h_proto;

	if (type == bpf_htons(ETH_P_8021Q)) {
		if (p + VLAN_LEN > end)
			return 0;
		type = *(__be16 *)(p + 2);
		p += VLAN_LEN;
	}
	if (type == bpf_htons(ETH_P_IP))
		return ip4(p, end);
	if (type == bpf_htons(ETH_P_IPV6))
		return ip6(p, end);
	return 0;
}

/* refused reports whether a frame that no service wants goes to an address that is shut, and counts it. Neighbour discovery
 * (RFC 4861, sections 4.3 and 4.4) comes through.
 */
static __noinline int refused(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *p = eth + 1;
	struct service k = {};
	__u32 *count;
	__be16 type;

	if (p > end || !ours(eth->h_dest))
		return 0;
	type = eth->h_proto;
	if (type == bpf_htons(ETH_P_8021Q)) {
		if (p + VLAN_LEN > end)
			return 0;
		type = *(__be16 *)(p + 2);
		p += VLAN_LEN;
	}
	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = p;

		if ((void *)(ip + 1) > end)
			return 0;
		map4(k.addr, ip->daddr);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = p;
		__u8 *message = (void *)(ip + 1);

		if ((void *)(ip + 1) > end)
			return 0;
		if (ip->nexthdr == IPPROTO_ICMPV6 && (void *)(message + 1) <= end &&
		    (*message == ND_SOLICIT || *message == ND_ADVERT))
			return 0;
		copy6(k.addr, &ip->daddr);
	} else {
		return 0;
	}
	k.kind = SHUT;
	count = bpf_map_lookup_elem(&services, &k);
	if (!count)
		return 0;
	__sync_fetch_and_add(count, 1);
	return 1;
}

#include "flows.bpf.h"

SEC("xdp")
int dirsw_filter(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u32 queue = ctx->rx_queue_index;
	__u32 *served = bpf_map_lookup_elem(&queues, &queue);

	if (places && served && *served && (void *)(eth + 1) <= end) {
		int act = accelerated(ctx, eth, end);

		if (act != TO_WORKER)
			return act;
		eth = (void *)(long)ctx->data; /* a frame may have been made shorter */
		end = (void *)(long)ctx->data_end;
	}
	if (!served || !*served || (void *)(eth + 1) > end || !service(eth, end))
		return extra(CLOSED) && refused(ctx) ? XDP_DROP : XDP_PASS;
	if (!ours(eth->h_dest))
		return XDP_PASS;
	if (*served == SERVED)
		return bpf_redirect_map(&sockets, queue, XDP_PASS); /* passes when the socket has died */
	__sync_fetch_and_add(served, 1);
	return XDP_DROP;
}

char _license[] SEC("license") = "Apache-2.0"; /* needs no helper that is for GPL programs only */

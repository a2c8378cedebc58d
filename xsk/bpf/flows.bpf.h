// SPDX-License-Identifier: Apache-2.0
//
// The accelerator: frames of connections that a worker has put into a table are rewritten and sent by the program itself.
// The worker alone decides; what is here does to plain packets what forward does for direct routing (rewrite.go) and for IP
// in IP (tunnel.go), and gives all others to it. Table, ways and beats are memory that program and workers share: there is
// no system call for an entry.

#define WINDOW 16		/* places from the one where an entry belongs, among which it is (xsk/flows.go) */
#define PACKET_SHIFT 40		/* in the count of a flow: packets above, bytes below */
#define STALE 1000000000ull	/* nanoseconds after which a worker that has not beaten is believed dead */

#define TCP_LEN 20
#define TCP_FLAGS 13
#define TCP_CHECK 16
#define UDP_LENGTH 4
#define UDP_CHECK 6
#define TCP_PLAIN 0x17		/* FIN, SYN, RST, ACK (RFC 9293, section 3.1): of these there must be ACK alone */
#define TCP_ACK 0x10

/* A cache line each. The state is the protocol, in the lowest byte; then the worker's number; then a serial number, which
 * is another one whenever an entry has been changed. Other protocols than these stand for places that are free or being
 * filled. Only the worker changes an entry, and only the program count and seen.
 */
struct flow {
	__u32 src[4];	/* network order, IPv4 as v4-mapped */
	__u32 dst[4];
	__u32 ports;	/* as they stand in the packet */
	__u32 state;
	__u32 way;	/* index */
	__u32 reach;	/* of the entries that belong at this place: how far on the last is */
	__u64 count;
	__u64 seen;	/* nanoseconds of CLOCK_MONOTONIC */
};

enum how {
	NO_WAY = 0,	/* to the worker */
	PLAIN = 1,	/* direct routing */
	INSIDE4 = 2,	/* in a tunnel over IPv4 */
	INSIDE6 = 3,	/* in a tunnel over IPv6 */
	MAY_CUT = 128,	/* besides: DF is cleared outside (pmtu_disc=0) */
};

/* How packets reach a server. The serial number is odd while a worker writes. */
struct way {
	__u8 eth[12];	/* to, from */
	__u32 serial;
	__u8 how;
	__u8 port;
	__u16 mtu;	/* of what the packet is before it is put into a tunnel */
	__u32 outer[8];	/* source and destination outside; of IPv4 in the first two words */
	__u32 zero[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct way);
} ways SEC(".maps");

/* When each worker was last heard of. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} beats SEC(".maps");

/* The interfaces, by their port. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} interfaces SEC(".maps");

const volatile __u32 places = 0;	/* of the table, a power of two; 0: there is no accelerator */
const volatile __u64 seed = 0;		/* of its hash */
const volatile __u32 unfinished = 0;	/* checksums may be (packet.FinishChecksum): those are the worker's */

/* A packet that the program may send. */
struct plain {
	__u32 src[4], dst[4];
	__u32 ports;
	__u32 len;	/* of the IP packet */
	__u32 l4, l4len;
	__u16 check;	/* of the transport header, as it stands there */
	__u8 proto, ttl, tos;
	__u8 six, whole;
};

/* mix is one round of the hash (xsk/flows.go). */
static __always_inline __u64 mix(__u64 h, __u64 word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

static __always_inline __u64 pair(const __u32 *p)
{
	return (__u64)p[1] << 32 | p[0];
}

static __always_inline __u64 hash(const struct plain *p)
{
	__u64 h = mix(seed, (__u64)p->ports << 8 | p->proto);

	if (p->six) {
		h = mix(h, pair(p->src));
		h = mix(h, pair(p->dst));
	}
	h = mix(h, pair(p->src + 2));
	return mix(h, pair(p->dst + 2));
}

static __always_inline int same(const struct flow *f, const struct plain *p)
{
	return pair(f->dst + 2) == pair(p->dst + 2) && pair(f->src + 2) == pair(p->src + 2) && f->ports == p->ports &&
	       pair(f->dst) == pair(p->dst) && pair(f->src) == pair(p->src);
}

/* find returns the entry of a packet and its state. */
static __always_inline struct flow *find(const struct plain *p, __u32 *state)
{
	__u32 home = hash(p) >> 32, reach = 0;

	for (__u32 i = 0; i < WINDOW; i++) {
		__u32 at = (home + i) & (places - 1);
		struct flow *f = bpf_map_lookup_elem(&flows, &at);

		if (!f)
			return 0;
		if (!i)
			reach = *(volatile __u32 *)&f->reach;
		*state = *(volatile __u32 *)&f->state;
		if ((*state & 0xff) == p->proto && same(f, p))
			return f;
		if (i >= reach)
			return 0;
	}
	return 0;
}

static __always_inline __u32 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* pending reports whether the checksum is no more than the sum of the pseudo-header. */
static __always_inline int pending(const struct plain *p)
{
	__u64 sum = (__u64)bpf_htons(p->proto) + bpf_htons(p->l4len);

	if (p->six)
		sum += (__u64)p->src[0] + p->src[1] + p->src[2] + p->dst[0] + p->dst[1] + p->dst[2];
	sum += (__u64)p->src[3] + p->dst[3];
	return fold(sum) == p->check;
}

/* transport reads TCP that has nothing to say to the state of its connection, and UDP, at t. */
static __always_inline int transport(struct plain *p, __u8 *t, void *end)
{
	__u32 n = p->len - p->l4;

	p->ports = *(__u32 *)t;
	p->l4len = n;
	if (p->proto == IPPROTO_TCP) {
		if ((void *)t + TCP_LEN > end || n < TCP_LEN || (t[TCP_FLAGS] & TCP_PLAIN) != TCP_ACK)
			return 0;
		if (t[TCP_FLAGS - 1] >> 4 < 5 || (t[TCP_FLAGS - 1] >> 4) * 4u > n)
			return 0;
		p->check = *(__u16 *)(t + TCP_CHECK);
		return 1;
	}
	if (p->proto != IPPROTO_UDP)
		return 0;
	p->l4len = bpf_ntohs(*(__be16 *)(t + UDP_LENGTH));
	p->check = *(__u16 *)(t + UDP_CHECK);
	return p->l4len >= 8 && p->l4len <= n;
}

/* read4 and read6 read what is plain: whole, without options, well formed. */
static __always_inline int read4(struct plain *p, void *at, void *end)
{
	struct iphdr *ip = at;

	if (at + sizeof(*ip) + 8 > end || *(__u8 *)at != 0x45 || ip->frag_off & bpf_htons(IP_FRAGMENT))
		return 0;
	p->len = bpf_ntohs(ip->tot_len);
	if (p->len < sizeof(*ip) + 8 || at + p->len > end)
		return 0;
	p->l4 = sizeof(*ip);
	p->proto = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->whole = (ip->frag_off & bpf_htons(IP_DF)) != 0;
	map4(p->src, ip->saddr);
	map4(p->dst, ip->daddr);
	return transport(p, at + sizeof(*ip), end);
}

static __always_inline int read6(struct plain *p, void *at, void *end)
{
	struct ipv6hdr *ip = at;

	if (at + sizeof(*ip) + 8 > end || ip->version != 6)
		return 0;
	p->len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (p->len < sizeof(*ip) + 8 || at + p->len > end)
		return 0;
	p->l4 = sizeof(*ip);
	p->proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->tos = bpf_ntohs(*(__be16 *)at) >> 4;
	p->six = 1;
	copy6(p->src, &ip->saddr);
	copy6(p->dst, &ip->daddr);
	if (mapped(&ip->saddr) || mapped(&ip->daddr))
		return 0;
	return transport(p, at + sizeof(*ip), end);
}

/* sound reports whether the sum of an IPv4 header without options is right. */
static __always_inline int sound(void *at)
{
	__u32 *w = at;

	return fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]) == 0xffff;
}

/* outer4 and outer6 write the header of a tunnel (packet/tunnel.go). ECN outside does not tell of congestion inside. */
static __always_inline int outer4(void *at, void *end, const struct plain *p, const struct way *w)
{
	struct iphdr *ip = at;
	__u32 *words = at;
	int whole = p->whole && !(w->how & MAY_CUT);

	if ((void *)(ip + 1) > end)
		return 0;
	words[0] = 0;
	*(__u8 *)at = 0x45;
	ip->tos = p->tos & ~(p->tos >> 1 & 1);
	ip->tot_len = bpf_htons(p->len + sizeof(*ip));
	ip->id = whole ? 0 : bpf_get_prandom_u32();
	ip->frag_off = whole ? bpf_htons(IP_DF) : 0;
	ip->ttl = p->ttl - 1;
	ip->protocol = p->six ? IPPROTO_IPV6 : IPPROTO_IPIP;
	ip->check = 0;
	ip->saddr = w->outer[0];
	ip->daddr = w->outer[1];
	ip->check = ~fold((__u64)words[0] + words[1] + words[2] + words[3] + words[4]);
	return 1;
}

static __always_inline int outer6(void *at, void *end, const struct plain *p, const struct way *w)
{
	struct ipv6hdr *ip = at;

	if ((void *)(ip + 1) > end)
		return 0;
	*(__u32 *)at = bpf_htonl(6u << 28 | (__u32)(p->tos & ~(p->tos >> 1 & 1)) << 20);
	ip->payload_len = bpf_htons(p->len);
	ip->nexthdr = p->six ? IPPROTO_IPV6 : IPPROTO_IPIP;
	ip->hop_limit = p->ttl - 1;
	__builtin_memcpy(&ip->saddr, w->outer, 2 * sizeof(struct in6_addr));
	return 1;
}

/* copied copies way i; 0 if there is none now. */
static __always_inline int copied(struct way *to, __u32 i)
{
	struct way *w = bpf_map_lookup_elem(&ways, &i);
	__u32 serial;

	if (!w)
		return 0;
	serial = *(volatile __u32 *)&w->serial;
	barrier();
	__builtin_memcpy(to, w, sizeof(*to));
	barrier();
	return !(serial & 1) && *(volatile __u32 *)&w->serial == serial && to->how != NO_WAY;
}

/* alive reports whether a worker beats. */
static __always_inline int alive(__u32 worker, __u64 now)
{
	__u64 *beat = bpf_map_lookup_elem(&beats, &worker);

	return beat && (__s64)(now - *(volatile __u64 *)beat) < (__s64)STALE;
}

/* decrement takes one off the time to live. */
static __always_inline int decrement(void *at, void *end, const struct plain *p)
{
	struct iphdr *ip = at;
	__u32 sum;

	if (p->six) {
		if (at + sizeof(struct ipv6hdr) > end)
			return 0;
		((struct ipv6hdr *)at)->hop_limit--;
		return 1;
	}
	if ((void *)(ip + 1) > end)
		return 0;
	sum = ip->check + bpf_htons(0x100); /* RFC 1624 */
	ip->check = sum + (sum >= 0xffff);
	ip->ttl--;
	return 1;
}

#define TO_WORKER -1

/* sent rewrites the frame and says how it leaves; nothing of the packet has been changed if that is TO_WORKER. */
static __always_inline int sent(struct xdp_md *ctx, const struct plain *p, const struct way *w)
{
	__u32 room = ctx->data_end - ctx->data - sizeof(struct ethhdr);
	__u8 how = w->how & ~MAY_CUT;
	int grow = how == INSIDE4 ? sizeof(struct iphdr) : how == INSIDE6 ? sizeof(struct ipv6hdr) : 0;
	struct ethhdr *eth;
	void *end;

	if (room > p->len && bpf_xdp_adjust_tail(ctx, (int)p->len - (int)room)) /* without Ethernet's padding */
		return TO_WORKER;
	if (grow && bpf_xdp_adjust_head(ctx, -grow))
		return TO_WORKER;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return XDP_ABORTED;
	if (how == INSIDE4) {
		if (!outer4(eth + 1, end, p, w) || !decrement((void *)(eth + 1) + sizeof(struct iphdr), end, p))
			return XDP_ABORTED;
		eth->h_proto = bpf_htons(ETH_P_IP);
	} else if (how == INSIDE6) {
		if (!outer6(eth + 1, end, p, w) || !decrement((void *)(eth + 1) + sizeof(struct ipv6hdr), end, p))
			return XDP_ABORTED;
		eth->h_proto = bpf_htons(ETH_P_IPV6);
	} else if (!decrement(eth + 1, end, p)) {
		return XDP_ABORTED;
	}
	__builtin_memcpy(eth, w->eth, sizeof(w->eth));
	/* Also back where it came from: of veth, XDP_TX loses all frames unless the peer has a program, not just GRO. */
	return bpf_redirect_map(&interfaces, w->port, XDP_ABORTED);
}

/* accelerated sends the frame if its connection is in the table and there is nothing to decide; TO_WORKER if not. */
static __always_inline int accelerated(struct xdp_md *ctx, struct ethhdr *eth, void *end)
{
	struct plain p = {};
	struct way w;
	struct flow *f;
	__u32 state = 0;
	__u64 now;
	int act;

	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (!read4(&p, eth + 1, end))
			return TO_WORKER;
	} else if (eth->h_proto != bpf_htons(ETH_P_IPV6) || !read6(&p, eth + 1, end)) {
		return TO_WORKER;
	}
	f = find(&p, &state);
	if (!f || p.ttl <= 1 || (!p.six && !sound(eth + 1)) || (unfinished && pending(&p)))
		return TO_WORKER;
	now = bpf_ktime_get_coarse_ns();
	if (!ours(eth->h_dest) || !alive(state >> 8 & 0xff, now) || !copied(&w, *(volatile __u32 *)&f->way) || p.len > w.mtu)
		return TO_WORKER;
	if (*(volatile __u32 *)&f->state != state) /* meanwhile it has become that of another connection */
		return TO_WORKER;
	act = sent(ctx, &p, &w);
	if (act == TO_WORKER)
		return act;
	if (*(volatile __u64 *)&f->seen != now)
		*(volatile __u64 *)&f->seen = now; /* first: who reads the count knows at least when its last packet was */
	__sync_fetch_and_add(&f->count, 1ull << PACKET_SHIFT | p.len);
	return act;
}

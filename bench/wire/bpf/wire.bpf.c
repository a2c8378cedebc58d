// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
//
// The programs of the wire benchmarks: a generator of frames, the end that takes them, the simplest filter in front of an
// AF_XDP socket, and books of who had a processor.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define FRAME 60	/* 64 on the wire, with the checksum of Ethernet */
#define SOURCE 28	/* lower half of the source address of IPv4 */
#define IDENT 18	/* identification of IPv4 */
#define PORT 34		/* source port of UDP */
#define PAYLOAD 42	/* of UDP */

/* The frame to send, written absolutely each time: the kernel gives the same memory again and again. */
volatile __u8 frame[64];
volatile __u32 interface;	/* index of the one to send by */
volatile __u32 flow_mask;	/* flows less one; flows are a power of two */
volatile __u32 next_flow;

/*
 * generate sends one frame of the next flow. A flow is 10 bits of the port and the rest in the address. The identification
 * and the payload have the complements of both, so that the sums over header and datagram stay what the frame has.
 */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u8 *p = (void *)(long)ctx->data;
	__u32 flow;
	__u16 host, port;
	int i;

	if (p + FRAME > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
#pragma unroll
	for (i = 0; i < 5; i++)
		((__u64 *)p)[i] = ((volatile __u64 *)frame)[i];
	*(__u16 *)(p + 40) = *(volatile __u16 *)(frame + 40);
	flow = next_flow++ & flow_mask;
	host = bpf_htons(1 + (flow >> 10));
	port = bpf_htons(1024 + (flow & 1023));
	*(__u16 *)(p + SOURCE) = host;
	*(__u16 *)(p + IDENT) = ~host;
	*(__u16 *)(p + PORT) = port;
	*(__u16 *)(p + PAYLOAD) = ~host;
	*(__u16 *)(p + PAYLOAD + 2) = ~port;
	return bpf_redirect(interface, 0);
}

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} socket SEC(".maps");

/* take gives every frame to the socket. */
SEC("xdp")
int take(struct xdp_md *ctx)
{
	return bpf_redirect_map(&socket, 0, XDP_PASS);
}

volatile __u64 arrived, strange;

/* dressed tells whether p is UDP over IPv4 to the port of the service or of a server. */
static __always_inline int dressed(__u8 *p)
{
	return p[23] == 17 && *(volatile __u16 *)(p + 36) == *(volatile __u16 *)(frame + 36);
}

/*
 * sink counts the frames that are as they should be when they have been forwarded (UDP to the port of the service or of a
 * server, 60 or 46+14 bytes, or that in IPv4), and takes every frame off the kernel's hands.
 */
SEC("tcx/ingress")
int sink(struct __sk_buff *skb)
{
	__u8 *p = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (p + 62 <= end && p[12] == 8 && p[13] == 0 && p[23] == 4 && dressed(p + 20))
		arrived++;
	else if (p + 42 <= end && p[12] == 8 && p[13] == 0 && dressed(p))
		arrived++;
	else
		strange++;
	return TC_ACT_SHOT;
}

/* A task, of which we need whose thread it is. */
struct task_struct {
	int tgid;
} __attribute__((preserve_access_index));

/* Nanoseconds on a processor, by process; of the processes that are in it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} books SEC(".maps");

/* When the last switch of a processor was. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} switched SEC(".maps");

/*
 * book charges the time since the last switch to the process that had the processor. The scheduler's own books are right in
 * sum, not for each: it reads no clock at a switch if it did when it was asked for one, and a kernel that does not preempt
 * itself switches when the system call has ended, which it then charges to who comes next.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(book, int preempt, struct task_struct *prev)
{
	__u64 now = bpf_ktime_get_ns(), *last, *sum;
	__u32 zero = 0, who = prev->tgid;

	last = bpf_map_lookup_elem(&switched, &zero);
	if (!last)
		return 0;
	sum = bpf_map_lookup_elem(&books, &who);
	if (sum && *last)
		__sync_fetch_and_add(sum, now - *last);
	*last = now;
	return 0;
}

/*
 * swallow is sink in XDP: it costs the sender least, as a NIC would that takes frames off its hands.
 */
SEC("xdp")
int swallow(struct xdp_md *ctx)
{
	__u8 *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (p + 62 <= end && p[12] == 8 && p[13] == 0 && p[23] == 4 && dressed(p + 20))
		arrived++;
	else if (p + 42 <= end && p[12] == 8 && p[13] == 0 && dressed(p))
		arrived++;
	else
		strange++;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";

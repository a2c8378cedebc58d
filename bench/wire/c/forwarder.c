// SPDX-License-Identifier: Apache-2.0
//
// The peer of the wire benchmarks: the plainest AF_XDP forwarder in C. It gives every frame from one interface new
// Ethernet addresses and sends it by another or the same one, in copy mode, with the settings that dirsw uses: one UMEM,
// batches of 64, need-wakeup. It looks up nothing and counts nothing.
//
//	forwarder CPU spin|ROUNDS IN OUT SRC-MAC DST-MAC [BACK-SRC-MAC BACK-DST-MAC]
//
// It spins on CPU, or sleeps in poll() after ROUNDS in which nothing was there. With two more addresses it forwards what
// comes by OUT to IN likewise. Descriptor 3 is the XSKMAP of the program on IN, whose entry 0 becomes our socket,
// descriptor 4 that of the one on OUT. "ready" on standard output says that it forwards.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAMES 8192
#define FRAME_LEN 2048
#define RING_LEN 2048
#define BATCH 64
#define MAP_FD 3

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9	/* Linux 6.18 */
#endif

struct ring {
	uint32_t *producer, *consumer, *flags;
	void *entries;
	uint32_t at;	/* our own index: of the producer in fill and tx, of the consumer in rx and completion */
};

struct port {
	int fd;
	struct ring rx, tx, fill, completion;
	uint32_t pending;	/* frames sent and not yet completed */
};

/* A way is where frames come from, where they go, and their new addresses. */
struct way {
	struct port *in, *out;
	uint8_t macs[12];
};

static char *umem;
static uint64_t idle[FRAMES];	/* a stack of free frames */
static int idle_len;

static void die(const char *what)
{
	fprintf(stderr, "forwarder: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t acquire(uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static void release(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

static void map_ring(int fd, struct ring *r, const struct xdp_ring_offset *o, size_t entry, uint64_t which)
{
	char *m = mmap(NULL, o->desc + RING_LEN * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, which);

	if (m == MAP_FAILED)
		die("map a ring");
	r->producer = (uint32_t *)(m + o->producer);
	r->consumer = (uint32_t *)(m + o->consumer);
	r->flags = (uint32_t *)(m + o->flags);
	r->entries = m + o->desc;
}

static void size_ring(int fd, int option)
{
	int n = RING_LEN;

	if (setsockopt(fd, SOL_XDP, option, &n, sizeof(n)))
		die("size a ring");
}

/* open_port makes a socket on the interface; with first it shares that one's UMEM. */
static void open_port(struct port *p, const char *name, const struct port *first, int receives)
{
	struct sockaddr_xdp a = {.sxdp_family = AF_XDP, .sxdp_ifindex = if_nametoindex(name)};
	struct xdp_umem_reg reg = {.addr = (uintptr_t)umem, .len = (uint64_t)FRAMES * FRAME_LEN, .chunk_size = FRAME_LEN};
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int budget = RING_LEN, tries = 0;

	p->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		die("open a socket");
	if (!first && setsockopt(p->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)))
		die("register the UMEM");
	size_ring(p->fd, XDP_UMEM_FILL_RING);
	size_ring(p->fd, XDP_UMEM_COMPLETION_RING);
	size_ring(p->fd, XDP_TX_RING);
	if (receives)
		size_ring(p->fd, XDP_RX_RING);
	setsockopt(p->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));	/* older kernels: kick more often */
	if (getsockopt(p->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		die("ask for the rings");
	map_ring(p->fd, &p->fill, &off.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	map_ring(p->fd, &p->completion, &off.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);
	map_ring(p->fd, &p->tx, &off.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	if (receives)
		map_ring(p->fd, &p->rx, &off.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	a.sxdp_flags = first ? XDP_SHARED_UMEM : XDP_COPY | XDP_USE_NEED_WAKEUP;
	a.sxdp_shared_umem_fd = first ? first->fd : 0;
	while (bind(p->fd, (struct sockaddr *)&a, sizeof(a))) {
		if (errno != EBUSY || ++tries > 100)
			die(name);
		usleep(10000);	/* the socket before is released a little after its process ended */
	}
}

static void refill(struct port *p)
{
	uint32_t room = RING_LEN - (p->fill.at - acquire(p->fill.consumer));
	uint64_t *e = p->fill.entries;

	if (room < BATCH)
		return;
	for (; room > 0 && idle_len > 0; room--)
		e[p->fill.at++ & (RING_LEN - 1)] = idle[--idle_len];
	release(p->fill.producer, p->fill.at);
}

static void complete(struct port *p)
{
	uint32_t end = acquire(p->completion.producer);
	uint64_t *e = p->completion.entries;

	p->pending -= end - p->completion.at;
	while (p->completion.at != end)
		idle[idle_len++] = e[p->completion.at++ & (RING_LEN - 1)];
	release(p->completion.consumer, end);
}

/* kick lets the kernel send, which may take some of the frames only. */
static void kick(struct port *p)
{
	for (int i = 0; i < 2 * BATCH / 32 && acquire(p->tx.consumer) != p->tx.at; i++) {
		if (sendto(p->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno == EAGAIN)
			continue;
		if (errno != EBUSY && errno != ENOBUFS && errno != ENETDOWN)
			die("send");
		return;
	}
}

/* forward moves the frames that are there, at most a batch, and returns how many. */
static uint32_t forward(struct way *w)
{
	struct port *in = w->in, *out = w->out;
	uint32_t n = acquire(in->rx.producer) - in->rx.at;
	uint32_t room = RING_LEN - (out->tx.at - acquire(out->tx.consumer));
	struct xdp_desc *from = in->rx.entries, *to = out->tx.entries;

	if (n > BATCH)
		n = BATCH;
	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc d = from[in->rx.at++ & (RING_LEN - 1)];

		if (i >= room) {
			idle[idle_len++] = d.addr & ~(uint64_t)(FRAME_LEN - 1);
			continue;
		}
		memcpy(umem + d.addr, w->macs, 12);
		d.options = 0;
		to[out->tx.at++ & (RING_LEN - 1)] = d;
		out->pending++;
	}
	if (n > 0) {
		release(in->rx.consumer, in->rx.at);
		release(out->tx.producer, out->tx.at);
	}
	return n;
}

/* serve forwards one batch of a way and returns how many frames that was. */
static uint32_t serve(struct way *w)
{
	uint32_t n;

	if (w->out->pending > 0)
		complete(w->out);
	refill(w->in);
	n = forward(w);
	if (n > 0 && acquire(w->out->tx.flags) & XDP_RING_NEED_WAKEUP)
		kick(w->out);
	return n;
}

/* rest waits for frames: in the kernel, or by asking it for them only. */
static void rest(struct way *ways, int n, int sleeps)
{
	struct pollfd readable[2];

	for (int i = 0; i < n; i++) {
		readable[i] = (struct pollfd){.fd = ways[i].in->fd, .events = POLLIN};
		if (!sleeps && acquire(ways[i].in->fill.flags) & XDP_RING_NEED_WAKEUP)
			recvfrom(ways[i].in->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	}
	if (sleeps)
		poll(readable, n, 100);
}

static void parse_mac(const char *s, uint8_t *mac)
{
	if (sscanf(s, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) {
		fprintf(stderr, "forwarder: %s is no MAC address\n", s);
		exit(2);
	}
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("pin");
}

/* register_socket makes the XDP program of a map give its frames to fd. */
static void register_socket(int map, int fd)
{
	uint32_t key = 0, value = fd;
	union bpf_attr attr = {.map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)&value};

	if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)))
		die("put the socket into the map");
}

int main(int argc, char **argv)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	struct port a = {0}, b = {0};
	struct way ways[2] = {{.in = &a, .out = &a}, {.in = &b, .out = &a}};
	int n = argc == 9 ? 2 : 1, rounds, empty = 0;

	if ((argc != 7 && argc != 9) || (n == 2 && !strcmp(argv[3], argv[4]))) {
		fprintf(stderr, "usage: forwarder CPU spin|ROUNDS IN OUT SRC-MAC DST-MAC [BACK-SRC-MAC BACK-DST-MAC]\n");
		return 2;
	}
	for (int i = 0; i < n; i++) {
		parse_mac(argv[6 + 2 * i], ways[i].macs);
		parse_mac(argv[5 + 2 * i], ways[i].macs + 6);
	}
	rounds = strcmp(argv[2], "spin") ? atoi(argv[2]) : 0;
	pin(atoi(argv[1]));
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	umem = mmap(NULL, (size_t)FRAMES * FRAME_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (umem == MAP_FAILED)
		die("take memory");
	for (int i = FRAMES; i > 0; i--)
		idle[idle_len++] = (uint64_t)(i - 1) * FRAME_LEN;
	open_port(&a, argv[3], NULL, 1);
	if (strcmp(argv[3], argv[4])) {
		ways[0].out = &b;
		open_port(&b, argv[4], &a, n == 2);
	}
	for (int i = 0; i < n; i++)
		register_socket(MAP_FD + i, ways[i].in->fd);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		uint32_t moved = 0;

		for (int i = 0; i < n; i++)
			moved += serve(&ways[i]);
		empty = moved > 0 ? 0 : empty + 1;
		if (moved > 0)
			continue;
		for (int i = 0; i < n; i++)
			if (ways[i].out->pending > 0)
				kick(ways[i].out);
		if (rounds == 0 || empty >= rounds)
			rest(ways, n, rounds > 0);
	}
}

// Connects to the servers 10.9.0.1 to 10.9.7.250, port 80, 2 000 times a second, as TCP_CHECK does and with nothing else to do: every
// 10 ms those that are due, by sockets that do not block, and one epoll instance for the answers. It prints its own processor time, in
// percent: what the kernel takes for such connections.
//
// usage: connects SECONDS

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RATE = 2000, TICK = 10, EVENTS = 256 };

static long answered, failed;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void begin(int epoll, int server) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	to.sin_addr.s_addr = htonl(10u << 24 | 9 << 16 | server / 250 << 8 | (server % 250 + 1));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
		failed++;
		if (fd >= 0)
			close(fd);
		return;
	}
	struct epoll_event e = {.events = EPOLLOUT, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0)
		failed++;
}

static void take(int epoll, int wait) {
	struct epoll_event list[EVENTS];
	int n = epoll_wait(epoll, list, EVENTS, wait);
	for (int i = 0; i < n; i++) {
		int err = 0;
		socklen_t size = sizeof err;
		if (getsockopt(list[i].data.fd, SOL_SOCKET, SO_ERROR, &err, &size) != 0 || err != 0)
			failed++;
		else
			answered++;
		close(list[i].data.fd);
	}
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec * 1e-6; }

int main(int argc, char **argv) {
	int epoll = epoll_create1(0);
	double during = argc > 1 ? atof(argv[1]) : 3, start = now(), passed;
	for (long begun = 0; (passed = now() - start) < during;) {
		for (; begun < passed * RATE; begun++)
			begin(epoll, begun % RATE);
		for (double next = now() + TICK * 1e-3, left = TICK * 1e-3; left > 0; left = next - now())
			take(epoll, (int)(left * 1e3 + 1));
	}
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	printf("user %.1f system %.1f answered %ld failed %ld\n", 100 * seconds(u.ru_utime) / passed, 100 * seconds(u.ru_stime) / passed, answered, failed);
	return failed != 0;
}

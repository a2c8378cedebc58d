// SPDX-License-Identifier: Apache-2.0
//
// What it takes to wake a thread on another processor, and nothing else: a thread on CPU spins through a silence, then
// rings an eventfd on which one on OTHER sleeps in poll(). It prints the microseconds from the call to the return of the
// other's poll(), one line for each of COUNT.
//
//	wake CPU OTHER SILENCE-US COUNT
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static int bell, sleeper;
static uint64_t woken;	/* when; 0: not yet */

static void die(const char *what)
{
	fprintf(stderr, "wake: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("pin");
}

static void *sleep_on(void *unused)
{
	struct pollfd p = {.fd = bell, .events = POLLIN};
	uint64_t rung, when;

	pin(sleeper);
	for (;;) {
		poll(&p, 1, -1);
		when = now();
		if (read(bell, &rung, sizeof(rung)) != sizeof(rung)) /* before the next one can be rung */
			die("read the bell");
		__atomic_store_n(&woken, when, __ATOMIC_RELEASE);
	}
	return unused;
}

int main(int argc, char **argv)
{
	uint64_t one = 1, silence;
	pthread_t thread;

	if (argc != 5) {
		fprintf(stderr, "usage: wake CPU OTHER SILENCE-US COUNT\n");
		return 2;
	}
	pin(atoi(argv[1]));
	sleeper = atoi(argv[2]);
	silence = atoi(argv[3]) * 1000ull;
	bell = eventfd(0, EFD_CLOEXEC);
	if (bell < 0 || pthread_create(&thread, NULL, sleep_on, NULL))
		die("start");
	for (int left = atoi(argv[4]); left > 0; left--) {
		uint64_t from, then, quiet = now() + silence;

		while (now() < quiet)
			;
		__atomic_store_n(&woken, 0, __ATOMIC_RELEASE);
		from = now();
		if (write(bell, &one, sizeof(one)) != sizeof(one))
			die("ring");
		while ((then = __atomic_load_n(&woken, __ATOMIC_ACQUIRE)) == 0)
			;
		printf("%.1f\n", (then - from) / 1e3);
	}
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_LOOP_H
#define VUCD_LOOP_H

/* The main thread's epoll loop. Functions return 0 or a negative errno. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct vucd_watch;

/* Called when fd is ready for one of events, EPOLLIN and the like. It may remove and free any
 * watch, its own included. */
typedef void (*vucd_ready_fn)(struct vucd_watch *watch, uint32_t events);

/* A descriptor in the loop: part of what it belongs to. */
struct vucd_watch {
	int fd; /* stays its owner's */
	vucd_ready_fn ready;
	void *arg; /* the owner's */
};

struct vucd_loop {
	int epfd;
	bool stopped;
};

int vucd_loop_init(struct vucd_loop *loop);
void vucd_loop_fini(struct vucd_loop *loop);

/* Call ready when fd is readable. The watch is filled by this. */
int vucd_loop_add(
	struct vucd_loop *loop, struct vucd_watch *watch, int fd, vucd_ready_fn ready, void *arg);

/* Wait for other events; 0 waits for errors only. */
int vucd_loop_change(struct vucd_loop *loop, struct vucd_watch *watch, uint32_t events);

/* Before fd is closed. */
void vucd_loop_remove(struct vucd_loop *loop, struct vucd_watch *watch);

/* Run until loop->stopped is set. */
int vucd_loop_run(struct vucd_loop *loop);

#endif /* VUCD_LOOP_H */

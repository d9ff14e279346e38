/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_ATTEND_H
#define VUC_POLLER_ATTEND_H

/*
 * Attendants: connections of clients that a poller serves beside its devices. While something comes
 * by a connection, it is looked at in each loop; a quiet one is left to epoll, which also wakes a
 * poller that sleeps.
 *
 * All functions are called on the poller's thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <vuc/poller.h>

struct poller_attendant_ops {
	/* Take what has come, until nothing is left or the attendant cannot take more now. Called
	 * before queues are served, so that what is submitted here goes out in the same loop.
	 * Returns whether anything has come. */
	bool (*look)(void *arg);
	/* At the end of a poll: queues may have results. */
	void (*results)(void *arg);
	/* When tick() has something to do (vuc_clock_coarse_ms()); 0: never. It ends a sleep. */
	uint64_t (*due_ms)(void *arg);
	void (*tick)(void *arg, uint64_t now_ms);
};

/* Memory of whoever attends; zeroed, with the first three fields set. */
struct poller_attendant {
	int fd; /* of a socket; it stays open until vuc_poller_unattend() */
	const struct poller_attendant_ops *ops;
	void *arg;
	bool busy; /* results are awaited: set and cleared by the attendant */
	/* epoll has reported something, once; cleared by the attendant when nothing is left. */
	bool event;

	/* The poller's. */
	struct vuc_poller *poller;
	bool hot;    /* it is looked at in each loop */
	bool paused; /* it is not looked at */
	bool output; /* it waits for room in its socket */
	unsigned int quiet;
	TAILQ_ENTRY(poller_attendant) link;
	TAILQ_ENTRY(poller_attendant) hot_link;
};

/* Begin to look after an attendant. Returns 0, or what epoll_ctl(2) says. */
int vuc_poller_attend(struct vuc_poller *p, struct poller_attendant *a);

/* End that; also from its own functions, none of which is called any more. One that is not attended
 * to is ignored. */
void vuc_poller_unattend(struct poller_attendant *a);

/* Somebody else uses the socket for a while: only tick() is called. And look at it again, whether
 * anything has come or not. */
void vuc_poller_pause_attendant(struct poller_attendant *a);
void vuc_poller_resume_attendant(struct poller_attendant *a);

/* Whether look() is to be called when there is room in the socket as well. */
void vuc_poller_await_output(struct poller_attendant *a, bool wanted);

#endif /* VUC_POLLER_ATTEND_H */

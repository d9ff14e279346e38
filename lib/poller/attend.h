/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_ATTEND_H
#define VUC_POLLER_ATTEND_H

/*
 * Attendants: connections of clients that a poller serves beside its devices. A connection that
 * receives something is looked at in each loop; a quiet one is left to epoll, which also wakes a
 * sleeping poller.
 *
 * All functions are called on the poller's thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <vuc/poller.h>

struct poller_attendant_ops {
	/* Receive what has arrived, until nothing is left or the attendant cannot accept more now.
	 * Called before queues are served, so that requests submitted here are sent in the same
	 * loop. Returns whether anything has arrived. */
	bool (*look)(void *arg);
	/* Called at the end of a poll: queues may have results. */
	void (*results)(void *arg);
	/* When to call tick() (vuc_clock_coarse_ms()); 0: never. It ends a sleep. */
	uint64_t (*due_ms)(void *arg);
	void (*tick)(void *arg, uint64_t now_ms);
};

/* The attendant's memory; zeroed, with the first three fields set. */
struct poller_attendant {
	int fd; /* of a socket; it stays open until vuc_poller_unattend() */
	const struct poller_attendant_ops *ops;
	void *arg;
	bool busy; /* results are awaited: set and cleared by the attendant */
	/* epoll has reported something, once; cleared by the attendant when nothing is left. */
	bool event;

	/* Fields of the poller. */
	struct vuc_poller *poller;
	bool hot;    /* it is looked at in each loop */
	bool paused; /* it is not looked at */
	bool output; /* it waits for room in its socket */
	unsigned int quiet;
	TAILQ_ENTRY(poller_attendant) link;
	TAILQ_ENTRY(poller_attendant) hot_link;
};

/* Begin to serve an attendant. Returns 0, or the error of epoll_ctl(2). */
int vuc_poller_attend(struct vuc_poller *p, struct poller_attendant *a);

/* Stop serving it, also from its own functions, none of which is called afterwards. An attendant
 * that is not served is ignored. */
void vuc_poller_unattend(struct poller_attendant *a);

/* Pause: someone else uses the socket, and only tick() is called. Resume: look at it again, whether
 * anything has arrived or not. */
void vuc_poller_pause_attendant(struct poller_attendant *a);
void vuc_poller_resume_attendant(struct poller_attendant *a);

/* Set whether look() is also called when there is room in the socket. */
void vuc_poller_await_output(struct poller_attendant *a, bool wanted);

#endif /* VUC_POLLER_ATTEND_H */

/* SPDX-License-Identifier: BSD-3-Clause */

/* What a poller's thread runs. */

#include <errno.h>
#include <sched.h>

#include "internal.h"
#include "source.h"

#define SLEEP_MS    1000u /* at most; only what is parked, and attendants, depend on it */
#define SHORT_LOOPS 64u   /* to look around after what is rare, and need not be followed by more */

/* What follows an access comes soon, as the next one does: those are worth all loops. */
static void
look_around(struct vuc_poller *p)
{
	uint32_t behind = p->idle_loops > SHORT_LOOPS ? p->idle_loops - SHORT_LOOPS : 0;

	if (p->empty > behind)
		p->empty = behind;
}

/* What is posted meanwhile waits for the next loop. */
static void
run_posts(struct vuc_poller *p)
{
	struct vuc_post_list posts = STAILQ_HEAD_INITIALIZER(posts);
	struct vuc_post *post;

	pthread_mutex_lock(&p->lock);
	STAILQ_CONCAT(&posts, &p->posts);
	atomic_store_explicit(&p->posted, false, memory_order_relaxed);
	pthread_mutex_unlock(&p->lock);
	while ((post = STAILQ_FIRST(&posts)) != NULL) {
		STAILQ_REMOVE_HEAD(&posts, link);
		stats_add(&p->stats.calls, 1);
		post->fn(post->arg);
	}
}

/*
 * Here: store `sleeps`, then look at bells, posts and stop. There: store one of these, then look at
 * `sleeps`, and write to the eventfd if it is set (ring() in front.c, vuc_poller_post(),
 * vuc_poller_destroy()). All of that is in the one order of sequentially consistent operations, so
 * either it is seen here, or the eventfd ends the wait. For queues that have not been told to ring
 * yet poller_set_bells() has the fence. A process that does none of this loses its own wake-ups.
 */
static void
sleep_until_kicked(struct vuc_poller *p)
{
	int rc = -EAGAIN;
	bool kicked;

	atomic_store_explicit(p->sleeps, 1, memory_order_seq_cst);
	if (poller_set_bells(p) && !poller_hears_bell(p) &&
		!atomic_load_explicit(&p->posted, memory_order_seq_cst) &&
		!atomic_load_explicit(&p->stop, memory_order_seq_cst)) {
		stats_add(&p->stats.sleeps, 1);
		poller_watch_devices(p);
		rc = vuc_poll_group_wait(p->group, p->wake_fd,
			poller_attend_sleep_ms(p, poller_hold_sleep_ms(p, SLEEP_MS)));
	}
	atomic_store_explicit(p->sleeps, 0, memory_order_relaxed);
	kicked = poller_wake_take(p);
	poller_clear_bells(p);
	/* When only time has passed, one look around is enough. */
	p->empty = rc == 1 && !kicked ? 0 : p->idle_loops;
	if (rc != 0)
		look_around(p);
}

static void
poller_idle(struct vuc_poller *p)
{
	stats_add(&p->stats.loops_empty, 1);
	if (p->idle == VUC_IDLE_SPIN || p->empty++ < p->idle_loops)
		return;
	if (p->idle == VUC_IDLE_SLEEP) {
		sleep_until_kicked(p);
		return;
	}
	p->empty = p->idle_loops;
	sched_yield();
	vuc_poll_group_look_at_clock(p->group);
}

void
poller_loop(struct vuc_poller *p)
{
	int completed;

	/* Pairs with vuc_poller_destroy(): nobody looks at the poller's group any more. */
	while (!atomic_load_explicit(&p->stop, memory_order_acquire)) {
		p->taken = 0;
		p->answered = 0;
		if (atomic_load_explicit(&p->posted, memory_order_relaxed)) {
			run_posts(p);
			look_around(p);
		}
		completed = vuc_poll_group_poll(p->group);
		if (p->taken > 0 || p->answered > 0) {
			stats_add(&p->stats.loops_busy, 1);
			p->empty = 0;
		} else if (completed > 0) {
			stats_add(&p->stats.loops_busy, 1);
			look_around(p);
		} else {
			poller_idle(p);
		}
	}
	while (atomic_load_explicit(&p->posted, memory_order_relaxed))
		run_posts(p);
}

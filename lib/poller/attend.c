/* SPDX-License-Identifier: BSD-3-Clause */
#include "attend.h"

#include <errno.h>
#include <sys/epoll.h>

#include "clock.h"
#include "internal.h"

#define EVENTS     64  /* taken at once; further ones end the next sleep */
#define COLD_LOOPS 64u /* between looks for quiet ones while the poller does not sleep */

/* ---- what is looked at ---- */

/* Edge-triggered: a quiet one has been looked at until nothing was left; and that the client has
 * left cannot be masked, but does not end each sleep of a pause. */
static int
attendant_set_events(const struct poller_attendant *a, int op)
{
	struct epoll_event event = {.events = EPOLLET, .data.ptr = (void *)(uintptr_t)a};

	if (!a->paused)
		event.events |= EPOLLIN | (a->output ? EPOLLOUT : 0u);
	return epoll_ctl(a->poller->wake_fd, op, a->fd, &event) == 0 ? 0 : -errno;
}

static void
attendant_heat(struct poller_attendant *a)
{
	a->quiet = 0;
	if (a->paused)
		return;
	a->event = true;
	if (a->hot)
		return;
	a->hot = true;
	a->poller->nr_hot++;
	TAILQ_INSERT_TAIL(&a->poller->hot_attendants, a, hot_link);
}

static void
attendant_cool(struct poller_attendant *a)
{
	if (!a->hot)
		return;
	a->hot = false;
	a->poller->nr_hot--;
	TAILQ_REMOVE(&a->poller->hot_attendants, a, hot_link);
}

/* Events of others carry no attendant. */
bool
poller_take_events(struct vuc_poller *p)
{
	struct epoll_event events[EVENTS];
	int nr = epoll_wait(p->wake_fd, events, EVENTS, 0);

	for (int i = 0; i < nr; i++) {
		if (events[i].data.ptr != NULL)
			attendant_heat(events[i].data.ptr);
	}
	return nr > 0;
}

int
vuc_poller_attend(struct vuc_poller *p, struct poller_attendant *a)
{
	int rc;

	a->poller = p;
	rc = attendant_set_events(a, EPOLL_CTL_ADD);
	if (rc != 0) {
		a->poller = NULL;
		return rc;
	}
	TAILQ_INSERT_TAIL(&p->attendants, a, link);
	p->nr_attendants++;
	attendant_heat(a);
	return 0;
}

void
vuc_poller_unattend(struct poller_attendant *a)
{
	struct vuc_poller *p = a->poller;

	if (p == NULL)
		return;
	attendant_cool(a);
	TAILQ_REMOVE(&p->attendants, a, link);
	p->nr_attendants--;
	epoll_ctl(p->wake_fd, EPOLL_CTL_DEL, a->fd, NULL);
	a->poller = NULL;
}

void
vuc_poller_pause_attendant(struct poller_attendant *a)
{
	attendant_cool(a);
	a->paused = true;
	attendant_set_events(a, EPOLL_CTL_MOD);
}

void
vuc_poller_resume_attendant(struct poller_attendant *a)
{
	a->paused = false;
	attendant_set_events(a, EPOLL_CTL_MOD);
	attendant_heat(a);
}

void
vuc_poller_await_output(struct poller_attendant *a, bool wanted)
{
	if (a->output == wanted)
		return;
	a->output = wanted;
	attendant_set_events(a, EPOLL_CTL_MOD);
}

/* ---- in each loop ---- */

static void
attendant_look(struct vuc_poller *p, struct poller_attendant *a)
{
	bool came = a->ops->look(a->arg);

	if (came)
		p->taken++;
	if (a->poller == NULL || !a->hot)
		return;
	if (came || a->busy)
		a->quiet = 0;
	else if (++a->quiet > QUIET_LOOKS)
		attendant_cool(a);
}

void
poller_look_at_attendants(struct vuc_poller *p)
{
	struct poller_attendant *a, *next;

	if (++p->cold_loops >= COLD_LOOPS) {
		p->cold_loops = 0;
		/* If all are hot, epoll has none to report. */
		if (p->nr_hot < p->nr_attendants)
			poller_take_events(p);
	}
	for (a = TAILQ_FIRST(&p->hot_attendants); a != NULL; a = next) {
		next = TAILQ_NEXT(a, hot_link);
		attendant_look(p, a);
	}
}

void
poller_give_results(struct vuc_poller *p)
{
	struct poller_attendant *a, *next;

	for (a = TAILQ_FIRST(&p->hot_attendants); a != NULL; a = next) {
		next = TAILQ_NEXT(a, hot_link);
		if (a->busy)
			a->ops->results(a->arg);
	}
}

/* ---- deadlines ---- */

void
poller_tick_attendants(struct vuc_poller *p)
{
	uint64_t now = vuc_clock_coarse_ms();
	struct poller_attendant *a, *next;

	for (a = TAILQ_FIRST(&p->attendants); a != NULL; a = next) {
		uint64_t due = a->ops->due_ms(a->arg);

		next = TAILQ_NEXT(a, link);
		if (due != 0 && due <= now)
			a->ops->tick(a->arg, now);
	}
}

unsigned int
poller_attend_sleep_ms(const struct vuc_poller *p, unsigned int max)
{
	uint64_t now = vuc_clock_coarse_ms();
	const struct poller_attendant *a;

	TAILQ_FOREACH (a, &p->attendants, link) {
		uint64_t due = a->ops->due_ms(a->arg);
		uint64_t left = due > now ? due - now : 0;

		if (due != 0 && left < max)
			max = (unsigned int)left;
	}
	return max;
}

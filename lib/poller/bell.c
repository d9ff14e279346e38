/* SPDX-License-Identifier: BSD-3-Clause */

/* Which queues a poller looks at: in each loop, or once they have rung. */

#include "internal.h"

/*
 * Bells of remotes that are looked at in one loop. However many processes are quiet, the others are
 * served no later for it; and each is heard after some loops.
 */
#define REMOTE_LOOKS 32u

void
poller_activate(struct poller_queue *q)
{
	struct poller_device *d = q->device;

	q->quiet = 0;
	if (q->active)
		return;
	q->active = true;
	vuc_queue_back_set_bell(&q->back, false);
	if (TAILQ_EMPTY(&d->active))
		TAILQ_INSERT_TAIL(&q->poller->active, d, active_link);
	TAILQ_INSERT_TAIL(&d->active, q, active_link);
}

void
poller_deactivate(struct poller_queue *q)
{
	struct poller_device *d = q->device;

	if (!q->active)
		return;
	q->active = false;
	TAILQ_REMOVE(&d->active, q, active_link);
	if (TAILQ_EMPTY(&d->active))
		TAILQ_REMOVE(&q->poller->active, d, active_link);
}

void
poller_leave_to_bell(struct poller_queue *q)
{
	q->quiet = 0;
	if (q->back.outstanding > 0)
		return;
	vuc_queue_back_set_bell(&q->back, true);
	if (q->broken || vuc_queue_back_is_empty(&q->back))
		poller_deactivate(q);
	else
		vuc_queue_back_set_bell(&q->back, false);
}

/* What a word had rung. The front may be anybody: bits without a queue mean nothing. */
static uint64_t
take_rings(_Atomic uint64_t *word)
{
	if (atomic_load_explicit(word, memory_order_relaxed) == 0)
		return 0;
	/* Pairs with ring() in front.c. */
	return atomic_exchange_explicit(word, 0, memory_order_seq_cst);
}

static void
activate_queues(struct poller_queue *const *queues, uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1) {
		struct poller_queue *q = queues[__builtin_ctzll(bits)];

		if (q != NULL && !q->broken)
			poller_activate(q);
	}
}

static void
hear_remotes(struct vuc_poller *p)
{
	unsigned int looks = p->nr_remotes < REMOTE_LOOKS ? p->nr_remotes : REMOTE_LOOKS;

	for (; looks > 0; looks--) {
		const struct remote_bell *bell;

		if (p->next_remote >= p->nr_remotes)
			p->next_remote = 0;
		bell = &p->remotes[p->next_remote++];
		activate_queues(bell->remote->queues, take_rings(bell->word));
	}
}

void
poller_hear_bells(struct vuc_poller *p)
{
	for (unsigned int i = 0; i < p->nr_words; i++)
		activate_queues(&p->queues[(size_t)i * BELL_BITS], take_rings(&p->bells[i]));
	hear_remotes(p);
}

bool
poller_hears_bell(const struct vuc_poller *p)
{
	for (unsigned int i = 0; i < p->nr_words; i++) {
		if (atomic_load_explicit(&p->bells[i], memory_order_seq_cst) != 0)
			return true;
	}
	for (unsigned int i = 0; i < p->nr_remotes; i++) {
		if (atomic_load_explicit(p->remotes[i].word, memory_order_seq_cst) != 0)
			return true;
	}
	return false;
}

bool
poller_set_bells(struct vuc_poller *p)
{
	const struct poller_device *d;
	struct poller_queue *q;
	bool empty = true;

	TAILQ_FOREACH (d, &p->active, active_link) {
		TAILQ_FOREACH (q, &d->active, active_link) {
			vuc_queue_back_set_bell(&q->back, true);
			if (!q->broken && !vuc_queue_back_is_empty(&q->back))
				empty = false;
		}
	}
	return empty;
}

void
poller_clear_bells(struct vuc_poller *p)
{
	const struct poller_device *d;
	struct poller_queue *q;

	TAILQ_FOREACH (d, &p->active, active_link) {
		TAILQ_FOREACH (q, &d->active, active_link)
			vuc_queue_back_set_bell(&q->back, false);
	}
}

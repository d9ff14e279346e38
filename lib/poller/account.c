/* SPDX-License-Identifier: BSD-3-Clause */

/* What is counted of a device over all its connections, outages among it. */

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "internal.h"
#include "registry.h"
#include "sync.h"
#include "text.h"
#include "watch.h"

struct poller_account *
vuc_poller_open_account(struct vuc_poller *p, const char *name)
{
	struct poller_account *a = queue_alloc_lines(sizeof(*a));

	if (a == NULL)
		return NULL;
	a->closer = vuc_closer_create(p->closers, 1);
	if (a->closer == NULL) {
		free(a);
		return NULL;
	}
	snprintf(a->name, sizeof(a->name), "%s", name);
	vuc_text_clean_name(a->name);
	vuc_registry_add_account(p, a);
	return a;
}

void
vuc_poller_close_account(struct vuc_poller *p, struct poller_account *account)
{
	if (account == NULL)
		return;
	poller_capture_close_account(account);
	vuc_registry_remove_account(p, account);
	vuc_closer_let_go(account->closer);
	free(account);
}

/* ---- outages ---- */

/* Whether a device of the account is connected. One that is away is still to be restored, by a
 * connection that is not for others. */
static bool
account_is_served(const struct vuc_poller *p, const struct poller_account *a)
{
	const struct poller_device *d;
	bool served = false;

	TAILQ_FOREACH (d, &p->devices, link) {
		bool connected = atomic_load_explicit(&d->connected, memory_order_relaxed);

		if (d->account != a || !atomic_load_explicit(&d->open, memory_order_relaxed))
			continue;
		if (poller_is_away(d) && !connected)
			return false;
		served |= connected;
	}
	return served;
}

/* In the word that has the time of all outages: one lasts, and the rest of the word is the time at
 * which it would have begun if it were all of them. */
#define OUTAGE_LASTS (UINT64_C(1) << 63)
/* It has ended, and whoever looks at the clock next says when. So nobody has read a later time
 * before that, and what is read never decreases. */
#define OUTAGE_ENDS (UINT64_C(1) << 62)

uint64_t
poller_account_outage_ms(struct poller_account *a)
{
	uint64_t word = atomic_load(&a->outage), ms;

	do {
		if ((word & OUTAGE_LASTS) == 0)
			return word;
		ms = vuc_clock_ms() - (word & ~(OUTAGE_LASTS | OUTAGE_ENDS));
	} while (!atomic_compare_exchange_weak(
		&a->outage, &word, (word & OUTAGE_ENDS) != 0 ? ms : word));
	return ms;
}

bool
poller_account_begin_outage(const struct vuc_poller *p, struct poller_account *a)
{
	uint64_t before_ms = atomic_load(&a->outage);

	if ((before_ms & OUTAGE_LASTS) != 0 || account_is_served(p, a))
		return false;
	stats_add(&a->outages, 1);
	a->outages_before_ms = before_ms;
	atomic_store(&a->outage, OUTAGE_LASTS | (vuc_clock_ms() - before_ms));
	return true;
}

void
poller_account_end_outage(const struct vuc_poller *p, struct poller_account *a)
{
	if ((atomic_load(&a->outage) & OUTAGE_LASTS) == 0 || !account_is_served(p, a))
		return;
	atomic_fetch_or(&a->outage, OUTAGE_ENDS);
	atomic_store_explicit(&a->outage_last_ms,
		poller_account_outage_ms(a) - a->outages_before_ms, memory_order_relaxed);
}

void
poller_device_returned(struct poller_device *d)
{
	atomic_store_explicit(&d->connected, true, memory_order_relaxed);
	poller_account_end_outage(d->poller, d->account);
}

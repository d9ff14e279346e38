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

bool
poller_account_begin_outage(const struct vuc_poller *p, struct poller_account *a)
{
	if (stats_get(&a->outage_since_ms) != 0 || account_is_served(p, a))
		return false;
	stats_add(&a->outages, 1);
	atomic_store_explicit(&a->outage_since_ms, vuc_clock_ms(), memory_order_relaxed);
	return true;
}

void
poller_account_end_outage(const struct vuc_poller *p, struct poller_account *a)
{
	uint64_t since_ms = stats_get(&a->outage_since_ms);
	uint64_t ms;

	if (since_ms == 0 || !account_is_served(p, a))
		return;
	ms = vuc_clock_ms() - since_ms;
	stats_add(&a->outage_ms, ms);
	atomic_store_explicit(&a->outage_last_ms, ms, memory_order_relaxed);
	atomic_store_explicit(&a->outage_since_ms, 0, memory_order_relaxed);
}

void
poller_device_returned(struct poller_device *d)
{
	atomic_store_explicit(&d->connected, true, memory_order_relaxed);
	poller_account_end_outage(d->poller, d->account);
}

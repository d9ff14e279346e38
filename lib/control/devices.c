/* SPDX-License-Identifier: BSD-3-Clause */

/* The list of devices: one is found, looked at, taken away from its VMM, and freed; and who may
 * have it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "vmm.h"
#include "watch.h"

/* ---- who may have one ---- */

static void *
permission_copy_list(const void *list, size_t bytes)
{
	void *copy = malloc(bytes > 0 ? bytes : 1);

	if (copy != NULL && bytes > 0)
		memcpy(copy, list, bytes);
	return copy;
}

static void
permission_fini(struct control_permission *p)
{
	free(p->users);
	free(p->groups);
	*p = (struct control_permission){0};
}

int
control_permission_init(struct control_permission *p, const struct vuc_control_device_opts *opts)
{
	*p = (struct control_permission){
		.users = permission_copy_list(opts->users, opts->nr_users * sizeof(*opts->users)),
		.nr_users = opts->nr_users,
		.groups =
			permission_copy_list(opts->groups, opts->nr_groups * sizeof(*opts->groups)),
		.nr_groups = opts->nr_groups,
	};
	if (p->users != NULL && p->groups != NULL)
		return 0;
	permission_fini(p);
	return -ENOMEM;
}

bool
control_may(const struct control_permission *p, const struct vuc_peer *peer)
{
	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	for (unsigned int i = 0; i < p->nr_users; i++) {
		if (p->users[i] == peer->uid)
			return true;
	}
	for (unsigned int i = 0; i < p->nr_groups; i++) {
		if (vuc_peer_is_member(peer, p->groups[i]))
			return true;
	}
	return false;
}

/* ---- the list ---- */

void
control_device_free(struct control_device *d)
{
	control_export_close(d);
	permission_fini(&d->permission);
	vuc_poller_close_account(d->poller, d->account);
	free(d);
}

struct control_device *
control_find(struct vuc_control *c, const char *name)
{
	struct control_device *d;

	TAILQ_FOREACH (d, &c->devices, entry) {
		if (!d->removing && strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

uint64_t
control_count_dropped(const struct control_device *d)
{
	struct vuc_device_stats stats;

	vuc_poller_account_stats(d->poller, d->account, &stats);
	return stats.accesses.dropped_writes;
}

void
control_poke(struct control_device *d)
{
	/* Pairs with control_look_at_poked(). */
	if (!atomic_exchange_explicit(&d->poked, true, memory_order_acq_rel))
		vuc_mailbox_post(&d->control->mailbox, &d->poke);
}

void
control_insert_request(struct control_device *d, struct control_request *r)
{
	r->attaches = d->attaches;
	STAILQ_INSERT_TAIL(&d->requests, r, link);
	control_poke(d);
}

bool
control_has_vmm(const struct control_device *d)
{
	return d->vmm != NULL && !d->cleaning;
}

void
control_take_away(struct control_device *d)
{
	vmm_tell(d->vmm, VUC_SHM_REMOVED, d->generation);
	vmm_leave(d->vmm, vuc_clock_ms() + LEAVE_GRACE_MS, "the device was taken away");
}

static void
requests_answer(struct control_requests *requests)
{
	static const struct vuc_error none = {0};
	struct control_request *r;

	while ((r = STAILQ_FIRST(requests)) != NULL) {
		STAILQ_REMOVE_HEAD(requests, link);
		r->done(r->arg, 0, &none);
		free(r);
	}
}

static bool
request_is_fulfilled(const struct control_device *d, const struct control_request *r)
{
	switch (r->kind) {
	case CONTROL_TRIED:
		return d->tried || d->removing;
	case CONTROL_DETACHED:
		return d->vmm == NULL || d->attaches != r->attaches;
	case CONTROL_REMOVED:
		break; /* when the device is freed */
	}
	return false;
}

static void
device_take_fulfilled(struct control_device *d, struct control_requests *fulfilled)
{
	struct control_requests left = STAILQ_HEAD_INITIALIZER(left);
	struct control_request *r;

	pthread_mutex_lock(&d->control->lock);
	while ((r = STAILQ_FIRST(&d->requests)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->requests, link);
		if (request_is_fulfilled(d, r))
			STAILQ_INSERT_TAIL(fulfilled, r, link);
		else
			STAILQ_INSERT_TAIL(&left, r, link);
	}
	STAILQ_CONCAT(&d->requests, &left);
	pthread_mutex_unlock(&d->control->lock);
}

void
control_answer_fulfilled(struct control_device *d)
{
	struct control_requests fulfilled = STAILQ_HEAD_INITIALIZER(fulfilled);

	device_take_fulfilled(d, &fulfilled);
	requests_answer(&fulfilled);
}

void
control_drop_device(struct control_device *d)
{
	struct control_requests requests = STAILQ_HEAD_INITIALIZER(requests);
	struct vuc_control *c = d->control;
	bool poked;

	/* What was poked is looked at once more. Nobody pokes it from now on: it is not found. */
	pthread_mutex_lock(&c->lock);
	poked = atomic_load_explicit(&d->poked, memory_order_relaxed);
	pthread_mutex_unlock(&c->lock);
	if (poked)
		return;
	control_bar0_remove(d);
	control_log(&c->log, VUC_LOG_NOTICE, "%s: removed", d->name);
	pthread_mutex_lock(&c->lock);
	TAILQ_REMOVE(&c->devices, d, entry);
	STAILQ_CONCAT(&requests, &d->requests);
	control_device_free(d);
	pthread_mutex_unlock(&c->lock);
	requests_answer(&requests);
}

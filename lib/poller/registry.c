/* SPDX-License-Identifier: BSD-3-Clause */
#include "registry.h"

#include <stdio.h>
#include <string.h>

/* One for the process: telemetry tells of all pollers. */
static struct {
	pthread_mutex_t lock;
	struct registry_pollers pollers;
	uint32_t next_poller;
	uint32_t next_device;
} registry = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.pollers = TAILQ_HEAD_INITIALIZER(registry.pollers),
};

void
vuc_registry_lock(void)
{
	pthread_mutex_lock(&registry.lock);
}

void
vuc_registry_unlock(void)
{
	pthread_mutex_unlock(&registry.lock);
}

void
vuc_registry_add(struct vuc_poller *p)
{
	vuc_registry_lock();
	p->number = registry.next_poller++;
	TAILQ_INSERT_TAIL(&registry.pollers, p, registered);
	vuc_registry_unlock();
}

void
vuc_registry_remove(struct vuc_poller *p)
{
	vuc_registry_lock();
	TAILQ_REMOVE(&registry.pollers, p, registered);
	vuc_registry_unlock();
}

const struct registry_pollers *
vuc_registry_all(void)
{
	return &registry.pollers;
}

const struct poller_account *
vuc_registry_find_account(const char *name, const struct vuc_poller **poller)
{
	const struct poller_account *a;
	const struct vuc_poller *p;

	TAILQ_FOREACH (p, &registry.pollers, registered) {
		TAILQ_FOREACH (a, &p->accounts, link) {
			if (strcmp(a->name, name) != 0)
				continue;
			*poller = p;
			return a;
		}
	}
	return NULL;
}

static void
make_unique(struct poller_account *a)
{
	const struct vuc_poller *p;
	char base[sizeof(a->name)];
	uint32_t n = 2;

	memcpy(base, a->name, sizeof(base));
	while (vuc_registry_find_account(a->name, &p) != NULL)
		snprintf(a->name, sizeof(a->name), "%.107s#%u", base, n++);
}

void
vuc_registry_add_account(struct vuc_poller *p, struct poller_account *a)
{
	vuc_registry_lock();
	make_unique(a);
	TAILQ_INSERT_TAIL(&p->accounts, a, link);
	vuc_registry_unlock();
}

void
vuc_registry_remove_account(struct vuc_poller *p, struct poller_account *a)
{
	vuc_registry_lock();
	TAILQ_REMOVE(&p->accounts, a, link);
	vuc_stats_sum(&p->closed, &a->counters);
	vuc_registry_unlock();
}

uint32_t
vuc_registry_new_id(void)
{
	uint32_t id;

	vuc_registry_lock();
	id = ++registry.next_device;
	vuc_registry_unlock();
	return id;
}

void
vuc_registry_add_device(struct vuc_poller *p, struct poller_device *d)
{
	vuc_registry_lock();
	TAILQ_INSERT_TAIL(&p->devices, d, link);
	p->nr_devices++;
	vuc_registry_unlock();
}

void
vuc_registry_remove_device(struct vuc_poller *p, struct poller_device *d)
{
	vuc_registry_lock();
	TAILQ_REMOVE(&p->devices, d, link);
	p->nr_devices--;
	vuc_registry_unlock();
}

void
vuc_registry_add_remote(struct vuc_poller_remote *r)
{
	vuc_registry_lock();
	TAILQ_INSERT_TAIL(&r->device->remotes, r, link);
	vuc_registry_unlock();
}

void
vuc_registry_remove_remote(struct vuc_poller_remote *r)
{
	vuc_registry_lock();
	TAILQ_REMOVE(&r->device->remotes, r, link);
	vuc_stats_merge(&r->device->account->counters, &r->counters);
	vuc_registry_unlock();
}

struct poller_device *
vuc_registry_find_device(struct vuc_poller *p, const struct vuc_device *dev)
{
	struct poller_device *d;

	TAILQ_FOREACH (d, &p->devices, link) {
		if (d->dev == dev && !atomic_load_explicit(&d->closing, memory_order_relaxed))
			return d;
	}
	return NULL;
}

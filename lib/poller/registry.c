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

struct poller_account *
vuc_registry_find_account(const char *name, const struct vuc_poller **poller)
{
	struct poller_account *a;
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
vuc_stats_sum(struct vuc_access_stats *sum, const struct access_counters *c)
{
	sum->reads += stats_get(&c->reads);
	sum->writes += stats_get(&c->writes);
	sum->posted += stats_get(&c->posted);
	sum->read_bytes += stats_get(&c->read_bytes);
	sum->written_bytes += stats_get(&c->written_bytes);
	sum->bursts += stats_get(&c->bursts);
	for (unsigned int i = 0; i < VUC_BURST_SIZES; i++)
		sum->burst_sizes[i] += stats_get(&c->burst_sizes[i]);
	sum->retries += stats_get(&c->retries);
	sum->errors += stats_get(&c->errors);
	sum->timeouts += stats_get(&c->timeouts);
	sum->broken_queues += stats_get(&c->broken_queues);
	sum->held_reads += stats_get(&c->held_reads);
	sum->dropped_writes += stats_get(&c->dropped_writes);
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

/* On the thread that counts both: add what `from` has counted, at its end. */
static void
counters_merge(struct access_counters *to, const struct access_counters *from)
{
	stats_add(&to->reads, stats_get(&from->reads));
	stats_add(&to->writes, stats_get(&from->writes));
	stats_add(&to->posted, stats_get(&from->posted));
	stats_add(&to->read_bytes, stats_get(&from->read_bytes));
	stats_add(&to->written_bytes, stats_get(&from->written_bytes));
	stats_add(&to->bursts, stats_get(&from->bursts));
	for (unsigned int i = 0; i < VUC_BURST_SIZES; i++)
		stats_add(&to->burst_sizes[i], stats_get(&from->burst_sizes[i]));
	stats_add(&to->retries, stats_get(&from->retries));
	stats_add(&to->errors, stats_get(&from->errors));
	stats_add(&to->timeouts, stats_get(&from->timeouts));
	stats_add(&to->broken_queues, stats_get(&from->broken_queues));
	stats_add(&to->held_reads, stats_get(&from->held_reads));
	stats_add(&to->dropped_writes, stats_get(&from->dropped_writes));
}

void
vuc_registry_remove_remote(struct vuc_poller_remote *r)
{
	vuc_registry_lock();
	TAILQ_REMOVE(&r->device->remotes, r, link);
	counters_merge(&r->device->account->counters, &r->counters);
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

/* SPDX-License-Identifier: BSD-3-Clause */

/* What was counted, for those who ask. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include <vuc/export.h>

#include "clock.h"
#include "eal.h"
#include "internal.h"
#include "registry.h"
#include "telemetry.h"

static void
sum_remotes(struct vuc_access_stats *sum, const struct poller_device *d)
{
	const struct vuc_poller_remote *r;

	TAILQ_FOREACH (r, &d->remotes, link)
		vuc_stats_sum(sum, &r->counters);
}

static uint64_t
to_ns(uint64_t ticks)
{
	const uint64_t second = 1000000000;
	uint64_t hz = vuc_eal_tick_hz();

	return ticks / hz * second + ticks % hz * second / hz;
}

/* The ticks that `per_mille` of all requests did not pass. */
static uint64_t
histogram_percentile(const uint64_t *buckets, uint64_t count, uint64_t max, unsigned int per_mille)
{
	uint64_t rank = count / 1000 * per_mille + (count % 1000 * per_mille + 999) / 1000;
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		uint64_t last = vuc_bucket_last(i, HISTOGRAM_BITS);

		seen += buckets[i];
		if (seen >= rank)
			return last < max ? last : max;
	}
	return max;
}

static void
read_latency(const struct histogram *h, struct vuc_latency *latency)
{
	uint64_t buckets[HISTOGRAM_BUCKETS];
	uint64_t count = 0;
	uint64_t max;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		buckets[i] = stats_get(&h->buckets[i]);
		count += buckets[i];
	}
	*latency = (struct vuc_latency){.count = count};
	if (count == 0)
		return;
	max = stats_get(&h->max);
	latency->p50_ns = to_ns(histogram_percentile(buckets, count, max, 500));
	latency->p99_ns = to_ns(histogram_percentile(buckets, count, max, 990));
	latency->p999_ns = to_ns(histogram_percentile(buckets, count, max, 999));
	latency->max_ns = to_ns(max);
}

static uint64_t
ticks_of_ns(uint64_t ns, uint64_t hz)
{
	const uint64_t second = 1000000000;

	return ns / second * hz + ns % second * hz / second;
}

void
vuc_histogram_read(const struct histogram *h, uint64_t hz, struct vuc_latency_histogram *to)
{
	static const uint64_t steps[] = {1000, 2500, 5000};
	uint64_t sum = stats_get(&h->sum), power = 1, ticks;
	unsigned int bound = 0, i;

	*to = (struct vuc_latency_histogram){
		.sum_us = sum / hz * 1000000 + sum % hz * 1000000 / hz,
	};
	for (i = 0; i < VUC_LATENCY_BOUNDS; i++) {
		to->bounds_ns[i] = steps[i % 3] * power;
		power *= i % 3 == 2 ? 10 : 1;
	}
	ticks = ticks_of_ns(to->bounds_ns[0], hz);
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t last = vuc_bucket_last(i, HISTOGRAM_BITS);

		while (last > ticks) {
			bound++;
			ticks = bound < VUC_LATENCY_BOUNDS ? ticks_of_ns(to->bounds_ns[bound], hz)
							   : UINT64_MAX;
		}
		to->counts[bound] += stats_get(&h->buckets[i]);
	}
}

static uint64_t
silent_for(const struct poller_device *d)
{
	uint64_t since_ms = stats_get(&d->silent_ms);

	return since_ms != 0 ? vuc_clock_ms() - since_ms : 0;
}

/* The last connection counts; queues of a VMM may be to the one before. One that is being made is
 * none yet, nor is one by which a device that is away is restored. Returns whether it is away. */
static bool
add_connection(struct vuc_device_stats *stats, const struct poller_device *d, bool away)
{
	if (!atomic_load_explicit(&d->open, memory_order_relaxed))
		return away;
	if (!away) {
		stats->id = d->id;
		stats->connected = atomic_load_explicit(&d->connected, memory_order_relaxed);
		stats->silent_ms = silent_for(d);
	}
	stats->queues += atomic_load_explicit(&d->nr_queues, memory_order_relaxed);
	sum_remotes(&stats->accesses, d);
	return away || (poller_is_away(d) && !stats->connected);
}

void
vuc_stats_read_account(
	const struct vuc_poller *p, struct poller_account *a, struct vuc_device_stats *stats)
{
	const struct poller_device *d;
	bool away = false;

	*stats = (struct vuc_device_stats){0};
	memcpy(stats->name, a->name, sizeof(stats->name));
	vuc_stats_sum(&stats->accesses, &a->counters);
	read_latency(&a->latency, &stats->latency);
	stats->outages = stats_get(&a->outages);
	stats->outage_ms = poller_account_outage_ms(a);
	stats->outage_last_ms = stats_get(&a->outage_last_ms);
	TAILQ_FOREACH (d, &p->devices, link) {
		if (d->account == a)
			away = add_connection(stats, d, away);
	}
}

void
vuc_stats_read_poller(const struct vuc_poller *p, struct vuc_poller_stats *stats)
{
	const struct poller_account *a;
	const struct poller_device *d;

	*stats = (struct vuc_poller_stats){
		.queues = atomic_load_explicit(&p->nr_queues, memory_order_relaxed),
		.accesses = p->closed,
		.loops_busy = stats_get(&p->stats.loops_busy),
		.loops_empty = stats_get(&p->stats.loops_empty),
		.sleeps = stats_get(&p->stats.sleeps),
		.calls = stats_get(&p->stats.calls),
	};
	TAILQ_FOREACH (a, &p->accounts, link)
		vuc_stats_sum(&stats->accesses, &a->counters);
	TAILQ_FOREACH (d, &p->devices, link) {
		stats->devices += atomic_load_explicit(&d->open, memory_order_relaxed);
		sum_remotes(&stats->accesses, d);
	}
}

VUC_EXPORT int
vuc_poller_get_stats(struct vuc_poller *p, struct vuc_poller_stats *stats)
{
	vuc_registry_lock();
	vuc_stats_read_poller(p, stats);
	vuc_registry_unlock();
	return 0;
}

VUC_EXPORT int
vuc_poller_get_device_stats(
	struct vuc_poller *p, const struct vuc_device *dev, struct vuc_device_stats *stats)
{
	const struct poller_device *d;

	vuc_registry_lock();
	d = vuc_registry_find_device(p, dev);
	if (d != NULL)
		vuc_stats_read_account(p, d->account, stats);
	vuc_registry_unlock();
	return d != NULL ? 0 : -ENODEV;
}

void
vuc_poller_account_stats(
	struct vuc_poller *p, struct poller_account *account, struct vuc_device_stats *stats)
{
	vuc_registry_lock();
	vuc_stats_read_account(p, account, stats);
	vuc_registry_unlock();
}

void
vuc_poller_account_latency(struct vuc_poller *p, const struct poller_account *account,
	struct vuc_latency_histogram *latency)
{
	vuc_registry_lock();
	vuc_histogram_read(&account->latency, vuc_eal_tick_hz(), latency);
	vuc_registry_unlock();
	latency->on = atomic_load_explicit(&p->times, memory_order_relaxed);
}

VUC_EXPORT void
vuc_poller_set_latency(struct vuc_poller *p, bool on)
{
	atomic_store_explicit(&p->times, on, memory_order_relaxed);
}

/* ---- what telemetry tells ---- */

_Static_assert(sizeof(((struct vuc_poller *)NULL)->name) == TELEMETRY_NAME_MAX, "names of pollers");

static void
tell_names(unsigned long skip, bool (*add)(void *arg, const char *name), void *arg)
{
	const struct poller_account *a;
	const struct vuc_poller *p;
	bool room = true;

	vuc_registry_lock();
	TAILQ_FOREACH (p, vuc_registry_all(), registered) {
		TAILQ_FOREACH (a, &p->accounts, link) {
			if (skip > 0)
				skip--;
			else
				room = room && add(arg, a->name);
		}
	}
	vuc_registry_unlock();
}

static int
tell_device(const char *name, struct vuc_device_stats *stats, char poller[TELEMETRY_NAME_MAX])
{
	struct poller_account *a;
	const struct vuc_poller *p;

	vuc_registry_lock();
	a = vuc_registry_find_account(name, &p);
	if (a != NULL) {
		vuc_stats_read_account(p, a, stats);
		memcpy(poller, p->name, sizeof(p->name));
	}
	vuc_registry_unlock();
	return a != NULL ? 0 : -ENODEV;
}

static void
tell_poller(const struct vuc_poller *p, struct vuc_telemetry_poller *told)
{
	static const char *const idle_names[] = {
		[VUC_IDLE_SPIN] = "spin",
		[VUC_IDLE_YIELD] = "yield",
		[VUC_IDLE_SLEEP] = "sleep",
	};

	*told = (struct vuc_telemetry_poller){
		.number = p->number,
		.cpu = p->cpu == VUC_POLLER_CPU_NONE ? -1 : p->cpu,
		.node = p->node,
		.idle = idle_names[p->idle],
		.transport = vuc_poll_group_transport(p->group),
		.latency = atomic_load_explicit(&p->times, memory_order_relaxed),
	};
	memcpy(told->name, p->name, sizeof(told->name));
	vuc_stats_read_poller(p, &told->stats);
}

static unsigned int
tell_pollers(struct vuc_telemetry_poller *pollers, unsigned int max, unsigned long skip)
{
	const struct vuc_poller *p;
	unsigned int n = 0;

	vuc_registry_lock();
	TAILQ_FOREACH (p, vuc_registry_all(), registered) {
		if (skip > 0)
			skip--;
		else if (n < max)
			tell_poller(p, &pollers[n++]);
	}
	vuc_registry_unlock();
	return n;
}

static void
set_all_latencies(bool on)
{
	struct vuc_poller *p;

	vuc_registry_lock();
	TAILQ_FOREACH (p, vuc_registry_all(), registered)
		vuc_poller_set_latency(p, on);
	vuc_registry_unlock();
}

static int published;

static void
stats_publish(void)
{
	static const struct vuc_telemetry_source source = {
		.names = tell_names,
		.device = tell_device,
		.pollers = tell_pollers,
		.set_latency = set_all_latencies,
	};

	published = vuc_telemetry_register(&source);
}

int
vuc_stats_publish(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, stats_publish);
	return published;
}

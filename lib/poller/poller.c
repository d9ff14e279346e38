/* SPDX-License-Identifier: BSD-3-Clause */

/* A poller's life: create, call, destroy. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/export.h>

#include "closers.h"
#include "eal.h"
#include "eal_log.h"
#include "error.h"
#include "internal.h"
#include "opts.h"
#include "placement.h"
#include "registry.h"
#include "source.h"
#include "thread.h"
#include "trace.h"
#include "watch.h"

#define CLOSERS_MS 20u /* in which what is held up at the end may still be closed */

VUC_EXPORT void
vuc_poller_opts_init(struct vuc_poller_opts *opts, size_t size)
{
	const struct vuc_poller_opts defaults = {
		.name = "vuc-poller",
		.cpu = VUC_POLLER_CPU_AUTO,
		.idle = VUC_IDLE_SPIN,
		.idle_loops = VUC_DEFAULT_IDLE_LOOPS,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

static int
check_opts(const struct vuc_poller_opts *opts, struct vuc_error *err)
{
	if (opts->name == NULL || opts->name[0] == '\0' || strlen(opts->name) > 15)
		return vuc_error_set(err, -EINVAL, "a poller's name must have 1 to 15 bytes");
	if (opts->cpu < VUC_POLLER_CPU_NONE)
		return vuc_error_set(
			err, -EINVAL, "poller %s: CPU %d does not exist", opts->name, opts->cpu);
	if (opts->idle < VUC_IDLE_SPIN || opts->idle > VUC_IDLE_SLEEP)
		return vuc_error_set(err, -EINVAL, "poller %s: unknown idle policy %d", opts->name,
			(int)opts->idle);
	return 0;
}

/* What the creator and the new thread tell each other. */
struct start {
	struct vuc_poller *poller;
	const struct vuc_poller_opts *opts;
	struct vuc_error *err;
	int result;
	bool tried; /* the thread has set up what is its own, or failed; guarded by the poller's
		       lock */
};

/*
 * So that the transport knows wake_fd before other processes know what is in it: the kernel refuses
 * to nest epoll instances over a descriptor that is in too many of them already.
 */
static int
try_to_sleep(struct vuc_poller *p, struct vuc_error *err)
{
	int rc = p->idle == VUC_IDLE_SLEEP ? vuc_poll_group_wait(p->group, p->wake_fd, 0) : 0;

	if (rc < 0)
		return vuc_error_set(err, rc, "poller %s: the transport cannot sleep: %s", p->name,
			strerror(-rc));
	return 0;
}

/* The changed of a struct vuc_poll_source. */
static void
poller_tick(void *arg)
{
	poller_watch_devices(arg);
	poller_tick_attendants(arg);
}

/* The poll group, whose memory comes from the node that the thread runs on. */
static int
set_up(const struct start *start)
{
	struct vuc_poller *p = start->poller;
	const struct vuc_poll_source source = {
		.begin = poller_begin,
		.end = poller_end,
		.drain = poller_drain,
		.changed = poller_tick,
		.arg = p,
	};
	struct vuc_poll_group_opts group_opts;
	int rc;

	vuc_poll_group_opts_init(&group_opts, sizeof(group_opts));
	group_opts.transport = start->opts->transport;
	group_opts.log = p->log;
	group_opts.log_arg = p->log == vuc_log_to_rte ? vuc_log_part(LOG_PART_DEVICE) : p->log_arg;
	rc = vuc_poll_group_create(&group_opts, &p->group, start->err);
	p->node = vuc_eal_thread_node();
	if (rc != 0)
		return rc;
	vuc_poll_group_set_source(p->group, &source);
	vuc_poll_group_set_closers(p->group, p->closers);
	rc = try_to_sleep(p, start->err);
	if (rc != 0)
		vuc_poll_group_destroy(p->group);
	return rc;
}

static void *
poller_run(void *arg)
{
	struct start *start = arg;
	struct vuc_poller *p = start->poller;
	int rc;

	bool entered;

	pthread_setname_np(pthread_self(), p->name);
	rc = vuc_eal_thread_enter(p->cpu == VUC_POLLER_CPU_NONE ? EAL_ANY_CPU : p->cpu, start->err);
	entered = rc == 0;
	if (rc == 0)
		rc = set_up(start);
	pthread_mutex_lock(&p->lock);
	start->result = rc;
	start->tried = true;
	pthread_cond_broadcast(&p->returned);
	pthread_mutex_unlock(&p->lock);
	/* start is gone. */
	if (rc == 0) {
		poller_log(p, VUC_LOG_NOTICE, "poller %s: transport %s, %s", p->name,
			vuc_poll_group_transport(p->group), p->placement);
		poller_loop(p);
		vuc_poll_group_destroy(p->group);
	}
	if (entered) {
		vuc_trace_leave();
		vuc_eal_thread_leave();
	}
	return NULL;
}

static int
start_thread(struct vuc_poller *p, const struct vuc_poller_opts *opts, struct vuc_error *err)
{
	struct start start = {.poller = p, .opts = opts, .err = err};
	int rc;

	rc = vuc_thread_create(&p->thread, 0, poller_run, &start);
	if (rc != 0)
		return vuc_error_set(
			err, rc, "poller %s: pthread_create: %s", p->name, strerror(-rc));
	pthread_mutex_lock(&p->lock);
	while (!start.tried)
		pthread_cond_wait(&p->returned, &p->lock);
	pthread_mutex_unlock(&p->lock);
	if (start.result != 0)
		pthread_join(p->thread, NULL);
	return start.result;
}

static void
free_poller(struct vuc_poller *p)
{
	if (vuc_closers_destroy(p->closers, CLOSERS_MS, NULL) > 0)
		poller_log(p, VUC_LOG_NOTICE,
			"poller %s: descriptors that servers have sent are still being closed",
			p->name);
	poller_wake_close(p);
	free(p->remotes);
	pthread_cond_destroy(&p->returned);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct vuc_poller *
alloc_poller(const struct vuc_poller_opts *opts)
{
	struct vuc_poller *p = aligned_alloc(64, (sizeof(*p) + 63) / 64 * 64);

	if (p == NULL)
		return NULL;
	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->returned, NULL);
	STAILQ_INIT(&p->posts);
	TAILQ_INIT(&p->devices);
	TAILQ_INIT(&p->accounts);
	TAILQ_INIT(&p->active);
	TAILQ_INIT(&p->attendants);
	TAILQ_INIT(&p->hot_attendants);
	snprintf(p->name, sizeof(p->name), "%s", opts->name);
	p->idle = opts->idle;
	p->idle_loops = opts->idle_loops;
	p->log = opts->log != NULL ? opts->log : vuc_log_to_rte;
	p->log_arg = opts->log != NULL ? opts->log_arg : vuc_log_part(LOG_PART_POLLER);
	p->cpu = VUC_POLLER_CPU_NONE;
	p->sleeps_fd = -1;
	p->kick_fd = -1;
	p->wake_fd = -1;
	p->closers = vuc_closers_create();
	if (p->closers != NULL)
		return p;
	free_poller(p);
	return NULL;
}

VUC_EXPORT int
vuc_poller_create(
	const struct vuc_poller_opts *opts, struct vuc_poller **poller, struct vuc_error *err)
{
	struct vuc_poller_opts known;
	struct vuc_poller *p;
	int rc;

	*poller = NULL;
	vuc_poller_opts_init(&known, sizeof(known));
	rc = vuc_opts_read(&known, sizeof(known), opts,
		VUC_OPTS_LEAST(struct vuc_poller_opts, log_arg), "vuc_poller_opts", err);
	if (rc == 0)
		rc = check_opts(&known, err);
	if (rc != 0)
		return rc;
	p = alloc_poller(&known);
	if (p == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a poller");
	rc = poller_wake_open(p, err);
	if (rc == 0)
		rc = poller_choose_place(&known, &p->cpu, p->placement, sizeof(p->placement), err);
	if (rc == 0)
		rc = start_thread(p, &known, err);
	if (rc != 0) {
		free_poller(p);
		return rc;
	}
	vuc_registry_add(p);
	rc = vuc_stats_publish();
	if (rc != 0)
		poller_log(
			p, VUC_LOG_WARNING, "poller %s: no telemetry: %s", p->name, strerror(-rc));
	*poller = p;
	return 0;
}

static int
check_unused(void *arg)
{
	const struct vuc_poller *p = arg;

	return p->nr_devices > 0 || p->nr_queues > 0 || p->nr_attendants > 0 ? -EBUSY : 0;
}

VUC_EXPORT int
vuc_poller_destroy(struct vuc_poller *p)
{
	int rc;

	if (p == NULL)
		return 0;
	if (poller_is_own_thread(p))
		return -EDEADLK;
	rc = vuc_poller_call(p, check_unused, p);
	if (rc != 0)
		return rc;
	vuc_registry_remove(p);
	atomic_store_explicit(&p->stop, true, memory_order_seq_cst);
	poller_kick(p);
	pthread_join(p->thread, NULL);
	free_poller(p);
	return 0;
}

VUC_EXPORT struct vuc_poll_group *
vuc_poller_poll_group(struct vuc_poller *p)
{
	return p->group;
}

VUC_EXPORT const char *
vuc_poller_name(const struct vuc_poller *p)
{
	return p->name;
}

VUC_EXPORT int
vuc_poller_cpu(const struct vuc_poller *p)
{
	return p->cpu;
}

int
vuc_poller_node(const struct vuc_poller *p)
{
	return p->node;
}

VUC_EXPORT const char *
vuc_poller_placement(const struct vuc_poller *p)
{
	return p->placement;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* What other threads ask of a poller's thread, and what that has to say. */

#include "post.h"

#include <stdarg.h>
#include <stdio.h>

#include <vuc/export.h>

#include "internal.h"

void
poller_log(const struct vuc_poller *p, enum vuc_log_level level, const char *fmt, ...)
{
	char line[VUC_ERROR_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	p->log(p->log_arg, level, line);
}

bool
poller_is_own_thread(const struct vuc_poller *p)
{
	return pthread_equal(pthread_self(), p->thread);
}

void
vuc_poller_post(struct vuc_poller *p, struct vuc_post *post)
{
	pthread_mutex_lock(&p->lock);
	STAILQ_INSERT_TAIL(&p->posts, post, link);
	/* sleep_until_kicked() stores `sleeps` and then looks at this: one of both sees the other.
	 */
	atomic_store_explicit(&p->posted, true, memory_order_seq_cst);
	if (atomic_load_explicit(p->sleeps, memory_order_seq_cst) != 0)
		poller_kick(p);
	pthread_mutex_unlock(&p->lock);
}

/* A function whose caller waits. */
struct poller_call {
	struct vuc_post post;
	struct vuc_poller *poller;
	vuc_poller_fn fn;
	void *arg;
	int result;
	bool done; /* guarded by the poller's lock */
};

/* The caller's memory is gone once it is told. */
static void
run_call(void *arg)
{
	struct poller_call *call = arg;
	struct vuc_poller *p = call->poller;
	int result = call->fn(call->arg);

	pthread_mutex_lock(&p->lock);
	call->result = result;
	call->done = true;
	pthread_cond_broadcast(&p->returned);
	pthread_mutex_unlock(&p->lock);
}

VUC_EXPORT int
vuc_poller_call(struct vuc_poller *p, vuc_poller_fn fn, void *arg)
{
	struct poller_call call = {
		.post = {.fn = run_call, .arg = &call},
		.poller = p,
		.fn = fn,
		.arg = arg,
	};

	if (poller_is_own_thread(p))
		return fn(arg);
	vuc_poller_post(p, &call.post);
	pthread_mutex_lock(&p->lock);
	while (!call.done)
		pthread_cond_wait(&p->returned, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return call.result;
}

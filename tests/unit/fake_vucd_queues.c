/* SPDX-License-Identifier: BSD-3-Clause */

/* A thread that serves the queues of the daemon. */

#include <sched.h>

#include "back.h"
#include "fake_vucd.h"

struct fake_server {
	struct vuc_queue_back backs[VUC_SHM_MAX_QUEUES];
	bool served[VUC_SHM_MAX_QUEUES];
	_Atomic bool stop;
	pthread_t thread;
};

static void
request_answer(struct vuc_queue_back *b, const struct vuc_queue_taken *taken)
{
	const struct queue_request_slot *slot = &taken->slot;
	bool read = slot->op == VUC_QUEUE_READ;

	vuc_queue_back_take(b, taken);
	if (read)
		memset(vuc_queue_back_room(b, slot->id, slot->count), (int)slot->offset,
			slot->count);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		vuc_queue_back_complete(b, slot->id, 0, read ? slot->count : 0);
	vuc_queue_back_flush(b);
}

/* With the daemon's lock held. */
static void
queue_serve(struct fake_server *s, unsigned int i)
{
	const struct fake_queue *q = &fake.queues[i];
	const struct vuc_queue_back_opts opts = {
		.geometry = {q->depth, q->max_data},
		.requests = q->requests,
		.completions = q->completions,
	};
	struct vuc_queue_taken taken;

	if (q->requests == NULL)
		return;
	if (!s->served[i])
		CU_ASSERT_EQUAL_FATAL(vuc_queue_back_init(&s->backs[i], &opts), 0);
	s->served[i] = true;
	while (vuc_queue_back_peek(&s->backs[i], &taken) == 1)
		request_answer(&s->backs[i], &taken);
}

static void *
queues_serve(void *arg)
{
	struct fake_server *s = arg;

	while (!s->stop) {
		pthread_mutex_lock(&fake.lock);
		for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++)
			queue_serve(s, i);
		pthread_mutex_unlock(&fake.lock);
		sched_yield();
	}
	return NULL;
}

void
fake_serve_queues(void)
{
	struct fake_server *s = calloc(1, sizeof(*s));

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	pthread_mutex_lock(&fake.lock);
	fake.server = s;
	pthread_mutex_unlock(&fake.lock);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, queues_serve, s), 0);
}

/* With the daemon's lock held, or alone: their memory is going to be freed. */
void
fake_forget_backs(void)
{
	struct fake_server *s = fake.server;

	for (unsigned int i = 0; s != NULL && i < VUC_SHM_MAX_QUEUES; i++) {
		if (s->served[i])
			vuc_queue_back_fini(&s->backs[i]);
		s->served[i] = false;
	}
}

void
fake_stop_queues(void)
{
	struct fake_server *s = fake.server;

	s->stop = true;
	pthread_join(s->thread, NULL);
	pthread_mutex_lock(&fake.lock);
	fake_forget_backs();
	fake.server = NULL;
	pthread_mutex_unlock(&fake.lock);
	free(s);
}

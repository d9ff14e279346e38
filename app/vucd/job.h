/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_JOB_H
#define VUCD_JOB_H

/* What may block for long, done by threads of its own, for the main thread. */

#include <pthread.h>
#include <sys/queue.h>

#include "loop.h"

#define VUCD_MAX_JOBS 16 /* threads at a time; more jobs wait for their turn */

struct vucd_jobs;

/* Part of what it is about, which lives until done has been called. */
struct vucd_job {
	void (*work)(struct vucd_job *job); /* on a thread of its own */
	void (*done)(
		struct vucd_job *job); /* on the main thread, when work has returned; may free it
					*/
	int error; /* seen by done: 0, or why there was no thread and no work, a negative errno */
	struct vucd_jobs *jobs;
	pthread_t thread;
	STAILQ_ENTRY(vucd_job) next;
};

STAILQ_HEAD(vucd_job_list, vucd_job);

struct vucd_jobs {
	struct vucd_loop *loop;
	struct vucd_watch wake; /* an eventfd */
	unsigned int running;
	struct vucd_job_list waiting;
	pthread_mutex_t lock;          /* of finished */
	struct vucd_job_list finished; /* done is due */
};

/* Returns 0 or a negative errno. */
int vucd_jobs_init(struct vucd_jobs *jobs, struct vucd_loop *loop);

/* Wait for all jobs, and call done of each of them. */
void vucd_jobs_fini(struct vucd_jobs *jobs);

/* Begin a job whose work and done are set. done will be called once, from the loop. */
void vucd_job_start(struct vucd_jobs *jobs, struct vucd_job *job);

#endif /* VUCD_JOB_H */

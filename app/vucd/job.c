/* SPDX-License-Identifier: BSD-3-Clause */
#include "job.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Put a job among those whose done is due. Any thread. */
static void
finish(struct vucd_job *job)
{
	struct vucd_jobs *jobs = job->jobs;

	pthread_mutex_lock(&jobs->lock);
	STAILQ_INSERT_TAIL(&jobs->finished, job, next);
	/* With the lock held: once it is free, the main thread may be over with the jobs. */
	eventfd_write(jobs->wake.fd, 1);
	pthread_mutex_unlock(&jobs->lock);
}

static void *
run(void *arg)
{
	struct vucd_job *job = arg;

	job->work(job);
	finish(job);
	return NULL;
}

static void
start_thread(struct vucd_jobs *jobs, struct vucd_job *job)
{
	jobs->running++;
	job->error = -pthread_create(&job->thread, NULL, run, job);
	if (job->error != 0)
		finish(job);
}

static struct vucd_job *
take_finished(struct vucd_jobs *jobs)
{
	struct vucd_job *job;

	pthread_mutex_lock(&jobs->lock);
	job = STAILQ_FIRST(&jobs->finished);
	if (job != NULL)
		STAILQ_REMOVE_HEAD(&jobs->finished, next);
	pthread_mutex_unlock(&jobs->lock);
	return job;
}

static void
start_waiting(struct vucd_jobs *jobs)
{
	while (!STAILQ_EMPTY(&jobs->waiting) && jobs->running < VUCD_MAX_JOBS) {
		struct vucd_job *job = STAILQ_FIRST(&jobs->waiting);

		STAILQ_REMOVE_HEAD(&jobs->waiting, next);
		start_thread(jobs, job);
	}
}

static void
woken(struct vucd_watch *watch, uint32_t events)
{
	struct vucd_jobs *jobs = watch->arg;
	struct vucd_job *job;
	eventfd_t count;

	(void)events;
	eventfd_read(watch->fd, &count);
	while ((job = take_finished(jobs)) != NULL) {
		if (job->error == 0)
			pthread_join(job->thread, NULL);
		jobs->running--;
		job->done(job);
	}
	start_waiting(jobs);
}

int
vucd_jobs_init(struct vucd_jobs *jobs, struct vucd_loop *loop)
{
	int rc;

	*jobs = (struct vucd_jobs){.loop = loop, .wake = {.ready = woken, .arg = jobs}};
	STAILQ_INIT(&jobs->waiting);
	STAILQ_INIT(&jobs->finished);
	jobs->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (jobs->wake.fd < 0)
		return -errno;
	rc = vucd_loop_add(loop, &jobs->wake, EPOLLIN);
	if (rc != 0) {
		close(jobs->wake.fd);
		return rc;
	}
	pthread_mutex_init(&jobs->lock, NULL);
	return 0;
}

void
vucd_jobs_fini(struct vucd_jobs *jobs)
{
	while (jobs->running > 0 || !STAILQ_EMPTY(&jobs->waiting)) {
		if (vucd_loop_step(jobs->loop, -1) < 0)
			break;
	}
	vucd_loop_remove(jobs->loop, &jobs->wake);
	close(jobs->wake.fd);
	pthread_mutex_destroy(&jobs->lock);
}

void
vucd_job_start(struct vucd_jobs *jobs, struct vucd_job *job)
{
	job->jobs = jobs;
	STAILQ_INSERT_TAIL(&jobs->waiting, job, next);
	start_waiting(jobs);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Waiting for what is started on a poller's thread; the poller is a thread of the test's own. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "error.h"
#include "post.h"
#include "record.h"
#include "tap.h"
#include "vmm.h"

static struct control_link link_;
static struct control_device device;
static struct control_vmm vmm = {.link = &link_, .device = &device};
static pthread_t thread;

static void *
poller_run(void *arg)
{
	struct vuc_post *post = arg;

	post->fn(post->arg);
	return NULL;
}

void
vuc_poller_post(struct vuc_poller *p, struct vuc_post *post)
{
	(void)p;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, poller_run, post), 0);
}

int
vuc_poller_call(struct vuc_poller *p, vuc_poller_fn fn, void *arg)
{
	(void)p;
	return fn(arg);
}

bool
vuc_device_connected(const struct vuc_device *dev)
{
	(void)dev;
	return true;
}

bool
vuc_device_is_away(const struct vuc_device *dev)
{
	(void)dev;
	return false;
}

const char *
vuc_device_reason(const struct vuc_device *dev)
{
	(void)dev;
	return "because";
}

/* What a start function finds. */
struct job {
	int status;           /* of done; 1: it is not called */
	int rc;               /* what the start returns */
	atomic_bool returned; /* from vmm_operate() */
	bool gone;            /* it was, before the start had returned */
};

static int
job_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct job *job = arg;
	struct vuc_error err = {0};

	(void)dev;
	if (job->status <= 0) {
		if (job->status < 0)
			vuc_error_set(&err, job->status, "why");
		done(done_arg, job->status, &err);
	}
	/* Time for a caller who does not wait for the start. */
	for (unsigned int i = 0; i < 1000 && !job->gone; i++) {
		sched_yield();
		job->gone = atomic_load(&job->returned);
	}
	return job->rc;
}

static int
operate(struct job *job, struct vuc_error *err)
{
	int rc = vmm_operate(&vmm, job_start, job, err);

	atomic_store(&job->returned, true);
	pthread_join(thread, NULL);
	CU_ASSERT(!job->gone);
	return rc;
}

/* The start may go on with its argument after it has told of the end itself. */
static void
test_ends_within_the_start(void)
{
	struct job well = {.status = 0}, failed = {.status = -EIO};
	struct vuc_error err = {0};

	CU_ASSERT_EQUAL(operate(&well, &err), 0);
	CU_ASSERT_EQUAL(operate(&failed, &err), -EIO);
	CU_ASSERT_STRING_EQUAL(err.text, "why");
}

static void
test_not_started(void)
{
	struct job nothing = {.status = 1, .rc = OPERATION_DONE},
		   failed = {.status = 1, .rc = -EBUSY};
	struct vuc_error err = {0};

	CU_ASSERT_EQUAL(operate(&nothing, &err), 0);
	CU_ASSERT_EQUAL(operate(&failed, &err), -EBUSY);
	CU_ASSERT_STRING_EQUAL(err.text, "because");
}

const struct tap_suite tap_suite = {"control call", NULL, NULL,
	{
		{"ends within the start", test_ends_within_the_start},
		{"not started", test_not_started},
	}};

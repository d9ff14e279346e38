/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fd_count.h"
#include "job.h"
#include "tap.h"

#define NR_JOBS (VUCD_MAX_JOBS + 5)

static struct vucd_loop loop;
static struct vucd_jobs jobs;
static pthread_t main_thread;
static sem_t begun;
static sem_t go_on;
static atomic_uint working;
static atomic_bool in_main_thread; /* work was done there, which must not be */
static unsigned int done_jobs;

static void
work(struct vucd_job *job)
{
	(void)job;
	if (pthread_equal(pthread_self(), main_thread))
		atomic_store(&in_main_thread, true);
	atomic_fetch_add(&working, 1);
	sem_post(&begun);
	sem_wait(&go_on);
	atomic_fetch_sub(&working, 1);
}

static void
done(struct vucd_job *job)
{
	CU_ASSERT_TRUE(pthread_equal(pthread_self(), main_thread));
	CU_ASSERT_EQUAL(job->error, 0);
	done_jobs++;
}

static void
test_turns(void)
{
	static struct vucd_job all[NR_JOBS];
	unsigned int fds = fd_count();

	main_thread = pthread_self();
	sem_init(&begun, 0, 0);
	sem_init(&go_on, 0, 0);
	CU_ASSERT_EQUAL_FATAL(vucd_loop_init(&loop), 0);
	CU_ASSERT_EQUAL_FATAL(vucd_jobs_init(&jobs, &loop), 0);
	for (int i = 0; i < NR_JOBS; i++) {
		all[i] = (struct vucd_job){.work = work, .done = done};
		vucd_job_start(&jobs, &all[i]);
	}
	/* As many as can be at a time have begun, and no more do. */
	for (int i = 0; i < VUCD_MAX_JOBS; i++)
		sem_wait(&begun);
	CU_ASSERT_EQUAL(atomic_load(&working), VUCD_MAX_JOBS);
	CU_ASSERT_EQUAL(vucd_loop_step(&loop, 0), 0);
	CU_ASSERT_NOT_EQUAL(sem_trywait(&begun), 0);
	/* One ends, and the next one begins. */
	sem_post(&go_on);
	CU_ASSERT_EQUAL(vucd_loop_step(&loop, 10000), 1);
	CU_ASSERT_EQUAL(done_jobs, 1);
	sem_wait(&begun);
	CU_ASSERT_EQUAL(atomic_load(&working), VUCD_MAX_JOBS);
	/* The end waits for all, those that have not begun among them. */
	for (int i = 1; i < NR_JOBS; i++)
		sem_post(&go_on);
	vucd_jobs_fini(&jobs);
	CU_ASSERT_EQUAL(done_jobs, NR_JOBS);
	CU_ASSERT_FALSE(atomic_load(&in_main_thread));
	vucd_loop_fini(&loop);
	sem_destroy(&begun);
	sem_destroy(&go_on);
	CU_ASSERT_EQUAL(fd_count(), fds);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"jobs take turns", test_turns},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucd_job", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}

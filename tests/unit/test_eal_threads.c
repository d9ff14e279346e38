/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <sched.h>

#include <rte_config.h>
#include <rte_lcore.h>

#include "eal.h"
#include "eal_child.h"

struct crowd {
	pthread_barrier_t entered;
	int cpu;
};

struct member {
	struct crowd *crowd;
	int result;
	unsigned int lcore;
};

static void *
join_crowd(void *arg)
{
	struct member *m = arg;

	m->result = vuc_eal_thread_enter(m->crowd->cpu, NULL);
	m->lcore = rte_lcore_id();
	pthread_barrier_wait(&m->crowd->entered);
	if (m->result == 0) {
		CHECK(child_bound_to(m->crowd->cpu));
		CHECK(vuc_eal_thread_enter(m->crowd->cpu, NULL) == -EBUSY);
		vuc_eal_thread_leave();
	}
	CHECK(rte_lcore_id() == LCORE_ID_ANY);
	return NULL;
}

/* Let that many threads be lcores of one CPU at a time. */
static void
gather(struct member *members, unsigned int nr)
{
	struct crowd crowd = {.cpu = child_nth_cpu(0)};
	pthread_t threads[RTE_MAX_LCORE];

	pthread_barrier_init(&crowd.entered, NULL, nr);
	for (unsigned int i = 0; i < nr; i++) {
		members[i] = (struct member){.crowd = &crowd};
		if (!CHECK(pthread_create(&threads[i], NULL, join_crowd, &members[i]) == 0))
			_exit(1);
	}
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&crowd.entered);
}

static void
threads_on_one_cpu(void)
{
	struct member members[RTE_MAX_LCORE];
	bool seen[RTE_MAX_LCORE] = {false};

	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -ENODEV);
	child_init(NULL);
	seen[rte_lcore_id()] = true;
	gather(members, 8);
	for (unsigned int i = 0; i < 8; i++) {
		CHECK(members[i].result == 0);
		CHECK(members[i].lcore < RTE_MAX_LCORE && !seen[members[i].lcore]);
		if (members[i].lcore < RTE_MAX_LCORE)
			seen[members[i].lcore] = true;
	}
	vuc_eal_fini();
	child_nothing_left();
}

/* One lcore is the main one; and those of threads that have left are there again. */
static void
too_many_threads(void)
{
	struct member members[RTE_MAX_LCORE];
	unsigned int nr_refused = 0;

	child_init(NULL);
	for (unsigned int round = 0; round < 2; round++) {
		gather(members, RTE_MAX_LCORE);
		for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
			nr_refused += members[i].result == -ENOMEM;
	}
	CHECK(nr_refused == 2);
	vuc_eal_fini();
}

static void *
enter_wrongly(void *arg)
{
	struct vuc_error err = {0};
	cpu_set_t before = child_affinity();

	(void)arg;
	CHECK(vuc_eal_thread_enter(CPU_SETSIZE, &err) == -EINVAL);
	CHECK(strcmp(err.text, "a thread cannot be bound to CPU 1024: Invalid argument") == 0);
	CHECK(vuc_eal_thread_enter(CPU_SETSIZE - 1, &err) == -EINVAL);
	CHECK(vuc_eal_thread_enter(-2, &err) == -EINVAL);
	CHECK(rte_lcore_id() == LCORE_ID_ANY);
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, &err) == 0);
	CHECK(child_may_use(&before));
	vuc_eal_thread_leave();
	return NULL;
}

static void
wrong_threads(void)
{
	child_init(NULL);
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -EBUSY);
	child_run_thread(enter_wrongly, NULL);
	vuc_eal_fini();
}

static const struct child_test tests[] = {
	{"threads on one CPU", threads_on_one_cpu},
	{"too many threads", too_many_threads},
	{"wrong threads", wrong_threads},
};

const struct tap_suite tap_suite = {"eal threads", .rows = TAP_ROWS(tests, child_run)};

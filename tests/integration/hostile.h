/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_HOSTILE_H
#define VUC_TESTS_HOSTILE_H

/*
 * A control plane under attack. Beside the attacker there is a VMM that behaves: a process that
 * accesses the second device all the time, has memory mapped for it, and counts what goes wrong.
 *
 *	hostile_start(&h, NULL);
 *	rig_attach(&h.rig, &client, RIG_NAME);
 *	... whatever a VMM must not do ...
 *	shm_close(&client);
 *	hostile_survived(&h);
 *	hostile_stop(&h);
 */

#include "control_rig.h"

struct neighbour;

struct hostile {
	struct control_rig rig;
	struct neighbour *neighbour; /* memory that its process shares */
	pid_t neighbour_pid;
	unsigned int fds;      /* of this process, which is the daemon, */
	unsigned int mappings; /* its shared mappings */
	uint64_t generation;   /* of the device under attack */
};

/* A rig with a neighbour. Asserts that all of it works. */
void hostile_start(struct hostile *h, const struct rig_opts *opts);
void hostile_stop(struct hostile *h);

/*
 * The attacker has left. Asserts that the device is free again, still by the same connection to its
 * server; that another VMM can attach to it, and finds it as new; that the neighbour goes on,
 * without an error; and that this process has as many descriptors and shared mappings as before.
 */
void hostile_survived(struct hostile *h);

/* Wait until the daemon has done with all VMMs but the neighbour, also with those that it had not
 * accepted yet. Asserts that it does. */
void hostile_wait_until_gone(const struct hostile *h);

/* Asserts that the neighbour goes on, and has seen no error. */
void hostile_neighbour_goes_on(const struct hostile *h);

/* How many rounds of accesses it has made. */
uint64_t hostile_neighbour_rounds(const struct hostile *h);

/* A process of the test's that is gone when the test is. 0 in it, as by fork(2). */
pid_t hostile_fork(void);

/* Something random: xorshift, of a state that is not 0. */
uint64_t hostile_random(uint64_t *state);
uint32_t hostile_below(uint64_t *state, uint32_t n);
void hostile_fill(uint64_t *state, void *bytes, size_t len);

#endif /* VUC_TESTS_HOSTILE_H */

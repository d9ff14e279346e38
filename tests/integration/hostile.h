/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_HOSTILE_H
#define VUC_TESTS_HOSTILE_H

/*
 * A rig under attack. Beside the attacker there is a VMM that behaves: a process that accesses the
 * second device all the time, has memory mapped for it, and counts what goes wrong.
 *
 *	hostile_start(NULL);
 *	rig_attach(&client, RIG_NAME);
 *	... whatever a VMM must not do ...
 *
 * A test ends with hostile_stop(), and so does each hostile_start().
 */

#include "rig.h"

/* A rig with a neighbour. By default the server's connection stays when a VMM leaves, so that an
 * attack that ends it shows; options say that themselves. */
void hostile_start(const struct rig_opts *opts);

/* The same, with the attacker attached; and without options, as a CU_SetUpFunc. */
void hostile_start_attached(const struct rig_opts *opts);
void hostile_set_up(void);

/*
 * The attacker has left. Asserts that the device is free again; that another VMM can attach to it,
 * and finds it as new; that the neighbour goes on, without an error; and that this process has as
 * many descriptors and shared mappings as before.
 */
void hostile_survived(void);

/* That, once client is closed, and the end. Without a neighbour, only rig_stop(). */
void hostile_stop(void);

/* Wait until the daemon has done with all VMMs but the neighbour, also with those that it had not
 * accepted yet. Asserts that it does. */
void hostile_wait_until_gone(void);

/* Asserts that the neighbour goes on, and has seen no error. */
void hostile_neighbour_goes_on(void);

/* How many descriptors this process, which is the daemon, has more than before the attack. */
unsigned int hostile_extra_fds(void);

/* A process of the test's that is gone when the test is. 0 in it, as by fork(2). */
pid_t hostile_fork(void);

/* Something random: xorshift, of a state that is not 0. */
uint64_t hostile_random(uint64_t *state);
uint32_t hostile_below(uint64_t *state, uint32_t n);
void hostile_fill(uint64_t *state, void *bytes, size_t len);

#endif /* VUC_TESTS_HOSTILE_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_PROCESS_H
#define VUC_TESTS_PROCESS_H

/*
 * Programs beside a test: started by path, waited for by event, and gone when the test is, however
 * that ends. Standard input and output are /dev/null; what
 * goes to standard error is kept.
 */

#include <stdbool.h>
#include <sys/types.h>

struct process {
	pid_t pid; /* 0: not running */
	int pidfd;
	int errors; /* memory file behind standard error */
};

/*
 * Start a program with arguments up to a NULL. A server takes --ready-fd=N, and is waited for until
 * it is ready. Returns 0 or a negative errno: -ECHILD when it has ended instead, and what it has
 * said is a comment of TAP; there is nothing to free then.
 */
int process_start(struct process *p, const char *program, const char *const *args, bool is_server);

/*
 * Send a signal, 0: none, and wait until the program ends; one that does not is killed. Returns its
 * exit status; 1000 and the signal's number when one ended it; -ETIMEDOUT; 0 when it does not run.
 */
int process_end(struct process *p, int number);

bool process_has_ended(const struct process *p);

/* What the program has said on standard error so far, to be freed. */
char *process_errors(const struct process *p);

/* Kill the program if it runs, and forget what it has said. */
void process_free(struct process *p);

#endif /* VUC_TESTS_PROCESS_H */

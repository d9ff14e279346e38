/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SPAWN_H
#define VUC_TESTS_SPAWN_H

/*
 * Programs under test: started by path, waited for by event and never by time alone, and gone when
 * the test is, however that ends.
 *
 *	struct vuc_spawn server;
 *
 *	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(&server, getenv("VUC_REFDEV"), args), 0);
 *	...
 *	CU_ASSERT_EQUAL(vuc_spawn_stop(&server), 0);
 *	vuc_spawn_free(&server);
 *
 * Standard input is /dev/null; what goes to standard output and error is kept in memory. Functions
 * return 0 or a negative errno.
 */

#include <sys/types.h>

/* How long a program may take to be ready, or to end, before it counts as hung. */
#define VUC_SPAWN_TIMEOUT_MS 60000

struct vuc_spawn {
	pid_t pid; /* 0: not running */
	int pidfd;
	int output; /* memory file behind standard output */
	int errors; /* memory file behind standard error */
	int status; /* as waitpid(2) gives it, once the program has ended */
};

/* Start a program. args are its arguments without argv[0], up to a NULL. After a failure there is
 * nothing to free. */
int vuc_spawn_start(struct vuc_spawn *s, const char *program, const char *const *args);

/*
 * Start a server that takes --ready-fd=N, and wait until it is ready. -ECHILD when it has ended
 * instead, -ETIMEDOUT: what it said and vuc_spawn_status() are there to look at, and
 * vuc_spawn_free() is due.
 */
int vuc_spawn_server(struct vuc_spawn *s, const char *program, const char *const *args);

/* Wait until the program ends by itself; one that does not is killed, and -ETIMEDOUT returned. */
int vuc_spawn_wait(struct vuc_spawn *s);

/* End the program by SIGTERM, and wait for it likewise. */
int vuc_spawn_stop(struct vuc_spawn *s);

/* End the program by SIGKILL. */
void vuc_spawn_kill(struct vuc_spawn *s);

/* The exit status of a program that has ended; 1000 and the signal's number when one ended it;
 * -1 while it runs. */
int vuc_spawn_status(const struct vuc_spawn *s);

/* What the program has printed so far, as a string to be freed; NULL when out of memory. */
char *vuc_spawn_output(const struct vuc_spawn *s);
char *vuc_spawn_errors(const struct vuc_spawn *s);

/* Kill the program if it runs, and forget what it printed. */
void vuc_spawn_free(struct vuc_spawn *s);

#endif /* VUC_TESTS_SPAWN_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_REFDEV_SERVER_H
#define VUC_TESTS_REFDEV_SERVER_H

/* A vuc-refdev, named by $VUC_REFDEV, in a folder of its own. All of this asserts that it works. */

#include "spawn.h"
#include "tempdir.h"

#define REFDEV_SERVER_MAX_ARGS 16

struct refdev_server {
	char folder[VUC_TEMPDIR_SIZE];
	char socket[VUC_TEMPDIR_SIZE + 16];
	char second[VUC_TEMPDIR_SIZE + 16]; /* path of another socket, used by those who want one */
	struct vuc_spawn process;
};

/* Make the folder and name the sockets. */
void refdev_server_prepare(struct refdev_server *s);

/* Serve the first socket by a prepared server, with options that end with NULL. */
void refdev_server_run(struct refdev_server *s, const char *const *options);

/* Both. */
void refdev_server_start(struct refdev_server *s, const char *const *options);

/* The same with a single option, for the many tests that have one; NULL: none. */
void refdev_server_start_with(struct refdev_server *s, const char *option);

/* Stop it, assert that it ended well and said nothing, and remove the folder. */
void refdev_server_stop(struct refdev_server *s);

/* Remove the folder. */
void refdev_server_clean(struct refdev_server *s);

#endif /* VUC_TESTS_REFDEV_SERVER_H */

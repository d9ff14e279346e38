/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_DEVICE_LIST_H
#define VUCCTL_DEVICE_LIST_H

/* The devices of a daemon. */

#include "daemon_command.h"
#include "reply.h"

/*
 * Ask the daemon for its devices and the VMMs that have them. Begins json with the answer, an
 * object with an array "devices", to be finished by the caller in any case. Returns 0;
 * EXIT_FAILURE, the error said.
 */
int vucctl_device_list_get(struct vucctl_daemon *daemon, struct app_json *json);

/* A device of the list. */
struct vucctl_device_row {
	const char *name;
	const char *state;
	const char *poller;
	const char *socket;
	uint64_t generation;     /* connections to its server so far */
	uint64_t since_ms;       /* how long it has been in its state */
	const char *reason;      /* why it is in this state, or NULL */
	struct json_object *vmm; /* or NULL; those below are of it */
	uint64_t pid;
	uint64_t uid;
	const char *vmm_name;
	uint64_t queues;
};

/* Read element i of "devices". What it has is valid as long as the list. */
void vucctl_device_list_read(struct vucctl_reply *reply, struct json_object *array, size_t i,
	struct vucctl_device_row *row);

#endif /* VUCCTL_DEVICE_LIST_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_VUCD_RIG_H
#define VUC_TESTS_VUCD_RIG_H

/*
 * A vucd, named by $VUCD, in a folder of its own, and its management socket. It has a poller io0
 * that sleeps, on no CPU in particular, and no telemetry unless that is asked for. All of this
 * asserts that it works.
 */

#include <stdbool.h>

#include <json-c/json.h>

#include "spawn.h"
#include "tempdir.h"

#define VUCD_RIG_PATH 128

struct vucd_rig {
	char folder[VUC_TEMPDIR_SIZE];
	char config[VUCD_RIG_PATH];     /* of the configuration file */
	char directory[VUCD_RIG_PATH];  /* that the sockets are in */
	char vmm_socket[VUCD_RIG_PATH]; /* of VMMs */
	char management[VUCD_RIG_PATH]; /* management socket */
	int notify;                     /* where the daemon tells how it is */
	struct vuc_spawn process;
	int client; /* connected to the management socket, or -1 */
};

/* Make the folder, and a configuration with more behind what all have. */
void vucd_rig_prepare(struct vucd_rig *rig, const char *more);

/* Write the configuration again, likewise. */
void vucd_rig_configure(const struct vucd_rig *rig, const char *more);

/* Start the daemon of a prepared folder, wait until it is ready, and connect to it. */
void vucd_rig_run(struct vucd_rig *rig);

/* Both. */
void vucd_rig_start(struct vucd_rig *rig, const char *more);

/* End the daemon by SIGTERM; it ends well, and leaves no sockets. */
void vucd_rig_end(struct vucd_rig *rig);

/* End it if it runs, and remove the folder. */
void vucd_rig_stop(struct vucd_rig *rig);

/* A connection to the management socket; its reads end after a time. */
int vucd_rig_connect(const struct vucd_rig *rig);

/* Ask by a connection: a line for each request. */
void vucd_rig_say(int client, const char *method, const char *params);

/* The next answer: an object, to be freed. */
struct json_object *vucd_rig_hear(int client);

/* Both, by the rig's own connection. Returns the result, owned by answer, or NULL for an error;
 * answer is to be freed. */
struct json_object *vucd_rig_ask(
	struct vucd_rig *rig, const char *method, const char *params, struct json_object **answer);

/* The errno's name of an answer that is an error, "" for another one. */
const char *vucd_rig_errno(struct json_object *answer);

/* Ask until a device is in a state. */
void vucd_rig_await(struct vucd_rig *rig, const char *device, const char *state);

/* Whether the daemon has said this on stderr. */
bool vucd_rig_said(const struct vucd_rig *rig, const char *text);

/* Whether the next thing that the daemon tells the service manager is text, or begins so. */
bool vucd_rig_notified(const struct vucd_rig *rig, const char *text);

#endif /* VUC_TESTS_VUCD_RIG_H */

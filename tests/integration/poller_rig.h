/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_POLLER_RIG_H
#define VUC_TESTS_POLLER_RIG_H

/* Pollers with a device of the reference server, and telemetry that is asked about them. */

#include <stdatomic.h>

#include <vuc/poller.h>
#include <vuc/stats.h>

#include "peer.h"
#include "telemetry_client.h"

#define RIG_NAME  "bench" /* of the poller */
#define RIG_DEPTH 64

struct poller_rig {
	struct peer *peer; /* with two devices, of which the first is in use */
	struct vuc_poller *poller;
	struct vuc_device *dev;
	struct vuc_queue *queue;
};

/* A connection to telemetry, during the tests. */
extern int rig_sock;

/* Lines that rte_log got: of pollers of that name that began, of connections that ended. */
extern _Atomic unsigned int rig_started, rig_ended;

/* main() of a test program that is run once for each transport, with EAL in a folder of its own. */
int rig_main(int argc, char **argv, CU_TestInfo *tests);

/* Each of them asserts that it works. */
struct vuc_poller *rig_poller(const char *name);
struct vuc_device *rig_device(struct vuc_poller *p, const struct vuc_device_opts *opts);
struct vuc_queue *rig_queue(struct vuc_poller *p, struct vuc_device *dev);

/* A limit of 0 is the default, and a fault of NULL none. */
struct poller_rig rig_start(uint16_t max_requests, uint32_t timeout_ms, const char *fault);
void rig_stop(const struct poller_rig *b);

struct vuc_device_stats rig_stats(const struct poller_rig *b);

/* Let the poller find nr reads at once, and take their results. */
void rig_burst(const struct poller_rig *b, unsigned int nr);

struct json_object *rig_ask_device(const char *name, struct json_object **answer);
void rig_same_accesses(struct json_object *shown, const struct vuc_access_stats *a);

/* Telemetry shows what the functions say, of a device that nobody uses meanwhile. */
void rig_agrees(const struct poller_rig *b);

#endif /* VUC_TESTS_POLLER_RIG_H */

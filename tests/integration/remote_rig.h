/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_REMOTE_RIG_H
#define VUC_TESTS_REMOTE_RIG_H

/* A poller that sleeps whenever it can, with two devices, for the queues of other processes. */

#include "peer.h"
#include "remote_vmm.h"

#define RIG_DEPTH    32
#define RIG_MAX_DATA 1024

struct remote_rig {
	struct peer *peer;
	struct vuc_poller *poller;
	struct vuc_device *dev[2];
};

/* Each asserts that it works. An option of the server of NULL is none, a timeout of 0 the default.
 */
struct remote_rig remote_rig_start(const char *option, uint32_t timeout_ms);
void remote_rig_stop(struct remote_rig *rig);

/* The first device with a queue for another process. */
void remote_rig_attach(struct remote_rig *rig, struct vmm *v);

/* The second one by a queue of this process, which must not suffer from what the first one does. */
struct neighbour {
	struct vmm vmm;
	struct vmm_front front;
};

void neighbour_start(struct neighbour *n, struct remote_rig *rig);
void neighbour_goes_on(struct neighbour *n, uint32_t rounds);
void neighbour_stop(struct neighbour *n);

/* main() of a program that is run once for each transport, with EAL. */
int remote_rig_main(int argc, char **argv, CU_TestInfo *tests);

#endif /* VUC_TESTS_REMOTE_RIG_H */

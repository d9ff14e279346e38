/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_VMM_RIG_H
#define VUC_TESTS_VMM_RIG_H

/*
 * Runs of the vuc-vmm that $VUC_VMM names, with a vucd that has one device. All of this asserts
 * that it works.
 */

#include <stdbool.h>

#include "refdev_server.h"
#include "vucd_rig.h"

/* The name of the device. */
#define VMM_RIG_DEVICE "dev0"

struct vmm_rig {
	struct refdev_server server;
	struct vucd_rig vucd;
};

/* Start a vuc-refdev with an option (NULL: none), and a vucd that has it. dma: as in vucd's
 * configuration. */
void vmm_rig_start(struct vmm_rig *rig, const char *dma, const char *option);

/* End both. */
void vmm_rig_stop(struct vmm_rig *rig);

/* Start a vucd that has the device at this socket, but may not be connected to it yet. */
void vmm_rig_start_vucd(struct vucd_rig *vucd, const char *socket, const char *dma);

/* A vuc-vmm that has run to its end. */
struct vmm_run {
	int exit; /* as vuc_spawn_status() */
	char *out;
	char *err;
};

/* Run vuc-vmm with these arguments, ending with NULL. */
void vmm_run(struct vmm_run *run, const char *const *args);

/* The same with vucd's socket and device in front of up to 5 arguments. */
void vmm_run_device(struct vmm_run *run, const struct vucd_rig *vucd, const char *const *args);

void vmm_run_free(struct vmm_run *run);

/* Whether it has ended with 0 and said nothing on stderr. */
bool vmm_run_passed(const struct vmm_run *run);

/* Whether what it says on stderr is one line, begins with "vuc-vmm: " and contains text. */
bool vmm_run_complains(const struct vmm_run *run, const char *text);

/* Whether it has found that there is no KVM; the running test is marked as skipped then. */
bool vmm_run_skipped(const struct vmm_run *run);

#endif /* VUC_TESTS_VMM_RIG_H */

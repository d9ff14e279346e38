/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_CONTROL_RIG_H
#define VUC_TESTS_CONTROL_RIG_H

/* A control plane in this process, with devices of the reference server. All of this asserts that
 * it works. */

#include <stdatomic.h>

#include <vuc/control.h>
#include <vuc/poller.h>

#include "refdev_server.h"
#include "shm_client.h"
#include "tap.h"

#define RIG_NAME    "disk0"
#define RIG_SECOND  "disk1"
#define RIG_WAIT_MS 20000 /* until something that has to happen counts as not happening */

struct control_rig {
	struct refdev_server server; /* with two devices */
	char folder[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 16]; /* of the control plane's socket */
	struct vuc_poller *poller;
	struct vuc_control *control;
};

/* main() of a test program that is run once for each transport. */
int rig_main(int argc, char **argv, CU_TestInfo *tests);

/* What a test may change before rig_start(). */
struct rig_opts {
	struct vuc_control_opts control;
	struct vuc_control_device_opts device; /* of both */
	struct vuc_device_opts open;           /* of both */
	const char *const *server;             /* options of it, up to a NULL; or NULL */
};

void rig_opts_init(struct rig_opts *opts);

/* Server, poller, control plane and two devices. NULL takes the defaults. */
void rig_start(struct control_rig *r, const struct rig_opts *opts);

/* How the rig adds a device by default, at the socket of a server: by opts->device, which has a
 * pointer to opts->open. */
void rig_device_opts(
	const struct control_rig *r, struct rig_opts *opts, const char *name, const char *path);

/* Another device, at the socket of a server. NULL takes the defaults. */
void rig_add_device(
	struct control_rig *r, const struct rig_opts *o, const char *name, const char *path);

/* Stop all, and assert that there are as many descriptors and threads as before rig_start(). */
void rig_stop(struct control_rig *r);

/* Another poller. */
struct vuc_poller *rig_start_poller(void);

/* The server ends without a warning; and is there again. */
void rig_kill_server(struct control_rig *r);
void rig_restart_server(struct control_rig *r);

/* Connect, say hello, attach. */
void rig_attach(const struct control_rig *r, struct shm_client *c, const char *device);

/* How a device is. */
struct vuc_control_device rig_look(const struct control_rig *r, const char *device);

/* Wait until it is like that, or nobody is connected: whether that happens in time. */
bool rig_becomes(const struct control_rig *r, const char *device, enum vuc_control_state state);
bool rig_is_left(const struct control_rig *r);

/* Whether a line was logged that contains text. */
bool rig_has_logged(const char *text);

/* Lines from here on. */
void rig_forget_log(void);

/* Wait until one is: whether that happens in time. */
bool rig_logs(const char *text);

/* DMA mappings that the server has, by its own register. */
uint32_t rig_server_maps(const struct control_rig *r, const char *device);

/* Memory that can be mapped for DMA, of a size, and sealed or not. */
int rig_memory(size_t size, bool sealed);

#endif /* VUC_TESTS_CONTROL_RIG_H */

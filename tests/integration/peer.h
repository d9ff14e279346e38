/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_PEER_H
#define VUC_TESTS_PEER_H

#include <linux/vfio.h>

#include <vuc/device.h>

#include "refdev_regs.h"
#include "tap.h"

#define PEER_MAX_DEVICES 2

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define BAR4   VFIO_PCI_BAR4_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

/*
 * A reference device to test against, whatever the transport: a vuc-refdev process for sockets,
 * the same device inside this process for the loopback.
 */
struct peer;

/* The transport of all tests of this process: "uring", "posix" or "loopback". */
void peer_choose_transport(const char *name);
const char *peer_transport(void);

/* The same as what a suite begins with. Returns why it cannot be used here, or NULL. */
const char *peer_begin(const char *name);

/* Whether it is one with sockets: what a suite says in `runs`. */
bool peer_has_sockets(void);

/* Let a system call of this process, and of those that it starts, fail from now on. Returns 0, or a
 * negative errno where seccomp filters are not allowed. */
int peer_forbid_call(long number, int error);

/* A group with the chosen transport. */
struct vuc_poll_group *peer_create_group(void);

/* A server with nr_devices devices, ready to be connected to; options of vuc-refdev that set
 * limits may follow, up to a NULL. Asserts that it could be started. */
struct peer *peer_start(unsigned int nr_devices, ...) __attribute__((sentinel));

/* The same with an array of options that ends with NULL. */
struct peer *peer_start_with(unsigned int nr_devices, const char *const *options);

/* Serve the same sockets again, after peer_kill(), without options. */
void peer_restart(struct peer *p);
void peer_restart_with(struct peer *p, const char *const *options); /* as peer_start_with() */

/* The process, if it is one. */
struct process *peer_process(struct peer *p);

/* Stops the server and asserts that it has ended well. */
void peer_stop(struct peer *p);

/* End the server without a warning. */
void peer_kill(struct peer *p);

/* Options that open one of its devices by the chosen transport. */
void peer_opts(struct peer *p, unsigned int device, struct vuc_device_opts *opts);

/* Open a device of it, and assert that it works. */
struct vuc_device *peer_open(struct peer *p, unsigned int device);

/* Call a function from the completion callback of a request to a device. */
void peer_call_back(struct vuc_device *dev, void (*fn)(struct vuc_device *dev));

#endif /* VUC_TESTS_PEER_H */

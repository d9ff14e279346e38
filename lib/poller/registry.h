/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_REGISTRY_H
#define VUC_POLLER_REGISTRY_H

/*
 * All pollers of the process and their devices, for those who ask from other threads. A poller's
 * thread takes the lock when a device comes or goes, and never while it serves.
 *
 * A poller's list of devices, and a device's of remotes, is changed by its own thread with the lock
 * held. So that thread may walk it without the lock, and others with it.
 */

#include "internal.h"

TAILQ_HEAD(registry_pollers, vuc_poller);

void vuc_registry_lock(void);
void vuc_registry_unlock(void);

/* A poller that runs. */
void vuc_registry_add(struct vuc_poller *p);
void vuc_registry_remove(struct vuc_poller *p);

/* For a device; counts from 1. */
uint32_t vuc_registry_new_id(void);

/* The name may become another one, to be unique. */
void vuc_registry_add_account(struct vuc_poller *p, struct poller_account *a);
void vuc_registry_remove_account(struct vuc_poller *p, struct poller_account *a);

/* On the poller's thread. */
void vuc_registry_add_device(struct vuc_poller *p, struct poller_device *d);
void vuc_registry_remove_device(struct vuc_poller *p, struct poller_device *d);

/* On the poller's thread or with the lock held; NULL for a device that is not the poller's. */
struct poller_device *vuc_registry_find_device(struct vuc_poller *p, const struct vuc_device *dev);

/* On the poller's thread: a remote of a device, which inherits its counters. */
void vuc_registry_add_remote(struct vuc_poller_remote *r);
void vuc_registry_remove_remote(struct vuc_poller_remote *r);

/* Both with the lock held: the pollers by number; the account of that name, or NULL. */
const struct registry_pollers *vuc_registry_all(void);
struct poller_account *vuc_registry_find_account(const char *name, const struct vuc_poller **p);

#endif /* VUC_POLLER_REGISTRY_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_STOCK_H
#define VUC_LIB_CONTROL_STOCK_H

/*
 * A stock VMM, which has connected to an exported device and speaks vfio-user. The device's poller
 * carries out its accesses; the VMM's thread does everything else, with the functions that the
 * shared-memory plane uses.
 */

#include "vmm.h"

/* Serve it until it disconnects or must leave. Returns why, with v->why: -ECONNRESET after a
 * disconnection, -ECANCELED when it must leave. */
int stock_serve(struct control_vmm *v);

/* Free what serving it has needed. Does nothing for other VMMs. */
void stock_end(struct control_vmm *v);

/* stock_shape.c: the device as the VMM sees it, to be freed by stock_shape_free(). queue: to the
 * device. Returns 0 or a negative errno, with err. */
struct front_shape;
int stock_shape_make(struct control_vmm *v, struct vuc_queue *queue, struct front_shape *shape,
	struct vuc_error *err);
void stock_shape_free(struct front_shape *shape);

#endif /* VUC_LIB_CONTROL_STOCK_H */

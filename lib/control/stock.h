/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_STOCK_H
#define VUC_LIB_CONTROL_STOCK_H

/*
 * A stock VMM, which has connected to an exported device itself and speaks vfio-user. Its poller
 * carries out its accesses; the VMM's thread does everything else, by what handlers of the
 * shared-memory plane do.
 */

#include "vmm.h"

/* Serve it until it has left or has to leave. Returns why, with v->why: -ECONNRESET when it has
 * hung up, -ECANCELED when it has to leave. */
int stock_serve(struct control_vmm *v);

/* Nobody serves it any more. Without one it does nothing. */
void stock_end(struct control_vmm *v);

/* stock_shape.c: what it sees of its device, to be freed by stock_shape_free(). queue: to the
 * device. Returns 0 or a negative errno, with err. */
struct front_shape;
int stock_shape_make(struct control_vmm *v, struct vuc_queue *queue, struct front_shape *shape,
	struct vuc_error *err);
void stock_shape_free(struct front_shape *shape);

#endif /* VUC_LIB_CONTROL_STOCK_H */

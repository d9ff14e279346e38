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

/*
 * stock_feature.c: carry out a FRONT_FEATURE, FRONT_MIGRATION_READ or FRONT_MIGRATION_WRITE, with
 * the data of its reply in memory of malloc(3). Returns 0 or a negative errno, with err.
 *
 * A server that is restarted during a migration has forgotten what it has sent or taken: the device
 * is in ERROR then, until the VMM resets it, which stock_feature_note_reset() is told. status: of
 * the reset.
 */
struct front_request;
struct stock_data {
	uint8_t *bytes;
	uint32_t len;
};
int stock_feature_use(struct control_vmm *v, const struct front_request *r,
	struct stock_data *reply, struct vuc_error *err);
const char *stock_feature_name(const struct front_request *r);
void stock_feature_note_reset(struct control_vmm *v, int status);

#endif /* VUC_LIB_CONTROL_STOCK_H */

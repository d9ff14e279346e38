/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_OPERATION_H
#define VUC_VMM_OPERATION_H

/*
 * An operation: what asks the daemon something, in one request or in several, one after the other.
 *
 * Operations of a device run one after the other, in the order of their start, each until its
 * deadline, which runs from there; at the deadline the connection ends, and with it all others.
 * They are advanced by the thread that takes events, or, while threads wait for an operation of
 * their own, by one of these; either under the device's lock, which nobody holds while waiting.
 */

#include "device.h"

struct vmm_operation;

/* There is another request to be sent. */
#define VMM_MORE 1

/* A kind of operation. All is called with the device's lock held. */
struct vmm_operation_ops {
	/*
	 * Write the next request: the type and size of its header, its body, and descriptors, which
	 * stay the operation's. Nothing may change by it: it is called again when there was no
	 * room. Returns false when there is nothing to ask: the operation has ended.
	 */
	bool (*ask)(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds);
	/* Take the reply; descriptors that it leaves in fds are closed. Returns 0 at the end,
	 * VMM_MORE, or a negative errno, with err, which is dealt with as a refusal. */
	int (*take)(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
		struct vuc_error *err);
	/* A request was refused, or could not be sent. Returns 0, as NULL does, or VMM_MORE. */
	int (*refused)(struct vmm_operation *op);
	/* The connection has ended before the operation did, or even before its start: what the VMM
	 * wanted to remove is not restored, whether it was removed or not. May be NULL. */
	void (*cut)(struct vmm_operation *op);
	/* Free what it owns beside itself; may be NULL. */
	void (*free)(struct vmm_operation *op);
};

/* Who is told of the end. */
struct vmm_completion {
	vuc_vmm_done_fn done;
	void *arg;
};

struct vmm_operation {
	const struct vmm_operation_ops *ops;
	struct vuc_vmm_device *dev;
	TAILQ_ENTRY(vmm_operation) link;
	struct vmm_completion completion; /* done is NULL when a thread waits */
	uint64_t deadline_ms;
	bool waits; /* for the device to be there, longer than the deadline of others */
	bool over;
	enum vmm_phase phase; /* of the device, when the end is told; 0: it stays as it is */
	int status;           /* the first error */
	struct vuc_error err;
};

/* Fill the header of a request. */
void vmm_request_set(union vmm_packet *request, enum vuc_shm_type type, size_t size);

/* An operation of size bytes that begin with struct vmm_operation, zeroed. NULL when there is no
 * memory, with err. */
void *vmm_operation_create(struct vuc_vmm_device *dev, const struct vmm_operation_ops *ops,
	size_t size, struct vuc_error *err);
void vmm_operation_free(struct vmm_operation *op);

/* Keep an error, if it is the first. */
void vmm_operation_fail(struct vmm_operation *op, int status, const struct vuc_error *err);

/* Whether the device can be used. With the lock held. Returns 0; -ENOTCONN before it is attached;
 * -ECANCELED when it is being detached. */
int vmm_check_attached(const struct vuc_vmm_device *dev, struct vuc_error *err);

/* The same without the lock, before arguments are compared with what the daemon has said. */
int vmm_attached_check(struct vuc_vmm_device *dev, struct vuc_error *err);

/* Whether an operation can be started, or with NULL waited for. With the lock held. Returns as
 * vmm_operation_begin(). */
int vmm_operation_check(const struct vuc_vmm_device *dev, const struct vmm_completion *completion,
	struct vuc_error *err);

/* The same, whatever the connection is. */
int vmm_operation_check_call(const struct vuc_vmm_device *dev,
	const struct vmm_completion *completion, struct vuc_error *err);

/*
 * Start an operation, or with NULL for the completion: start it, wait, and return how it has ended.
 * It is freed at its end, or when it cannot be started. With the device's lock held, which a thread
 * that waits lets go of meanwhile.
 *
 * Returns 0; -EINVAL for a completion without a function; -EDEADLK for waiting in a callback;
 * -ECONNRESET when the connection has ended; as vmm_check_attached().
 */
int vmm_operation_begin_locked(
	struct vmm_operation *op, const struct vmm_completion *completion, struct vuc_error *err);

/* The same without the lock. */
int vmm_operation_begin(
	struct vmm_operation *op, const struct vmm_completion *completion, struct vuc_error *err);

/* Start it, or start and wait, whatever the device's phase is. With the lock held. */
void vmm_operation_start(struct vmm_operation *op, const struct vmm_completion *completion);
int vmm_operation_wait(struct vmm_operation *op, struct vuc_error *err);

/* One that has nothing to ask. With the lock held. */
void vmm_operation_end_at_once(struct vmm_operation *op, const struct vmm_completion *completion);

/* End all that was started with -ECANCELED. With the lock held. */
void vmm_operations_cancel(struct vuc_vmm_device *dev);

/* The connection is given up: end all that was started with -ECONNRESET. With the lock held. */
void vmm_operations_abort(struct vuc_vmm_device *dev);

/* Advance what can be, unless a thread that waits does so. With the lock held. */
void vmm_operations_advance(struct vuc_vmm_device *dev);

/* Call the functions of what has ended; those that end meanwhile are left for the next time. With
 * the lock held, but not meanwhile. */
void vmm_operations_tell(struct vuc_vmm_device *dev);

/* Whether this thread is in such a function. With the lock held. */
bool vmm_is_callback(const struct vuc_vmm_device *dev);

/* dma.c: write as many entries into a message as it takes. */
void vmm_dma_put_entries(struct vuc_shm_dma *request, struct vmm_fds *fds,
	const struct vmm_dma_entry *entries, size_t nr);

/* irq.c: write as many eventfds into a message as it takes. Returns of how many interrupts. */
uint32_t vmm_irq_put_eventfds(
	struct vuc_shm_set_irqs *request, struct vmm_fds *fds, const int *eventfds, uint32_t nr);

#endif /* VUC_VMM_OPERATION_H */

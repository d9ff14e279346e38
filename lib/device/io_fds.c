/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/kvm.h>

#include <vuc/io_fds.h>

#include "error.h"
#include "fds.h"
#include "internal.h"
#include "io_fds.h"
#include "message.h"

/* A server may add sub-regions between two questions, but not for ever. */
#define MAX_QUESTIONS 4u

/* The flags of the specification. KVM_IOEVENTFD_FLAG_DEASSIGN is not among them: it would take away
 * what the caller has set up. */
#define IOEVENTFD_FLAGS                                                     \
	((uint32_t)(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | \
		KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY))

/* KVM_IOREGION_PIO and KVM_IOREGION_POSTED_WRITES, which no kernel header has yet. */
#define IOREGION_FLAGS 3u

static const enum vuc_io_fd_type types[] = {
	[VFIO_USER_IO_FD_TYPE_IOEVENTFD] = VUC_IO_FD_IOEVENTFD,
	[VFIO_USER_IO_FD_TYPE_IOREGIONFD] = VUC_IO_FD_IOREGIONFD,
	[VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW] = VUC_IO_FD_IOEVENTFD_SHADOW,
};

/* What is being asked. */
struct io_fds_operation {
	struct operation op;
	struct operation_message message;
	uint32_t region;
	uint32_t argsz;
	unsigned int asked; /* questions so far */
	bool awaited;       /* the answer to the last one */
	bool expects_fds;
	struct vuc_io_fds *answer;
	struct vuc_io_fds **io_fds; /* the caller's */
};

static int
io_fds_check_flags(struct io_fds_operation *a, uint32_t i, const struct vuc_wire_sub_region *sub)
{
	uint32_t known =
		sub->type == VFIO_USER_IO_FD_TYPE_IOREGIONFD ? IOREGION_FLAGS : IOEVENTFD_FLAGS;

	if ((sub->flags & ~known) == 0)
		return 0;
	return operation_fail(&a->op, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region %u: sub-region %u: flags 0x%x, "
		"known are 0x%x",
		a->region, i, sub->flags, known);
}

static int
io_fds_index_of(uint32_t fd_index)
{
	return fd_index == VUC_WIRE_NO_FD ? -1 : (int)fd_index;
}

static void
io_fds_convert(struct vuc_io_sub_region *to, const struct vuc_wire_sub_region *from)
{
	*to = (struct vuc_io_sub_region){
		.type = types[from->type],
		.flags = from->flags,
		.offset = from->offset,
		.size = from->size,
		.fd_index = io_fds_index_of(from->fd_index),
		.shadow_fd_index = io_fds_index_of(from->shadow_fd_index),
		.shadow_offset = from->shadow_offset,
		.datamatch = from->datamatch,
		.user_data = from->user_data,
	};
}

/* Sub-regions lie behind the struct that points to them. */
static struct vuc_io_fds *
io_fds_allocate(uint32_t count)
{
	struct vuc_io_fds *io_fds =
		calloc(1, sizeof(*io_fds) + count * sizeof(*io_fds->sub_regions));

	if (io_fds != NULL)
		io_fds->sub_regions = (const struct vuc_io_sub_region *)(io_fds + 1);
	return io_fds;
}

static void
io_fds_take(struct vuc_io_fds *io_fds, const struct vuc_session_reply *reply)
{
	for (; io_fds->nr_fds < reply->nr_fds; io_fds->nr_fds++) {
		io_fds->fds[io_fds->nr_fds] = reply->fds[io_fds->nr_fds];
		reply->fds[io_fds->nr_fds] = -1;
	}
}

static void
io_fds_keep_answer(struct io_fds_operation *a, const struct vuc_wire_io_fds *wire,
	const struct vuc_session_reply *reply)
{
	struct vuc_io_fds *kept = io_fds_allocate(wire->count);
	struct vuc_io_sub_region *subs;

	if (kept == NULL) {
		operation_fail(&a->op, -ENOMEM, "no memory for %u sub-regions of region %u",
			wire->count, a->region);
		return;
	}
	subs = (struct vuc_io_sub_region *)(kept + 1);
	for (uint32_t i = 0; i < wire->count; i++) {
		struct vuc_wire_sub_region sub;

		vuc_wire_io_fds_get(wire, i, &sub);
		if (io_fds_check_flags(a, i, &sub) != 0) {
			free(kept);
			return;
		}
		io_fds_convert(&subs[i], &sub);
	}
	kept->nr_sub_regions = wire->count;
	io_fds_take(kept, reply);
	a->answer = kept;
}

/* Whether an error of the server says that it does not have the command, which is optional. */
static bool
io_fds_lacks_command(const struct vuc_session_reply *reply)
{
	return reply->refused &&
		(reply->status == -EINVAL || reply->status == -ENOSYS ||
			reply->status == -EOPNOTSUPP);
}

static void
io_fds_replied(struct operation_message *m, const struct vuc_session_reply *reply)
{
	struct io_fds_operation *a = (struct io_fds_operation *)m->op;
	const struct vuc_wire_io_fds_request asked = {
		.index = a->region,
		.argsz = a->argsz,
		.region_size = a->op.dev->regions[a->region].info.size,
		.nr_fds = reply->nr_fds,
	};
	struct vuc_wire_io_fds wire;
	struct vuc_error err = {0};
	int rc = reply->status;

	a->awaited = false;
	if (rc != 0) {
		operation_fail(&a->op, io_fds_lacks_command(reply) ? -EOPNOTSUPP : rc, "%s",
			reply->reason);
		return;
	}
	rc = vuc_wire_io_fds_decode(reply->body, reply->len, &asked, &wire, &err);
	if (rc != 0)
		operation_fail(&a->op, rc, "%s", err.text);
	else if (wire.truncated)
		a->argsz = wire.argsz;
	else
		io_fds_keep_answer(a, &wire, reply);
}

/* The server may have more to say than there was room for, so it is asked again. */
static int
io_fds_run(struct operation *op)
{
	struct io_fds_operation *a = (struct io_fds_operation *)op;
	uint8_t body[sizeof(struct vfio_user_region_io_fds)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		.body = body,
		.len = vuc_wire_io_fds_encode(body, a->region, a->argsz),
		.reply_max = a->argsz,
	};
	int rc;

	if (a->awaited)
		return -EAGAIN;
	if (!a->expects_fds)
		device_expect_fds(op->dev);
	a->expects_fds = true;
	if (a->answer != NULL || op->status != 0)
		return 0;
	if (a->asked == MAX_QUESTIONS)
		return operation_fail(op, -EPROTO,
			"VFIO_USER_DEVICE_GET_REGION_IO_FDS: region %u: asked %u times, and the "
			"server requires an argsz of %u now",
			a->region, a->asked, a->argsz);
	rc = operation_send(op, &a->message, &req);
	if (rc != 0)
		return rc;
	a->asked++;
	a->awaited = true;
	return -EAGAIN;
}

static void
io_fds_end(struct operation *op)
{
	struct io_fds_operation *a = (struct io_fds_operation *)op;

	if (a->expects_fds)
		device_expect_fds_no_more(op->dev);
	if (op->status != 0)
		return;
	op->dev->bypassed = op->dev->bypassed || a->answer->nr_fds > 0;
	*a->io_fds = a->answer;
	a->answer = NULL;
}

static void
io_fds_release(struct operation *op)
{
	struct vuc_io_fds *answer = ((struct io_fds_operation *)op)->answer;

	if (answer != NULL)
		vuc_closer_close(op->dev->closer, answer->fds, answer->nr_fds);
	free(answer);
	free(op);
}

static const struct operation_ops io_fds_ops = {
	.name = "VFIO_USER_DEVICE_GET_REGION_IO_FDS",
	.run = io_fds_run,
	.end = io_fds_end,
	.free = io_fds_release,
};

static int
io_fds_check_region(const struct vuc_device *dev, uint32_t region, struct vuc_error *err)
{
	const struct vuc_region *r = vuc_device_region(dev, region);

	if (r == NULL || r->size == 0)
		return vuc_error_set(err, -EINVAL, "there is no region %u", region);
	if (!dev->io_fds)
		return vuc_error_set(err, -EOPNOTSUPP,
			"region %u: the server is not asked for its sub-regions (io_fds is off)",
			region);
	return device_check_command(dev, VFIO_USER_DEVICE_GET_REGION_IO_FDS, err);
}

VUC_EXPORT int
vuc_io_fds_get_start(struct vuc_device *dev, uint32_t region, struct vuc_io_fds **io_fds,
	vuc_done_fn done, void *arg)
{
	struct io_fds_operation *a;
	int rc;

	if (io_fds == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "io_fds is NULL");
	*io_fds = NULL;
	rc = io_fds_check_region(dev, region, &dev->reason);
	if (rc != 0)
		return rc;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM,
			"no memory to ask about sub-regions of region %u", region);
	operation_init(&a->op, &io_fds_ops, dev, dev->timeout_ms);
	a->message.replied = io_fds_replied;
	a->region = region;
	a->argsz = sizeof(struct vfio_user_region_io_fds);
	a->io_fds = io_fds;
	return operation_start(&a->op, done, arg, &dev->reason);
}

VUC_EXPORT int
vuc_io_fds_get(struct vuc_device *dev, uint32_t region, struct vuc_io_fds **io_fds)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	*io_fds = NULL;
	if (rc != 0)
		return rc;
	rc = vuc_io_fds_get_start(dev, region, io_fds, operation_wake, &w);
	return operation_wait(&w, rc);
}

VUC_EXPORT void
vuc_io_fds_free(struct vuc_io_fds *io_fds)
{
	if (io_fds == NULL)
		return;
	vuc_fds_close(io_fds->fds, io_fds->nr_fds);
	free(io_fds);
}

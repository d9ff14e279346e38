/* SPDX-License-Identifier: BSD-3-Clause */

/* Options of a device, and the functions that open it. */

#include <errno.h>

#include "error.h"
#include "internal.h"
#include "opts.h"

VUC_EXPORT void
vuc_device_opts_init(struct vuc_device_opts *opts, size_t size)
{
	const struct vuc_device_opts defaults = {
		.fd = -1,
		.timeout_ms = VUC_DEFAULT_TIMEOUT_MS,
		.long_timeout_ms = VUC_DEFAULT_LONG_TIMEOUT_MS,
		.max_data_xfer_size = VUC_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_msg_fds = VUC_DEFAULT_MAX_MSG_FDS,
		.max_requests = VUC_DEFAULT_MAX_REQUESTS,
		.dma = VUC_DMA_SHARED,
		.max_dma_maps = VUC_DEFAULT_MAX_DMA_MAPS,
		.io_fds = true,
		.twin_socket = true,
		.write_multiple = true,
		.posted_writes = VUC_POSTED_WRITES_AUTO,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

static int
device_check_opts(const struct vuc_device_opts *o, struct vuc_error *err)
{
	if ((o->path != NULL) + (o->fd >= 0) + (o->loopback != NULL) != 1)
		return vuc_error_set(
			err, -EINVAL, "exactly one of path, fd and loopback has to be set");
	if (o->timeout_ms == 0)
		return vuc_error_set(err, -EINVAL, "timeout_ms is 0");
	if (o->long_timeout_ms == 0)
		return vuc_error_set(err, -EINVAL, "long_timeout_ms is 0");
	if (o->max_data_xfer_size < VUC_MIN_DATA_XFER_SIZE ||
		o->max_data_xfer_size > VUC_DEFAULT_MAX_DATA_XFER_SIZE)
		return vuc_error_set(err, -EINVAL, "max_data_xfer_size %u is not in %d to %d",
			o->max_data_xfer_size, VUC_MIN_DATA_XFER_SIZE,
			VUC_DEFAULT_MAX_DATA_XFER_SIZE);
	if (o->max_dma_maps == 0)
		return vuc_error_set(err, -EINVAL, "max_dma_maps is 0");
	if (o->max_msg_fds > VUC_MAX_MSG_FDS)
		return vuc_error_set(
			err, -EINVAL, "max_msg_fds %u is over %d", o->max_msg_fds, VUC_MAX_MSG_FDS);
	if (o->max_requests == 0 || o->max_requests > VUC_MAX_REQUESTS ||
		(o->max_requests & (o->max_requests - 1)) != 0)
		return vuc_error_set(err, -EINVAL,
			"max_requests %u is not a power of two in 1 to %d", o->max_requests,
			VUC_MAX_REQUESTS);
	return 0;
}

VUC_PRIVATE int
vuc_device_read_opts(
	struct vuc_device_opts *known, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	int rc;

	vuc_device_opts_init(known, sizeof(*known));
	rc = vuc_opts_read(known, sizeof(*known), opts,
		VUC_OPTS_LEAST(struct vuc_device_opts, trace_arg), "vuc_device_opts", err);
	return rc == 0 ? device_check_opts(known, err) : rc;
}

VUC_EXPORT int
vuc_device_open_start(const struct vuc_device_opts *opts, struct vuc_device **dev, vuc_done_fn done,
	void *arg, struct vuc_error *err)
{
	struct vuc_device_opts known;
	int rc;

	if (dev == NULL)
		return vuc_error_set(err, -EINVAL, "dev is NULL");
	*dev = NULL;
	rc = vuc_device_read_opts(&known, opts, err);
	return rc == 0 ? vuc_device_open_known_start(&known, NULL, NULL, dev, done, arg, err) : rc;
}

struct open_waiter {
	bool done;
	int status;
	struct vuc_error *err;
};

static void
open_wake(void *arg, int status, const struct vuc_error *err)
{
	struct open_waiter *w = arg;

	w->done = true;
	w->status = status;
	if (status != 0 && w->err != NULL)
		*w->err = *err;
}

VUC_PRIVATE int
vuc_device_open_known(const struct vuc_device_opts *opts, struct vuc_server_faults *faults,
	struct vuc_device **dev, struct vuc_error *err)
{
	struct open_waiter w = {.err = err};
	struct vuc_device *d;
	int rc;

	*dev = NULL;
	if (opts->group != NULL && opts->group->polling)
		return vuc_error_set(
			err, -EDEADLK, "a synchronous call from a completion callback");
	rc = vuc_device_open_known_start(opts, faults, NULL, &d, open_wake, &w, err);
	if (rc != 0)
		return rc;
	device_poll_until(d, &w.done);
	if (w.status == 0)
		*dev = d;
	else
		vuc_device_close(d);
	return w.status;
}

VUC_EXPORT int
vuc_device_open(const struct vuc_device_opts *opts, struct vuc_device **dev, struct vuc_error *err)
{
	struct vuc_device_opts known;
	int rc = vuc_device_read_opts(&known, opts, err);

	*dev = NULL;
	return rc == 0 ? vuc_device_open_known(&known, NULL, dev, err) : rc;
}

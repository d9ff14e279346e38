/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "internal.h"
#include "opts.h"
#include "vfio_user.h"

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
check_opts(const struct vuc_device_opts *o, struct vuc_error *err)
{
	if ((o->path != NULL) + (o->fd >= 0) + (o->loopback != NULL) != 1)
		return vuc_error_set(
			err, -EINVAL, "a device is opened by one of path, fd and loopback");
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
	rc = vuc_opts_read(known, sizeof(*known), opts, sizeof(*known), "vuc_device_opts", err);
	return rc == 0 ? check_opts(known, err) : rc;
}

static int
join_group(struct vuc_device *dev, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	struct vuc_poll_group *group = opts->group;
	struct vuc_poll_group_opts group_opts;
	int rc;

	if (group == NULL) {
		vuc_poll_group_opts_init(&group_opts, sizeof(group_opts));
		group_opts.transport = opts->transport;
		group_opts.log = opts->log;
		group_opts.log_arg = opts->log_arg;
		if (opts->loopback != NULL && opts->transport == NULL)
			group_opts.transport = vuc_transport_loopback.name;
		rc = vuc_poll_group_create(&group_opts, &group, err);
		if (rc != 0)
			return rc;
		dev->own_group = true;
	}
	group_add(group, dev);
	if (group->polling)
		return vuc_error_set(
			err, -EDEADLK, "a device is opened from a completion callback");
	if (group->transport->ops->sockets != (opts->loopback == NULL))
		return vuc_error_set(err, -EINVAL, "transport %s does not go with %s",
			vuc_poll_group_transport(group),
			opts->loopback != NULL ? "a loopback server" : "a socket");
	return 0;
}

static int
open_connection(
	struct vuc_device *dev, const struct vuc_device_opts *opts, int fd, struct vuc_error *err)
{
	if (fd >= 0)
		return device_link_open(&dev->main, fd, NULL, err);
	if (opts->path != NULL)
		fd = vuc_device_connect(opts->path, opts->timeout_ms, err);
	else if (opts->fd >= 0)
		fd = device_adopt(opts->fd, err);
	if (fd < 0 && opts->loopback == NULL)
		return fd;
	return device_link_open(&dev->main, fd, opts->loopback, err);
}

/* A vuc_session_warn_fn. */
static void
log_warning(void *arg, const char *line)
{
	const struct vuc_device *dev = arg;
	char text[VUC_PLACE_SIZE + VUC_ERROR_MAX];

	snprintf(text, sizeof(text), "%s: %s", dev->place, line);
	group_log(dev->group, VUC_LOG_WARNING, text);
}

static void
trace_message(void *arg, bool sent, const uint8_t *message, size_t len, unsigned int nr_fds)
{
	const struct device_link *link = arg;
	const struct vuc_trace_message traced = {
		.sent = sent,
		.twin = link == &link->dev->twin,
		.bytes = message,
		.len = len,
		.nr_fds = nr_fds,
	};

	link->dev->trace(link->dev->trace_arg, &traced);
}

void
device_warn(struct vuc_device *dev, enum device_fault fault, const char *fmt, ...)
{
	uint32_t bit = UINT32_C(1) << fault;
	char line[VUC_ERROR_MAX];
	va_list args;

	if ((dev->faults->warned & bit) != 0)
		return;
	dev->faults->warned |= bit;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_warning(dev, line);
}

static void
configure(struct device_link *link, const struct vuc_device_opts *opts,
	struct vuc_session_config *config)
{
	*config = (struct vuc_session_config){
		.max_requests = opts->max_requests,
		.timeout_ms = opts->timeout_ms,
		.segment_max = VUC_SEGMENT_MAX,
		.command = device_command,
		.command_arg = link->dev,
		.trace = opts->trace != NULL ? trace_message : NULL,
		.trace_arg = link,
		.faults = link->dev->faults,
		.warn = log_warning,
		.warn_arg = link->dev,
	};
	vuc_wire_version_init(&config->version);
	config->version.max_data_xfer_size = opts->max_data_xfer_size;
	config->version.max_msg_fds = opts->max_msg_fds;
	config->version.write_multiple = opts->write_multiple;
	config->version.twin_socket.supported =
		opts->twin_socket && opts->loopback == NULL && opts->max_msg_fds > 0;
}

static int
create_session(struct vuc_device *dev, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	struct vuc_session_config config;

	configure(&dev->main, opts, &config);
	dev->session = vuc_session_create(&config);
	dev->main.session = dev->session;
	if (dev->session == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a session");
	return 0;
}

static int
open_twin(struct vuc_device *dev, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	int fd = vuc_session_take_twin(dev->session);
	struct vuc_session_config config;
	int rc;

	if (fd < 0)
		return 0;
	configure(&dev->twin, opts, &config);
	config.twin = true;
	config.max_requests = 1;
	rc = device_check_socket(fd, "twin socket", err);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	dev->twin.session = vuc_session_create(&config);
	if (dev->twin.session == NULL) {
		close(fd);
		return vuc_error_set(err, -ENOMEM, "no memory for a session");
	}
	return device_link_open(&dev->twin, fd, NULL, err);
}

static void
keep_version(struct vuc_device *dev, const struct vuc_device_opts *opts)
{
	const struct vuc_wire_version *peer = vuc_session_peer(dev->session);

	dev->version.major = peer->major;
	dev->version.minor = peer->minor;
	dev->version.max_msg_fds = peer->max_msg_fds;
	dev->version.max_data_xfer_size = vuc_session_max_data(dev->session);
	dev->version.max_dma_maps =
		peer->max_dma_maps < opts->max_dma_maps ? peer->max_dma_maps : opts->max_dma_maps;
	dev->version.pgsizes = peer->pgsizes;
	dev->version.write_multiple = peer->write_multiple;
	dev->version.twin_socket = peer->twin_socket.supported;
	dev->version.json = vuc_session_peer_json(dev->session);
}

static int
negotiate(struct vuc_device *dev, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	device_mark_dirty(dev);
	while (vuc_session_state(dev->session) == VUC_SESSION_NEGOTIATING) {
		vuc_poll_group_poll(dev->group);
		sched_yield();
	}
	if (!vuc_device_connected(dev))
		return vuc_error_set(err, vuc_session_error(dev->session), "%s",
			vuc_session_reason(dev->session));
	keep_version(dev, opts);
	return 0;
}

/* Free what there is of a device, whose requests are all complete. */
static void
destroy(struct vuc_device *dev)
{
	device_link_free(&dev->twin);
	device_link_free(&dev->main);
	if (dev->group != NULL) {
		group_remove(dev);
		if (dev->own_group)
			vuc_poll_group_destroy(dev->group);
	}
	device_forget(dev);
	dma_table_free(&dev->dma);
	free(dev);
}

static int
open_steps(
	struct vuc_device *dev, const struct vuc_device_opts *opts, int fd, struct vuc_error *err)
{
	int rc = join_group(dev, opts, err);

	if (rc == 0)
		rc = create_session(dev, opts, err);
	if (rc == 0)
		rc = open_connection(dev, opts, fd, err);
	else if (fd >= 0)
		close(fd);
	if (rc == 0)
		rc = negotiate(dev, opts, err);
	if (rc == 0)
		rc = open_twin(dev, opts, err);
	if (rc == 0)
		rc = device_learn(dev, err);
	return rc;
}

/* On which socket its server is. */
static void
keep_place(struct vuc_device *dev, const struct vuc_device_opts *opts)
{
	if (opts->path != NULL)
		snprintf(dev->place, sizeof(dev->place), "%.100s%s", opts->path,
			strlen(opts->path) > 100 ? "..." : "");
	else if (opts->fd >= 0)
		snprintf(dev->place, sizeof(dev->place), "socket on descriptor %d", opts->fd);
	else
		snprintf(dev->place, sizeof(dev->place), "loopback");
}

static void
add_place(const struct vuc_device *dev, int rc, struct vuc_error *err)
{
	struct vuc_error why;

	if (err == NULL)
		return;
	why = *err;
	vuc_error_set(err, rc, "%s: %s", dev->place, why.text);
}

VUC_EXPORT int
vuc_device_open(const struct vuc_device_opts *opts, struct vuc_device **dev, struct vuc_error *err)
{
	struct vuc_device_opts known;
	int rc = vuc_device_read_opts(&known, opts, err);

	*dev = NULL;
	return rc == 0 ? vuc_device_open_fd(&known, -1, NULL, dev, err) : rc;
}

VUC_PRIVATE int
vuc_device_open_fd(const struct vuc_device_opts *opts, int fd, struct vuc_server_faults *faults,
	struct vuc_device **dev, struct vuc_error *err)
{
	struct vuc_device *d = aligned_alloc(_Alignof(struct vuc_device), sizeof(*d));
	int rc;

	*dev = NULL;
	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return vuc_error_set(err, -ENOMEM, "no memory for a device");
	}
	*d = (struct vuc_device){
		.operations = TAILQ_HEAD_INITIALIZER(d->operations),
		.main.dev = d,
		.twin.dev = d,
		.last = &d->first,
		.timeout_ms = opts->timeout_ms,
		.long_timeout_ms = opts->long_timeout_ms,
		.max_data_xfer_size = opts->max_data_xfer_size,
		.dma_policy = opts->dma,
		.io_fds = opts->io_fds,
		.faults = faults != NULL ? faults : &d->own_faults,
		.posted_writes = opts->posted_writes,
		.trace = opts->trace,
		.trace_arg = opts->trace_arg,
	};
	keep_place(d, opts);
	rc = open_steps(d, opts, fd, err);
	if (rc != 0) {
		add_place(d, rc, err);
		destroy(d);
		return rc;
	}
	*dev = d;
	return 0;
}

static void
drain(struct vuc_device *dev)
{
	uint64_t deadline = vuc_clock_coarse_ms() + dev->timeout_ms;

	/* Requests wait for room in the session only while it is ready. */
	while (dev->first != NULL && vuc_clock_coarse_ms() < deadline)
		vuc_poll_group_poll(dev->group);
	device_cancel_operations(dev, -ECANCELED, "the device was closed");
	vuc_session_drain(dev->session);
	while (vuc_session_state(dev->session) == VUC_SESSION_DRAINING &&
		vuc_clock_coarse_ms() < deadline)
		vuc_poll_group_poll(dev->group);
}

VUC_EXPORT void
vuc_device_close(struct vuc_device *dev)
{
	if (dev == NULL || dev->group->polling)
		return;
	drain(dev);
	vuc_session_end(dev->session, -ECANCELED, "the device was closed");
	device_pump(dev);
	destroy(dev);
}

VUC_EXPORT const struct vuc_device_version *
vuc_device_version(const struct vuc_device *dev)
{
	return &dev->version;
}

VUC_EXPORT const struct vuc_device_info *
vuc_device_info(const struct vuc_device *dev)
{
	return &dev->info;
}

VUC_EXPORT const struct vuc_region *
vuc_device_region(const struct vuc_device *dev, uint32_t index)
{
	return index < dev->info.num_regions ? &dev->regions[index].info : NULL;
}

VUC_EXPORT const struct vuc_irq *
vuc_device_irq(const struct vuc_device *dev, uint32_t index)
{
	return index < dev->info.num_irqs ? &dev->irqs[index] : NULL;
}

VUC_EXPORT struct vuc_poll_group *
vuc_device_poll_group(const struct vuc_device *dev)
{
	return dev->group;
}

VUC_EXPORT const char *
vuc_device_reason(const struct vuc_device *dev)
{
	/* The connection may have ended in a poll, with nobody's call to blame. */
	if (!vuc_device_connected(dev))
		return vuc_session_reason(dev->session);
	return dev->reason.text;
}

VUC_PRIVATE bool
vuc_device_is_silent(const struct vuc_device *dev, uint64_t *since_ms)
{
	return vuc_session_silent(dev->session, since_ms);
}

VUC_EXPORT bool
vuc_device_connected(const struct vuc_device *dev)
{
	return vuc_session_state(dev->session) == VUC_SESSION_READY;
}

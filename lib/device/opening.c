/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Opening a device: connect, negotiate, learn what it has; one deadline for all of it. The poll
 * group takes the steps, so nobody waits for a server here.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "command.h"
#include "connect.h"
#include "error.h"
#include "internal.h"
#include "learn.h"
#include "vfio_user.h"

#define CONNECTS_SOON_MS 50u /* since it was begun */
#define MAX_UNCLOSED     64u /* jobs of a closer that wait, until its server is left alone */

struct device_opening {
	struct vuc_device *dev;
	struct vuc_device_opts opts;        /* without what opts.path points to */
	struct device_connector *connector; /* NULL: it has connected */
	bool negotiating;
	struct device_learn learn;
	uint64_t deadline_ms;
	vuc_done_fn done;
	void *arg;
};

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
	if (group->transport->ops->sockets != (opts->loopback == NULL))
		return vuc_error_set(err, -EINVAL, "transport %s does not support %s",
			vuc_poll_group_transport(group),
			opts->loopback != NULL ? "a loopback server" : "a socket");
	return 0;
}

static void
configure_session(struct device_link *link, const struct vuc_device_opts *opts,
	struct vuc_session_config *config)
{
	*config = (struct vuc_session_config){
		.max_requests = opts->max_requests,
		.timeout_ms = opts->timeout_ms,
		.segment_max = VUC_SEGMENT_MAX,
		.command = device_command,
		.command_arg = link->dev,
		.faults = link->dev->faults,
		.warn = device_log_warning,
		.warn_arg = link->dev,
		.closer = link->dev->closer,
	};
	vuc_wire_version_init(&config->version);
	config->version.max_data_xfer_size = opts->max_data_xfer_size;
	config->version.max_msg_fds = opts->max_msg_fds;
	config->version.write_multiple = opts->write_multiple;
	config->version.twin_socket.supported =
		opts->twin_socket && opts->loopback == NULL && opts->max_msg_fds > 0;
}

/* Of all threads. */
static _Atomic uint32_t nr_connections;

static int
create_session(struct vuc_device *dev, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	struct vuc_session_config config;

	configure_session(&dev->main, opts, &config);
	dev->session = vuc_session_create(&config);
	dev->main.session = dev->session;
	if (dev->session == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a session");
	dev->connection = 1 + atomic_fetch_add_explicit(&nr_connections, 1, memory_order_relaxed);
	device_link_trace(&dev->main);
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
	configure_session(&dev->twin, opts, &config);
	config.twin = true;
	config.max_requests = 1;
	rc = device_check_socket(fd, "twin socket", err);
	if (rc != 0) {
		vuc_closer_close(dev->closer, &fd, 1);
		return rc;
	}
	dev->twin.session = vuc_session_create(&config);
	if (dev->twin.session == NULL) {
		vuc_closer_close(dev->closer, &fd, 1);
		return vuc_error_set(err, -ENOMEM, "no memory for a session");
	}
	device_link_trace(&dev->twin);
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
	if (peer->migration.present)
		dev->version.migration_pgsize = peer->migration.pgsize != 0
			? peer->migration.pgsize
			: VFIO_USER_DEFAULT_PGSIZES;
	/* It outlives the session. */
	dev->version_json = strdup(vuc_session_peer_json(dev->session));
	dev->version.json = dev->version_json != NULL ? dev->version_json : "";
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

static int
add_place(const struct vuc_device *dev, int rc, const struct vuc_error *why, struct vuc_error *err)
{
	struct vuc_error text = *why;

	return vuc_error_set(err, rc, "%s: %s", dev->place, text.text);
}

static void opening_step(struct vuc_device *dev);

/* The callback may close the device. */
static void
finish_opening(struct vuc_device *dev, int rc, const struct vuc_error *why)
{
	struct device_opening *o = dev->opening;
	vuc_done_fn done = o->done;
	struct vuc_error err = {0};
	void *arg = o->arg;

	dev->opening = NULL;
	if (dev->step == opening_step)
		dev->step = NULL;
	dev->operating = dev->step != NULL;
	device_learn_stop(&o->learn);
	device_expect_fds_no_more(dev);
	if (rc != 0) {
		add_place(dev, rc, why, &err);
		vuc_session_end(dev->session, rc, "%s", why->text);
		device_pump(dev);
		device_mark_dirty(dev);
	}
	device_connector_free(o->connector, dev->closer);
	free(o);
	dev->group->completed++;
	done(arg, rc, &err);
}

static void
opening_learned(struct device_learn *l, int rc, const struct vuc_error *err)
{
	if (rc == 0)
		l->dev->reason.text[0] = '\0';
	finish_opening(l->dev, rc, err);
}

/* What it is that has taken too long. */
static int
opening_explain_timeout(const struct device_opening *o, struct vuc_error *err)
{
	uint32_t ms = o->opts.timeout_ms;

	if (o->connector != NULL)
		return vuc_error_set(err, -ETIMEDOUT,
			"connect: the server has not accepted the connection within %u ms", ms);
	return vuc_error_set(err, -ETIMEDOUT, "no answer to %s within %u ms",
		vuc_wire_command_name(o->negotiating ? VFIO_USER_VERSION : o->learn.cmd), ms);
}

static int
opening_connect(struct device_opening *o, uint64_t now_ms, struct vuc_error *err)
{
	int fd = device_connector_step(o->connector, now_ms, err);

	if (fd < 0)
		return fd;
	device_connector_free(o->connector, o->dev->closer);
	o->connector = NULL;
	device_peer_take(&o->dev->peer, fd);
	return device_link_open(&o->dev->main, fd, NULL, err);
}

static int
opening_negotiated(struct device_opening *o, struct vuc_error *err)
{
	struct vuc_device *dev = o->dev;
	int rc;

	keep_version(dev, &o->opts);
	rc = open_twin(dev, &o->opts, err);
	if (rc != 0)
		return rc;
	o->negotiating = false;
	device_learn_start(&o->learn, dev, opening_learned);
	return -EAGAIN;
}

/* Returns -EAGAIN; 0 when it has finished; or what it has failed with. */
static int
opening_go_on(struct device_opening *o, struct vuc_error *err)
{
	const struct vuc_session *s = o->dev->session;
	uint64_t now_ms = vuc_clock_coarse_ms();

	if (vuc_session_error(s) != 0)
		return vuc_error_set(err, vuc_session_error(s), "%s", vuc_session_reason(s));
	if (now_ms >= o->deadline_ms)
		return !o->negotiating && device_learn_give_up(&o->learn)
			? 0
			: opening_explain_timeout(o, err);
	if (o->connector != NULL)
		return opening_connect(o, now_ms, err);
	if (o->negotiating && vuc_session_state(s) == VUC_SESSION_READY)
		return opening_negotiated(o, err);
	if (!o->negotiating)
		device_learn_go_on(&o->learn);
	return -EAGAIN;
}

static uint64_t
opening_due(const struct vuc_device *dev)
{
	const struct device_opening *o = dev->opening;
	uint64_t due = o->connector != NULL ? device_connector_due(o->connector) : UINT64_MAX;

	return due < o->deadline_ms ? due : o->deadline_ms;
}

/* Whether the look-up of a path, or a server that is about to accept, should be over soon: nothing
 * tells of that, so each poll looks. */
static bool
opening_connects_soon(const struct device_opening *o)
{
	return o->connector != NULL &&
		vuc_clock_coarse_ms() - (o->deadline_ms - o->opts.timeout_ms) < CONNECTS_SOON_MS;
}

/* Taken when something has come, and when it is due. */
static void
opening_step(struct vuc_device *dev)
{
	struct vuc_error err = {0};
	int rc = opening_go_on(dev->opening, &err);

	/* Learning may have ended by now. */
	if (dev->opening == NULL)
		return;
	if (opening_connects_soon(dev->opening))
		device_mark_dirty(dev);
	if (rc != 0 && rc != -EAGAIN)
		finish_opening(dev, rc, &err);
}

void
device_cancel_opening(struct vuc_device *dev)
{
	struct vuc_error err = {0};

	vuc_error_set(&err, -ECANCELED, "the device was closed");
	if (dev->opening != NULL)
		finish_opening(dev, -ECANCELED, &err);
}

static int
open_connection(struct device_opening *o, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	int fd = -1;

	if (opts->path != NULL)
		return device_connector_start(opts->path, &o->connector, err);
	if (opts->fd >= 0)
		fd = device_adopt(opts->fd, err);
	if (fd < 0 && opts->loopback == NULL)
		return fd;
	device_peer_take(&o->dev->peer, fd);
	return device_link_open(&o->dev->main, fd, opts->loopback, err);
}

static int
begin_opening(struct vuc_device *dev, const struct vuc_device_opts *opts, struct vuc_error *err)
{
	struct device_opening *o = calloc(1, sizeof(*o));
	int rc;

	if (o == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory to open a device");
	o->dev = dev;
	o->opts = *opts;
	o->negotiating = true;
	o->deadline_ms = vuc_clock_coarse_ms() + opts->timeout_ms;
	dev->opening = o;
	rc = join_group(dev, opts, err);
	if (rc == 0)
		rc = create_session(dev, opts, err);
	if (rc == 0)
		rc = open_connection(o, opts, err);
	return rc;
}

/* Returns NULL where what is to be closed is closed at once. */
static struct vuc_closer *
choose_closer(const struct vuc_device_opts *opts, struct vuc_closer *closer)
{
	if (closer == NULL && opts->group != NULL && opts->group->closers != NULL)
		return vuc_closer_create(opts->group->closers, 1);
	return vuc_closer_hold(closer);
}

static struct vuc_device *
alloc_device(const struct vuc_device_opts *opts, struct vuc_server_faults *faults,
	struct vuc_closer *closer)
{
	struct vuc_device *d = aligned_alloc(_Alignof(struct vuc_device), sizeof(*d));

	if (d == NULL) {
		vuc_closer_let_go(closer);
		return NULL;
	}
	*d = (struct vuc_device){
		.operations = TAILQ_HEAD_INITIALIZER(d->operations),
		.peer.pidfd = -1,
		.main.dev = d,
		.twin.dev = d,
		.last = &d->first,
		.step = opening_step,
		.step_due = opening_due,
		.operating = true,
		.timeout_ms = opts->timeout_ms,
		.long_timeout_ms = opts->long_timeout_ms,
		.max_data_xfer_size = opts->max_data_xfer_size,
		.dma_policy = opts->dma,
		.io_fds = opts->io_fds,
		.expects_fds = 1,
		.faults = faults != NULL ? faults : &d->own_faults,
		.closer = closer,
		.posted_writes = opts->posted_writes,
		.trace = opts->trace,
		.trace_arg = opts->trace_arg,
	};
	keep_place(d, opts);
	return d;
}

void
device_destroy(struct vuc_device *dev)
{
	device_link_free(&dev->twin);
	device_link_free(&dev->main);
	device_forget(dev);
	dma_table_free(&dev->dma);
	device_peer_forget(&dev->peer);
	free(dev->version_json);
	vuc_closer_let_go(dev->closer);
	free(dev);
}

/* It has failed before it began. */
static void
abandon_opening(struct vuc_device *dev)
{
	struct vuc_poll_group *group = dev->group;
	bool own = dev->own_group;

	if (dev->opening != NULL)
		device_connector_free(dev->opening->connector, dev->closer);
	free(dev->opening);
	if (group != NULL)
		group_remove(dev);
	device_destroy(dev);
	if (own)
		vuc_poll_group_destroy(group);
}

VUC_PRIVATE int
vuc_device_open_known_start(const struct vuc_device_opts *opts, struct vuc_server_faults *faults,
	struct vuc_closer *closer, struct vuc_device **dev, vuc_done_fn done, void *arg,
	struct vuc_error *err)
{
	struct vuc_error why = {0};
	struct vuc_device *d;
	int rc;

	*dev = NULL;
	if (vuc_closer_waiting(closer) >= MAX_UNCLOSED)
		return vuc_error_set(err, -EBUSY,
			"not connected: still closing file descriptors that the server has sent");
	d = alloc_device(opts, faults, choose_closer(opts, closer));
	if (d == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a device");
	rc = begin_opening(d, opts, &why);
	if (rc != 0) {
		add_place(d, rc, &why, err);
		abandon_opening(d);
		return rc;
	}
	d->opening->done = done;
	d->opening->arg = arg;
	device_mark_dirty(d);
	*dev = d;
	return 0;
}

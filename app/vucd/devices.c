/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

struct change;

/* What can be done to a device. */
struct kind {
	const char *name; /* for the log */
	int (*make)(struct change *change);
};

struct change {
	struct vucd_job job; /* first: a job is turned back into the change it is part of */
	const struct kind *kind;
	struct vucd_devices *devices;
	struct vucd_device_config config; /* of a removal, the name only */
	bool force;
	int rc;
	struct vuc_error err;
	vucd_done_fn done;
	void *arg;
};

/* It is there from now on; the job waits for the first attempt to connect. */
static int
add(struct change *change, const struct vucd_poller *poller)
{
	const struct vucd_device_config *config = &change->config;
	struct vuc_control_device_opts opts;

	vuc_control_device_opts_init(&opts);
	opts.name = config->name;
	opts.poller = poller->poller;
	opts.in_background = true;
	opts.device.path = config->socket;
	opts.device.dma = (enum vuc_dma_policy)config->dma;
	opts.device.posted_writes = (enum vuc_posted_writes)config->posted_writes;
	opts.device.io_fds = config->io_fds;
	opts.device.max_dma_maps = config->max_dma_maps;
	opts.device.timeout_ms = config->timeout_ms;
	opts.device.long_timeout_ms = config->long_timeout_ms;
	opts.reset = (enum vuc_control_reset)config->reset;
	opts.users = config->users.ids;
	opts.nr_users = config->users.nr;
	opts.groups = config->groups.ids;
	opts.nr_groups = config->groups.nr;
	opts.retry_min_ms = config->retry_min_ms;
	opts.retry_max_ms = config->retry_max_ms;
	return vuc_control_add_device(change->devices->control, &opts, &change->err);
}

static int
await(struct change *change)
{
	/* It may have been removed meanwhile. */
	(void)vuc_control_await_device(change->devices->control, change->config.name, NULL);
	return 0;
}

static int
take_away(struct change *change)
{
	return vuc_control_remove_device(
		change->devices->control, change->config.name, change->force, &change->err);
}

static int
detach(struct change *change)
{
	return vuc_control_detach(change->devices->control, change->config.name, &change->err);
}

static const struct kind addition = {"add", await};
static const struct kind removal = {"remove", take_away};
static const struct kind detachment = {"detach", detach};

/* ---- as jobs ---- */

static void
work(struct vucd_job *job)
{
	struct change *change = (struct change *)job;

	change->rc = change->kind->make(change);
}

/* What is to be done, and to whom to tell how it went. */
struct order {
	const struct kind *kind;
	const char *name; /* of the device */
	vucd_done_fn done;
	void *arg;
};

/* ---- what there is ---- */

static struct vucd_device_config *
find_known(const struct vucd_devices *devices, const char *name)
{
	unsigned int i;

	for (i = 0; i < devices->nr_known; i++) {
		if (strcmp(devices->known[i].name, name) == 0)
			return &devices->known[i];
	}
	return NULL;
}

const struct vucd_device_config *
vucd_devices_find(const struct vucd_devices *devices, const char *name)
{
	return find_known(devices, name);
}

/* The device that has a socket already; NULL when there is none. Servers have one client at a time.
 */
static const struct vucd_device_config *
find_socket(const struct vucd_devices *devices, const char *socket)
{
	unsigned int i;

	for (i = 0; i < devices->nr_known; i++) {
		if (strcmp(devices->known[i].socket, socket) == 0)
			return &devices->known[i];
	}
	return NULL;
}

/* Room for one more, before it is added. */
static int
reserve_known(struct vucd_devices *devices)
{
	struct vucd_device_config *known =
		realloc(devices->known, (devices->nr_known + 1) * sizeof(*known));

	if (known == NULL)
		return -ENOMEM;
	devices->known = known;
	return 0;
}

static void
forget_known(struct vucd_devices *devices, const char *name)
{
	struct vucd_device_config *known = find_known(devices, name);

	if (known != NULL)
		*known = devices->known[--devices->nr_known];
}

/* ---- changes ---- */

static void
end(struct vucd_devices *devices, const struct order *order, int rc, const char *why)
{
	if (rc != 0)
		vucd_log(devices->log, VUC_LOG_WARNING, "cannot %s device %.64s: %s",
			order->kind->name, order->name, why);
	order->done(order->arg, rc, rc != 0 ? why : "");
}

static void
finish(struct vucd_job *job)
{
	struct change *change = (struct change *)job;
	const struct order order = {change->kind, change->config.name, change->done, change->arg};
	int rc = job->error != 0 ? job->error : change->rc;

	if (rc == 0 && change->kind == &removal)
		forget_known(change->devices, change->config.name);
	if (rc != 0 && change->err.text[0] == '\0')
		snprintf(change->err.text, sizeof(change->err.text), "%s: %s", change->config.name,
			strerror(-rc));
	end(change->devices, &order, rc, change->err.text);
	free(change);
}

/* A change as it was ordered; NULL, with done called, when there can be none. */
static struct change *
new_change(struct vucd_devices *devices, const struct order *order)
{
	struct change *change;

	if (devices->closed) {
		end(devices, order, -ESHUTDOWN, "the daemon is stopping");
		return NULL;
	}
	change = calloc(1, sizeof(*change));
	if (change == NULL) {
		end(devices, order, -ENOMEM, "out of memory");
		return NULL;
	}
	change->job = (struct vucd_job){.work = work, .done = finish};
	change->kind = order->kind;
	change->devices = devices;
	change->done = order->done;
	change->arg = order->arg;
	return change;
}

void
vucd_devices_add(struct vucd_devices *devices, const struct vucd_device_config *config,
	vucd_done_fn done, void *arg)
{
	const struct order order = {&addition, config->name, done, arg};
	struct vucd_poller *poller =
		vucd_pollers_choose(devices->pollers, config->poller, devices->control);
	const struct vucd_device_config *other;
	struct change *change;
	char why[128];
	int rc;

	if (poller == NULL) {
		snprintf(why, sizeof(why), "there is no poller %s", config->poller);
		end(devices, &order, -ENOENT, why);
		return;
	}
	other = find_socket(devices, config->socket);
	if (other != NULL && strcmp(other->name, config->name) != 0) {
		snprintf(why, sizeof(why), "device %s has its socket already", other->name);
		end(devices, &order, -EADDRINUSE, why);
		return;
	}
	if (reserve_known(devices) != 0) {
		end(devices, &order, -ENOMEM, "out of memory");
		return;
	}
	change = new_change(devices, &order);
	if (change == NULL)
		return;
	change->config = *config;
	rc = add(change, poller);
	if (rc == 0) {
		devices->known[devices->nr_known++] = *config;
		vucd_job_start(devices->jobs, &change->job);
		return;
	}
	end(devices, &order, rc, change->err.text);
	free(change);
}

/* A change to the device of this name. */
static void
start_named(struct vucd_devices *devices, const struct order *order, bool force)
{
	struct change *change;

	if (!vucd_value_is_name(order->name, VUC_CONTROL_NAME_SIZE)) {
		end(devices, order, -ENOENT, "no device can have this name");
		return;
	}
	change = new_change(devices, order);
	if (change == NULL)
		return;
	snprintf(change->config.name, sizeof(change->config.name), "%s", order->name);
	change->force = force;
	vucd_job_start(devices->jobs, &change->job);
}

void
vucd_devices_remove(
	struct vucd_devices *devices, const char *name, bool force, vucd_done_fn done, void *arg)
{
	const struct order order = {&removal, name, done, arg};

	start_named(devices, &order, force);
}

void
vucd_devices_detach(struct vucd_devices *devices, const char *name, vucd_done_fn done, void *arg)
{
	const struct order order = {&detachment, name, done, arg};

	start_named(devices, &order, false);
}

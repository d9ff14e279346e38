/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

/* What can be done to a device. */
enum kind {
	ADD,
	REMOVE,
	DETACH,
};

static const char *const kind_names[] = {"add", "remove", "detach"};

struct change {
	struct vuc_post post; /* to the main thread, when it has ended */
	enum kind kind;
	struct vucd_devices *devices;
	char name[VUC_CONTROL_NAME_SIZE];
	int rc;
	struct vuc_error err;
	vucd_done_fn done;
	void *arg;
};

/* A vuc_done_fn, on the control thread. */
static void
change_ended(void *arg, int rc, const struct vuc_error *err)
{
	struct change *change = arg;

	change->rc = rc;
	change->err = *err;
	vuc_mailbox_post(&change->devices->mailbox, &change->post);
}

/* What is to be done, and to whom to tell how it went. */
struct order {
	enum kind kind;
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
device_end(struct vucd_devices *devices, const struct order *order, int rc, const char *why)
{
	if (rc != 0)
		vucd_log(devices->log, VUC_LOG_WARNING, "cannot %s device %.64s: %s",
			kind_names[order->kind], order->name, why);
	order->done(order->arg, rc, rc != 0 ? why : "");
}

/* A post, on the main thread. */
static void
job_finish(void *arg)
{
	struct change *change = arg;
	const struct order order = {change->kind, change->name, change->done, change->arg};

	if (change->rc == 0 && change->kind == REMOVE)
		forget_known(change->devices, change->name);
	device_end(change->devices, &order, change->rc, change->err.text);
	free(change);
}

/* A change as it was ordered; NULL, with done called, when there can be none. */
static struct change *
new_change(struct vucd_devices *devices, const struct order *order)
{
	struct change *change;

	if (devices->closed) {
		device_end(devices, order, -ESHUTDOWN, "the daemon is stopping");
		return NULL;
	}
	change = calloc(1, sizeof(*change));
	if (change == NULL) {
		device_end(devices, order, -ENOMEM, "out of memory");
		return NULL;
	}
	change->post = (struct vuc_post){.fn = job_finish, .arg = change};
	change->kind = order->kind;
	change->devices = devices;
	snprintf(change->name, sizeof(change->name), "%s", order->name);
	change->done = order->done;
	change->arg = order->arg;
	return change;
}

/* Ends a change that could not be begun. */
static void
begun(struct change *change, const struct order *order, int rc)
{
	if (rc == 0)
		return;
	device_end(change->devices, order, rc, change->err.text);
	free(change);
}

static void
mail_ready(struct vucd_watch *watch, uint32_t events)
{
	struct vucd_devices *devices = watch->arg;

	(void)events;
	vuc_mailbox_run(&devices->mailbox);
}

int
vucd_devices_init(struct vucd_devices *devices)
{
	int rc = vuc_mailbox_init(&devices->mailbox);

	if (rc != 0)
		return rc;
	devices->watch =
		(struct vucd_watch){.fd = devices->mailbox.fd, .ready = mail_ready, .arg = devices};
	rc = vucd_loop_add(devices->loop, &devices->watch, EPOLLIN);
	if (rc != 0)
		vuc_mailbox_fini(&devices->mailbox);
	return rc;
}

void
vucd_devices_fini(struct vucd_devices *devices)
{
	while (vuc_mailbox_run(&devices->mailbox) > 0)
		continue;
	vucd_loop_remove(devices->loop, &devices->watch);
	vuc_mailbox_fini(&devices->mailbox);
	free(devices->known);
}

static int
start_adding(struct change *change, const struct vucd_device_config *config,
	const struct vucd_poller *poller)
{
	struct vuc_control_device_opts opts;
	struct vuc_device_opts device;

	vuc_device_opts_init(&device, sizeof(device));
	vuc_control_device_opts_init(&opts, sizeof(opts));
	opts.name = config->name;
	opts.poller = poller->poller;
	opts.device = &device;
	device.path = config->socket;
	device.dma = (enum vuc_dma_policy)config->dma;
	device.posted_writes = (enum vuc_posted_writes)config->posted_writes;
	device.io_fds = config->io_fds;
	device.max_dma_maps = config->max_dma_maps;
	device.timeout_ms = config->timeout_ms;
	device.long_timeout_ms = config->long_timeout_ms;
	opts.reset = (enum vuc_control_reset)config->reset;
	opts.users = config->users.ids;
	opts.nr_users = config->users.nr;
	opts.groups = config->groups.ids;
	opts.nr_groups = config->groups.nr;
	opts.retry_min_ms = config->retry_min_ms;
	opts.retry_max_ms = config->retry_max_ms;
	return vuc_control_add_device_start(
		change->devices->control, &opts, change_ended, change, &change->err);
}

static int
device_add(struct change *change, const struct vucd_device_config *config)
{
	struct vucd_devices *devices = change->devices;
	const struct vucd_poller *poller =
		vucd_pollers_choose(devices->pollers, config->poller, devices->control);
	const struct vucd_device_config *other = find_socket(devices, config->socket);
	struct vuc_error *err = &change->err;

	if (poller == NULL) {
		snprintf(err->text, sizeof(err->text), "there is no poller %s", config->poller);
		return -ENOENT;
	}
	if (other != NULL && strcmp(other->name, config->name) != 0) {
		snprintf(err->text, sizeof(err->text), "socket %.108s is that of device %s already",
			config->socket, other->name);
		return -EADDRINUSE;
	}
	if (reserve_known(devices) != 0) {
		snprintf(err->text, sizeof(err->text), "out of memory");
		return -ENOMEM;
	}
	return start_adding(change, config, poller);
}

void
vucd_devices_add(struct vucd_devices *devices, const struct vucd_device_config *config,
	vucd_done_fn done, void *arg)
{
	const struct order order = {ADD, config->name, done, arg};
	struct change *change = new_change(devices, &order);
	int rc;

	if (change == NULL)
		return;
	rc = device_add(change, config);
	if (rc == 0)
		devices->known[devices->nr_known++] = *config;
	begun(change, &order, rc);
}

/* A change to the device of this name; NULL, with done called, when there can be none. */
static struct change *
new_named_change(struct vucd_devices *devices, const struct order *order)
{
	if (vucd_value_is_name(order->name, VUC_CONTROL_NAME_SIZE))
		return new_change(devices, order);
	device_end(devices, order, -ENOENT, "no device can have this name");
	return NULL;
}

void
vucd_devices_remove(
	struct vucd_devices *devices, const char *name, bool force, vucd_done_fn done, void *arg)
{
	const struct order order = {REMOVE, name, done, arg};
	struct change *change = new_named_change(devices, &order);

	if (change != NULL)
		begun(change, &order,
			vuc_control_remove_device_start(
				devices->control, name, force, change_ended, change, &change->err));
}

void
vucd_devices_detach(struct vucd_devices *devices, const char *name, vucd_done_fn done, void *arg)
{
	const struct order order = {DETACH, name, done, arg};
	struct change *change = new_named_change(devices, &order);

	if (change != NULL)
		begun(change, &order,
			vuc_control_detach_start(
				devices->control, name, change_ended, change, &change->err));
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* Something that is being done to a device. */
struct change {
	struct vuc_post post; /* to the main thread, when it has ended */
	const char *kind;     /* "add", "remove" or "detach" */
	struct vucd_devices *devices;
	char name[VUC_CONTROL_NAME_SIZE];
	bool forgets; /* the device is gone when it has succeeded */
	int rc;
	struct vuc_error err;
	vucd_done_fn done;
	void *arg;
};

/* ---- changes ---- */

static void
change_end(const struct change *change, int rc, const char *why)
{
	if (rc != 0)
		vucd_log(change->devices->log, change->devices->severity, "cannot %s device %s: %s",
			change->kind, change->name, why);
	change->done(change->arg, rc, rc != 0 ? why : "");
}

/* A post, on the main thread. */
static void
change_finish(void *arg)
{
	struct change *change = arg;
	struct vucd_devices *devices = change->devices;
	struct vucd_device_config *known =
		vucd_device_find(devices->known, devices->nr_known, change->name);

	if (change->rc == 0 && change->forgets && known != NULL)
		*known = devices->known[--devices->nr_known];
	change_end(change, change->rc, change->err.text);
	free(change);
}

/* A vuc_done_fn, on the control thread. */
static void
change_ended(void *arg, int rc, const struct vuc_error *err)
{
	struct change *change = arg;

	change->rc = rc;
	change->err = *err;
	vuc_mailbox_post(&change->devices->mailbox, &change->post);
}

/* NULL, with done called, when there can be none. */
static struct change *
change_new(struct vucd_devices *devices, const char *kind, const char *name, vucd_done_fn done,
	void *arg)
{
	struct change from = {.kind = kind, .devices = devices, .done = done, .arg = arg};
	struct change *change = NULL;

	snprintf(from.name, sizeof(from.name), "%s", name);
	if (!vucd_is_name(name, sizeof(from.name) - 1)) {
		change_end(&from, -ENOENT, "invalid device name");
	} else if (devices->closed) {
		change_end(&from, -ESHUTDOWN, "the daemon is stopping");
	} else {
		change = malloc(sizeof(*change));
		if (change == NULL)
			change_end(&from, -ENOMEM, "out of memory");
	}
	if (change != NULL) {
		*change = from;
		change->post = (struct vuc_post){.fn = change_finish, .arg = change};
	}
	return change;
}

/* Ends a change that could not be begun. */
static void
change_begun(struct change *change, int rc)
{
	if (rc == 0)
		return;
	change_end(change, rc, change->err.text);
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

	if (rc == 0)
		rc = vucd_loop_add(
			devices->loop, &devices->watch, devices->mailbox.fd, mail_ready, devices);
	return rc;
}

void
vucd_devices_fini(struct vucd_devices *devices)
{
	if (devices->mailbox.fd < 0)
		return;
	while (vuc_mailbox_run(&devices->mailbox) > 0)
		continue;
	vucd_loop_remove(devices->loop, &devices->watch);
	vuc_mailbox_fini(&devices->mailbox);
	free(devices->known);
}

/* ---- what can be done ---- */

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
	device.io_fds = config->io_fds != 0;
	device.max_dma_maps = config->max_dma_maps;
	if (config->timeout_ms != 0)
		device.timeout_ms = config->timeout_ms;
	else if (config->export_path[0] != '\0')
		device.timeout_ms = VUCD_EXPORT_TIMEOUT_MS;
	device.long_timeout_ms = config->long_timeout_ms;
	opts.reset = (enum vuc_control_reset)config->reset;
	opts.users = config->users.ids;
	opts.nr_users = config->users.nr;
	opts.groups = config->groups.ids;
	opts.nr_groups = config->groups.nr;
	opts.retry_min_ms = config->retry_min_ms;
	opts.retry_max_ms = config->retry_max_ms;
	opts.outage = (enum vuc_control_outage)config->outage;
	opts.hold_ms = config->hold_ms;
	opts.after_hold = (enum vuc_control_after_hold)config->after_hold;
	opts.fence = config->fence != 0;
	opts.release_ms = config->release_ms;
	opts.map = (enum vuc_control_map)config->map;
	opts.keep_bar0 = config->keep_bar0 != 0;
	opts.recover = (enum vuc_control_recover)config->recover;
	opts.export_path = config->export_path[0] != '\0' ? config->export_path : NULL;
	opts.export_mode = (mode_t)config->export_mode;
	opts.export_group = config->export_group;
	opts.reply_ms = config->reply_ms;
	return vuc_control_add_device_start(
		change->devices->control, &opts, change_ended, change, &change->err);
}

static int
refuse_path(const char *key, const char *path, const char *user, const char *name, const char *as,
	struct vuc_error *err)
{
	return vuc_error_set_utf8(err, -EADDRINUSE, "%s %s is already used by %s%s, as %s", key,
		path, user, name, as);
}

/* A server has one client at a time, and a path belongs to one socket. */
static int
check_path(const struct vucd_devices *devices, const struct vucd_device_config *config,
	const char *key, const char *path, struct vuc_error *err)
{
	const char *as = vucd_run_dir_name_of(devices->dir, path);
	unsigned int i;

	if (as != NULL)
		return refuse_path(key, path, "vucd itself", "", as, err);
	as = vucd_device_key_of(config, path);
	if (as != NULL && strcmp(as, key) != 0)
		return refuse_path(key, path, "device ", config->name, as, err);
	for (i = 0; i < devices->nr_known; i++) {
		const struct vucd_device_config *known = &devices->known[i];

		as = vucd_device_key_of(known, path);
		if (as != NULL && strcmp(known->name, config->name) != 0)
			return refuse_path(key, path, "device ", known->name, as, err);
	}
	return 0;
}

static int
device_add(struct change *change, const struct vucd_device_config *config)
{
	struct vucd_devices *devices = change->devices;
	const struct vucd_poller *poller =
		vucd_pollers_choose(devices->pollers, config->poller, devices->control);
	struct vucd_device_config *known;
	int rc = check_path(devices, config, "socket", config->socket, &change->err);

	if (rc == 0)
		rc = check_path(devices, config, "export", config->export_path, &change->err);
	if (poller == NULL)
		return vuc_error_set(
			&change->err, -ENOENT, "there is no poller %s", config->poller);
	if (rc != 0)
		return rc;
	known = realloc(devices->known, (devices->nr_known + 1) * sizeof(*known));
	if (known == NULL)
		return vuc_error_set(&change->err, -ENOMEM, "out of memory");
	devices->known = known;
	rc = start_adding(change, config, poller);
	if (rc == 0)
		devices->known[devices->nr_known++] = *config;
	return rc;
}

void
vucd_devices_add(struct vucd_devices *devices, const struct vucd_device_config *config,
	vucd_done_fn done, void *arg)
{
	struct change *change = change_new(devices, "add", config->name, done, arg);

	if (change != NULL)
		change_begun(change, device_add(change, config));
}

void
vucd_devices_remove(
	struct vucd_devices *devices, const char *name, bool force, vucd_done_fn done, void *arg)
{
	struct change *change = change_new(devices, "remove", name, done, arg);

	if (change == NULL)
		return;
	change->forgets = true;
	change_begun(change,
		vuc_control_remove_device_start(
			devices->control, name, force, change_ended, change, &change->err));
}

void
vucd_devices_detach(struct vucd_devices *devices, const char *name, vucd_done_fn done, void *arg)
{
	struct change *change = change_new(devices, "detach", name, done, arg);

	if (change != NULL)
		change_begun(change,
			vuc_control_detach_start(
				devices->control, name, change_ended, change, &change->err));
}

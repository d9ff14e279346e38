/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

struct change {
	struct vucd_job job; /* first: a job is turned back into the change it is part of */
	int (*make)(struct change *change);
	struct vuc_control *control;
	struct vucd_device_config config; /* of a removal, the name only */
	bool force;
	struct vucd_poller *poller; /* of a device to be added; else NULL */
	int rc;
	struct vuc_error err;
	vucd_done_fn done;
	void *arg;
};

static int
add(struct change *change)
{
	const struct vucd_device_config *config = &change->config;
	struct vuc_control_device_opts opts;

	vuc_control_device_opts_init(&opts);
	opts.name = config->name;
	opts.poller = change->poller->poller;
	opts.device.path = config->socket;
	opts.device.dma = (enum vuc_dma_policy)config->dma;
	opts.device.posted_writes = config->posted_writes;
	opts.device.timeout_ms = config->timeout_ms;
	opts.device.long_timeout_ms = config->long_timeout_ms;
	opts.users = config->users.ids;
	opts.nr_users = config->users.nr;
	opts.groups = config->groups.ids;
	opts.nr_groups = config->groups.nr;
	opts.retry_min_ms = config->retry_min_ms;
	opts.retry_max_ms = config->retry_max_ms;
	return vuc_control_add_device(change->control, &opts, &change->err);
}

static int
take_away(struct change *change)
{
	return vuc_control_remove_device(
		change->control, change->config.name, change->force, &change->err);
}

static int
detach(struct change *change)
{
	return vuc_control_detach(change->control, change->config.name, &change->err);
}

/* ---- as jobs ---- */

static void
work(struct vucd_job *job)
{
	struct change *change = (struct change *)job;

	change->rc = change->make(change);
}

static void
finish(struct vucd_job *job)
{
	struct change *change = (struct change *)job;
	int rc = job->error != 0 ? job->error : change->rc;

	if (change->poller != NULL)
		change->poller->coming--;
	if (rc != 0 && change->err.text[0] == '\0')
		snprintf(change->err.text, sizeof(change->err.text), "%s: %s", change->config.name,
			strerror(-rc));
	change->done(change->arg, rc, rc != 0 ? change->err.text : "");
	free(change);
}

/* A change that make is to make; NULL, with done called, when there can be none. */
static struct change *
new_change(struct vucd_devices *devices, int (*make)(struct change *change), vucd_done_fn done,
	void *arg)
{
	struct change *change;

	if (devices->closed) {
		done(arg, -ESHUTDOWN, "the daemon is stopping");
		return NULL;
	}
	change = calloc(1, sizeof(*change));
	if (change == NULL) {
		done(arg, -ENOMEM, "out of memory");
		return NULL;
	}
	change->job = (struct vucd_job){.work = work, .done = finish};
	change->make = make;
	change->control = devices->control;
	change->done = done;
	change->arg = arg;
	return change;
}

void
vucd_devices_add(struct vucd_devices *devices, const struct vucd_device_config *config,
	vucd_done_fn done, void *arg)
{
	struct vucd_poller *poller =
		vucd_pollers_choose(devices->pollers, config->poller, devices->control);
	struct change *change;
	char why[64];

	if (poller == NULL) {
		snprintf(why, sizeof(why), "there is no poller %s", config->poller);
		done(arg, -ENOENT, why);
		return;
	}
	change = new_change(devices, add, done, arg);
	if (change == NULL)
		return;
	change->config = *config;
	change->poller = poller;
	poller->coming++;
	vucd_job_start(devices->jobs, &change->job);
}

/* A change to the device of this name. */
static void
start_named(struct vucd_devices *devices, int (*make)(struct change *change), const char *name,
	bool force, vucd_done_fn done, void *arg)
{
	struct change *change;

	if (!vucd_value_is_name(name, VUC_CONTROL_NAME_SIZE)) {
		done(arg, -ENOENT, "no device can have this name");
		return;
	}
	change = new_change(devices, make, done, arg);
	if (change == NULL)
		return;
	snprintf(change->config.name, sizeof(change->config.name), "%s", name);
	change->force = force;
	vucd_job_start(devices->jobs, &change->job);
}

void
vucd_devices_remove(
	struct vucd_devices *devices, const char *name, bool force, vucd_done_fn done, void *arg)
{
	start_named(devices, take_away, name, force, done, arg);
}

void
vucd_devices_detach(struct vucd_devices *devices, const char *name, vucd_done_fn done, void *arg)
{
	start_named(devices, detach, name, false, done, arg);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "methods.h"

static const struct vuc_control_device devices[] = {
	{
		.name = "disk0",
		.socket = "/run/disk0.sock",
		.poller = "io0",
		.state = VUC_CONTROL_ATTACHED,
		.generation = 3,
		.since_ms = 60000,
		.vmm_pid = 4711,
		.vmm_uid = 1000,
		.vmm_name = "qemu",
		.queues = 2,
		.dma_maps = 5,
		.attached_ms = 60000,
		.reads = UINT64_MAX,
		.writes = 20,
		.posted = 30,
		.errors = 1,
		.attaches = 4,
	},
	{
		.name = "net0",
		.socket = "/run/net0.sock",
		.poller = "io0",
		.state = VUC_CONTROL_AWAY,
		.reason = "Connection \"refused\" \xff",
	},
};

#define NR_DEVICES (sizeof(devices) / sizeof(devices[0]))

static void
get_status(void *arg, struct vucd_status *status)
{
	const struct fake_service *fake = arg;

	*status = (struct vucd_status){
		.version = "1.2.3",
		.pid = 42,
		.uptime_ms = 1000,
		.directory = "/run/vucd",
		.vmm_socket = "/run/vucd/vmm.sock",
		.log_level = fake->log_level,
		.connections = 2,
	};
}

static void
list_devices(void *arg, vuc_control_device_fn fn, void *fn_arg)
{
	(void)arg;
	for (size_t i = 0; i < NR_DEVICES; i++)
		fn(fn_arg, &devices[i]);
}

static int
look_at_device(void *arg, const char *name, struct vuc_control_device *device)
{
	(void)arg;
	for (size_t i = 0; i < NR_DEVICES; i++) {
		if (strcmp(devices[i].name, name) == 0) {
			*device = devices[i];
			return 0;
		}
	}
	return -ENOENT;
}

static int
look_at_poller(void *arg, unsigned int i, struct vucd_poller_view *poller)
{
	(void)arg;
	if (i > 0)
		return -ENOENT;
	*poller = (struct vucd_poller_view){
		.name = "io0",
		.cpu = 3,
		.idle = VUC_IDLE_YIELD,
		.transport = "uring",
		.placement = "as was asked for",
		.stats = {.devices = 2, .accesses = {.reads = 10, .burst_sizes = {1, 2, 3}}},
	};
	return 0;
}

static void
change(struct fake_service *fake, vucd_done_fn done, void *arg)
{
	fake->changes++;
	if (!fake->later) {
		done(arg, fake->rc, fake->why);
		return;
	}
	fake->pending[fake->waiting].done = done;
	fake->pending[fake->waiting].arg = arg;
	fake->waiting++;
}

static void
add_device(void *arg, const char *who, const struct vucd_device_config *config, vucd_done_fn done,
	void *done_arg)
{
	struct fake_service *fake = arg;

	snprintf(fake->who, sizeof(fake->who), "%s", who);
	fake->added = *config;
	change(fake, done, done_arg);
}

static void
remove_device(
	void *arg, const char *who, const char *name, bool force, vucd_done_fn done, void *done_arg)
{
	struct fake_service *fake = arg;

	snprintf(fake->who, sizeof(fake->who), "%s", who);
	snprintf(fake->name, sizeof(fake->name), "%s", name);
	fake->force = force;
	change(fake, done, done_arg);
}

static void
detach_vmm(void *arg, const char *who, const char *device, vucd_done_fn done, void *done_arg)
{
	remove_device(arg, who, device, false, done, done_arg);
}

static void
reload(void *arg, const char *who, vucd_reload_fn fn, vucd_done_fn done, void *done_arg)
{
	(void)who;
	fn(done_arg, VUCD_RELOAD_ADDED, "a", "");
	fn(done_arg, VUCD_RELOAD_CHANGED, "b", "");
	fn(done_arg, VUCD_RELOAD_RESTART, "[vucd] group", "");
	fn(done_arg, VUCD_RELOAD_FAILED, "c", "it has a VMM");
	change(arg, done, done_arg);
}

static enum vuc_log_level
set_log_level(void *arg, const char *who, enum vuc_log_level level)
{
	struct fake_service *fake = arg;
	enum vuc_log_level before = fake->log_level;

	snprintf(fake->who, sizeof(fake->who), "%s", who);
	fake->log_level = level;
	return before;
}

void
fake_service_init(struct fake_service *fake)
{
	static const struct vucd_service_ops ops = {
		.status = get_status,
		.list_devices = list_devices,
		.look_at_device = look_at_device,
		.look_at_poller = look_at_poller,
		.add_device = add_device,
		.remove_device = remove_device,
		.detach_vmm = detach_vmm,
		.reload = reload,
		.set_log_level = set_log_level,
	};

	*fake = (struct fake_service){.log_level = VUC_LOG_NOTICE, .why = ""};
	fake->service = (struct vucd_service){.ops = &ops, .arg = fake};
	fake->rpc = (struct vucd_rpc){.methods = vucd_methods, .service = &fake->service};
}

void
fake_service_finish(struct fake_service *fake)
{
	vucd_done_fn done = fake->pending[0].done;
	void *arg = fake->pending[0].arg;

	fake->waiting--;
	memmove(&fake->pending[0], &fake->pending[1], fake->waiting * sizeof(fake->pending[0]));
	done(arg, fake->rc, fake->why);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <vuc/control.h>
#include <vuc/eal.h>

#include "clock.h"
#include "error.h"
#include "methods.h"
#include "socket.h"

/* ---- signals ---- */

static void
signals_ready(struct vucd_watch *watch, uint32_t events)
{
	struct vucd_daemon *d = watch->arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		vucd_log(d->log, VUC_LOG_NOTICE, "reload: SIGHUP from process %u%s", info.ssi_pid,
			d->reload.busy ? ", deferred until the current reload is done" : "");
		vucd_reload_request(&d->reload);
		return;
	}
	vucd_log(d->log, VUC_LOG_NOTICE, "stopping: %s from process %u",
		info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT", info.ssi_pid);
	d->loop.stopped = true;
}

/* Before there are other threads, which take over what is blocked. */
static int
open_signals(struct vucd_daemon *d)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : vucd_loop_add(&d->loop, &d->signals, fd, signals_ready, d);
}

/* From now on SIGINT ends the process, for whoever is impatient at a terminal. SIGTERM does not: it
 * may come twice, from a service manager and from a program between it and the daemon. */
static void
close_signals(struct vucd_daemon *d)
{
	sigset_t set;

	if (d->signals.fd < 0)
		return;
	vucd_loop_remove(&d->loop, &d->signals);
	close(d->signals.fd);
	d->signals.fd = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- the service manager ---- */

/*
 * Tell it how the daemon is: sd_notify(3)'s datagrams to $NOTIFY_SOCKET, made here, as libsystemd
 * would bring its own dependencies for the sake of one sendto(2). Lines of state are separated by
 * '\n'. Returns 0, also when nobody wants to know, or a negative errno.
 */
static int
service_manager_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr;
	socklen_t len;
	int fd, rc;

	if (path == NULL || path[0] == '\0')
		return 0;
	if (path[0] != '/' && path[0] != '@')
		return -EINVAL;
	rc = vuc_socket_address(path, &addr, NULL);
	if (rc != 0)
		return rc;
	if (path[0] == '@') /* an abstract name */
		addr.sun_path[0] = '\0';
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr, len) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* ---- the configuration's devices ---- */

/* Tell the service manager and the log that the devices have been added. Their servers may take
 * their time, and no other device or VMM waits for that. */
static void
daemon_report_ready(struct vucd_daemon *d)
{
	char state[128];
	int rc;

	snprintf(state, sizeof(state), "READY=1\nSTATUS=pollers: %u, devices: %u", d->pollers.nr,
		d->devices.nr_known);
	vucd_log(d->log, VUC_LOG_NOTICE, "ready, pollers: %u, devices: %u, VMMs at %s",
		d->pollers.nr, d->devices.nr_known, d->vmm_socket);
	rc = service_manager_notify(state);
	if (rc != 0)
		vucd_log(d->log, VUC_LOG_WARNING, "cannot notify the service manager: %s",
			strerror(-rc));
}

static void
device_tried(void *arg, int rc, const char *why)
{
	struct vucd_daemon *d = arg;

	(void)rc;
	(void)why; /* the log has it */
	d->coming--;
}

static void
add_devices(struct vucd_daemon *d)
{
	unsigned int i;

	d->coming = d->config->nr_devices;
	d->devices.severity = VUC_LOG_ERROR;
	for (i = 0; i < d->config->nr_devices; i++)
		vucd_devices_add(&d->devices, &d->config->devices[i], device_tried, d);
	d->devices.severity = VUC_LOG_WARNING;
}

/* ---- start and stop ---- */

static int
daemon_fail(struct vuc_error *err, const char *what, int rc)
{
	return vuc_error_set_utf8(err, rc, "%s: %s", what, strerror(-rc));
}

static int
start_eal(struct vucd_daemon *d, struct vuc_error *err)
{
	const struct vucd_settings *settings = &d->config->settings;
	char trace_dir[VUCD_PATH_SIZE + sizeof("--trace-dir=")];
	const char *const traces[] = {"--trace=vuc.*", trace_dir};
	struct vuc_eal_opts opts;

	/* EAL would find out when it is to write them. */
	if (settings->trace_directory[0] != '\0' &&
		access(settings->trace_directory, W_OK | X_OK) != 0)
		return daemon_fail(err, settings->trace_directory, -errno);
	snprintf(trace_dir, sizeof(trace_dir), "--trace-dir=%s", settings->trace_directory);
	vuc_eal_opts_init(&opts, sizeof(opts));
	opts.hugepages = settings->hugepages;
	opts.memory_mb = settings->memory_mb;
	opts.telemetry = settings->telemetry;
	/* Without telemetry nobody looks for the name, and no two daemons need to differ in it. */
	if (settings->telemetry)
		opts.file_prefix = settings->file_prefix;
	if (settings->trace_directory[0] != '\0') {
		opts.args = traces;
		opts.nr_args = sizeof(traces) / sizeof(traces[0]);
	}
	opts.log = vucd_log_line;
	opts.log_arg = d->log;
	return vuc_eal_init(&opts, err);
}

static int
start_control(struct vucd_daemon *d, struct vuc_error *err)
{
	const struct vucd_settings *settings = &d->config->settings;
	struct vuc_control_opts opts;
	int rc;

	vucd_run_dir_socket(&d->dir, VUCD_VMM_SOCKET, d->vmm_socket);
	vuc_control_opts_init(&opts, sizeof(opts));
	opts.path = d->vmm_socket;
	opts.mode = (mode_t)settings->socket_mode;
	opts.max_vmms = settings->max_vmms;
	opts.max_vmms_per_user = settings->max_vmms_per_user;
	opts.max_queues = settings->max_queues;
	opts.max_queue_memory = (uint64_t)settings->max_queue_memory_mb << 20;
	opts.max_dma_maps = settings->max_dma_maps;
	opts.max_dma_message = (uint64_t)settings->max_dma_message_mb << 20;
	opts.handshake_timeout_ms = settings->handshake_timeout_ms;
	opts.log = vucd_log_line;
	opts.log_arg = d->log;
	opts.deferred = true;
	rc = vuc_control_create(&opts, &d->control, err);
	d->devices.control = d->control;
	if (rc == 0 && settings->group != VUCD_NO_ID &&
		lchown(d->vmm_socket, (uid_t)-1, settings->group) != 0)
		rc = vuc_error_set_utf8(err, -errno, "%s: cannot change the group: %s",
			d->vmm_socket, strerror(errno));
	return rc;
}

static int
start_server(struct vucd_daemon *d, struct vuc_error *err)
{
	char path[VUCD_PATH_SIZE];

	vucd_run_dir_socket(&d->dir, VUCD_MANAGEMENT_SOCKET, path);
	d->rpc = (struct vucd_rpc){.methods = vucd_methods(), .arg = d};
	return vucd_server_create(&d->loop, path, d->config->settings.monitor_group, &d->rpc,
		d->log, &d->server, err);
}

/* What has started by then is stopped by daemon_stop(). */
static int
daemon_start(struct vucd_daemon *d, struct vuc_error *err)
{
	int rc = vucd_loop_init(&d->loop);

	if (rc == 0)
		rc = open_signals(d);
	if (rc == 0)
		rc = vucd_devices_init(&d->devices);
	if (rc != 0)
		return daemon_fail(err, "the main loop", rc);
	rc = vucd_run_dir_open(&d->dir, &d->config->settings, err);
	if (rc == 0)
		rc = start_eal(d, err);
	if (rc == 0)
		rc = vucd_pollers_start(&d->pollers, d->config, d->log, err);
	if (rc == 0)
		rc = start_control(d, err);
	if (rc == 0)
		rc = start_server(d, err);
	return rc;
}

/* In the opposite order. Changes of devices end with the control plane. */
static void
daemon_stop(struct vucd_daemon *d)
{
	vucd_server_destroy(d->server);
	d->devices.closed = true;
	vuc_control_destroy(d->control);
	vucd_devices_fini(&d->devices);
	vucd_pollers_stop(&d->pollers);
	vuc_eal_fini();
	vucd_run_dir_close(&d->dir);
	close_signals(d);
	vucd_loop_fini(&d->loop);
}

static int
daemon_serve(struct vucd_daemon *d, struct vuc_error *err)
{
	int rc;

	add_devices(d);
	rc = vuc_control_listen(d->control, err);
	if (rc != 0)
		return rc;
	daemon_report_ready(d);
	rc = vucd_loop_run(&d->loop);
	service_manager_notify("STOPPING=1");
	close_signals(d);
	return rc != 0 ? daemon_fail(err, "the main loop", rc) : 0;
}

int
vucd_daemon_run(const char *path, const struct vucd_config *config, struct vucd_log *log,
	struct vuc_error *err)
{
	struct vucd_daemon d = {
		.config = config,
		.log = log,
		.version = VUC_VERSION,
		.started_ms = vuc_clock_ms(),
		.loop = {.epfd = -1},
		.signals = {.fd = -1},
		.dir = {.fd = -1},
		.devices = {.mailbox = {.fd = -1}, .log = log},
		.reload = {.path = path,
			.config = config,
			.log = log,
			.log_level = config->settings.log_level},
	};
	int rc;

	d.devices.pollers = &d.pollers;
	d.devices.loop = &d.loop;
	d.devices.dir = &d.dir;
	d.reload.devices = &d.devices;
	vucd_log_set_level(log, (enum vuc_log_level)config->settings.log_level);
	rc = daemon_start(&d, err);
	if (rc == 0)
		rc = daemon_serve(&d, err);
	daemon_stop(&d);
	if (rc == 0)
		vucd_log(log, VUC_LOG_NOTICE, "stopped");
	return rc;
}

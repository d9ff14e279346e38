/* SPDX-License-Identifier: BSD-3-Clause */

/* vucctl's commands for the daemon, on a vucd with a vuc-refdev behind it. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

#include <json-c/json.h>

#include "memfd.h"
#include "refdev_server.h"
#include "tap.h"
#include "vucctl_run.h"
#include "vucd_rig.h"

#define MAX_ARGS 12

static struct refdev_server server;
static struct vucd_rig rig;

/* more: keys of the device */
static void
start_with(const char *more)
{
	char section[256];

	refdev_server_start_with(&server, NULL);
	snprintf(section, sizeof(section), "[device disk0]\nsocket = %s\npoller = io0\n%s",
		server.socket, more);
	vucd_rig_start(&rig, section);
	vucd_rig_await(&rig, "disk0", "free");
}

static void
start_all(void)
{
	start_with("");
}

static void
stop_all(void)
{
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

/* The arguments of a command, with the daemon's socket behind them. */
struct args {
	const char *list[MAX_ARGS + 3];
};

static struct args
on_daemon(const char *const *args)
{
	struct args all = {{NULL}};
	size_t n = 0;

	while (args[n] != NULL && n < MAX_ARGS) {
		all.list[n] = args[n];
		n++;
	}
	all.list[n++] = "--management";
	all.list[n] = rig.management;
	return all;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Run a command on the daemon. */
static void
run(struct vucctl_run *result, const char *const *args)
{
	struct args all = on_daemon(args);

	vucctl_run(result, all.list);
	CU_ASSERT_EQUAL(result->exit, 0);
	CU_ASSERT_STRING_EQUAL(result->err, "");
	CU_ASSERT_PTR_NULL(strchr(result->out, '\033'));
}

static void
expect(const char *const *args, int status, const char *out, const char *err)
{
	struct args all = on_daemon(args);

	vucctl_run_expect(all.list, status, out, err);
}

/* Run a command with --json; what it prints is one object, to be freed. */
static struct json_object *
run_json(const char *const *args)
{
	struct vucctl_run result;
	struct json_object *root;

	run(&result, args);
	root = json_tokener_parse(result.out);
	vucctl_run_free(&result);
	CU_ASSERT_FATAL(json_object_is_type(root, json_type_object));
	return root;
}

static struct json_object *
get(struct json_object *obj, const char *key)
{
	struct json_object *value = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(obj, key, &value));
	return value;
}

static const char *
text(struct json_object *obj, const char *key)
{
	const char *value = json_object_get_string(get(obj, key));

	return value != NULL ? value : "";
}

static uint64_t
number(struct json_object *obj, const char *key)
{
	CU_ASSERT(json_object_is_type(get(obj, key), json_type_int));
	return json_object_get_uint64(get(obj, key));
}

/* The only element of an array. */
static struct json_object *
only(struct json_object *obj, const char *key)
{
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(get(obj, key)), 1);
	return json_object_array_get_idx(get(obj, key), 0);
}

static struct vuc_vmm_device *
attach(void)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev;
	struct vuc_error err = {""};

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = rig.vmm_socket;
	opts.device = "disk0";
	opts.name = "a test";
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach(&opts, &dev, &err), 0);
	vucd_rig_await(&rig, "disk0", "attached");
	return dev;
}

static void
expect_event(struct vuc_vmm_device *dev, uint32_t event)
{
	struct pollfd pfd = {.fd = vuc_vmm_event_fd(dev), .events = POLLIN};
	uint32_t seen = 0;

	while ((seen & event) == 0 && poll(&pfd, 1, 20000) == 1)
		seen |= vuc_vmm_events(dev);
	CU_ASSERT_NOT_EQUAL(seen & event, 0);
}

/* Wait until the VMM has been told that its device is gone. */
static void
expect_removed(struct vuc_vmm_device *dev)
{
	expect_event(dev, VUC_VMM_EVENT_REMOVED);
	vuc_vmm_detach(dev);
	vucd_rig_await(&rig, "disk0", "free");
}

/* ---- status ---- */

static void
test_status(void)
{
	struct vucctl_run result;
	char wanted[256];

	start_all();
	run(&result, ARGS("status"));
	snprintf(wanted, sizeof(wanted), "Daemon\n  version         0.1.0\n  pid             %d\n",
		(int)rig.process.pid);
	CU_ASSERT_EQUAL(strncmp(result.out, wanted, strlen(wanted)), 0);
	snprintf(wanted, sizeof(wanted), "  VMM socket      %s\n", rig.vmm_socket);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, wanted));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(result.out, "  devices         0 attached, 1 free, 0 away, 0 cleaning\n"));
	vucctl_run_free(&result);
	stop_all();
}

static void
test_status_json(void)
{
	struct json_object *root;

	start_all();
	root = run_json(ARGS("status", "--json"));
	CU_ASSERT_EQUAL(number(root, "pid"), (uint64_t)rig.process.pid);
	CU_ASSERT_STRING_EQUAL(text(root, "state"), "running");
	CU_ASSERT_EQUAL(number(get(root, "devices"), "free"), 1);
	json_object_put(root);
	stop_all();
}

/* The socket is found where the daemon has it by default. */
static void
test_default_path(void)
{
	const char *const args[] = {"status", "--json", NULL};
	struct vucctl_run result;
	char path[VUCD_RIG_PATH];

	start_all();
	snprintf(path, sizeof(path), "%s/vucd", rig.folder);
	CU_ASSERT_EQUAL(symlink(rig.directory, path), 0);
	setenv("XDG_RUNTIME_DIR", rig.folder, 1);
	vucctl_run(&result, args);
	CU_ASSERT_EQUAL(result.exit, 0);
	vucctl_run_free(&result);
	unlink(path);
	if (access("/run/vucd", F_OK) != 0)
		vucctl_run_expect(args, 1, NULL, "/run/vucd/management.sock: cannot connect: ");
	setenv("VUCD_MANAGEMENT_SOCKET", rig.management, 1);
	vucctl_run(&result, args);
	CU_ASSERT_EQUAL(result.exit, 0);
	vucctl_run_free(&result);
	setenv("VUCD_MANAGEMENT_SOCKET", "/nonexistent/s", 1);
	vucctl_run_expect(args, 1, NULL, "/nonexistent/s: cannot connect: ");
	unsetenv("VUCD_MANAGEMENT_SOCKET");
	unsetenv("XDG_RUNTIME_DIR");
	stop_all();
}

/* ---- devices ---- */

static void
test_devices(void)
{
	struct vuc_vmm_device *dev;
	struct vucctl_run result;
	char wanted[512];

	start_all();
	run(&result, ARGS("devices"));
	snprintf(wanted, sizeof(wanted),
		"NAME   STATE  SINCE                CONNECTION  POLLER  VMM  QUEUES  SOCKET\n"
		"disk0  free   %.19s           1  io0     -         -  %s\n",
		strchr(result.out, '\n') + sizeof("disk0  free   "), server.socket);
	CU_ASSERT_STRING_EQUAL(result.out, wanted);
	vucctl_run_free(&result);
	dev = attach();
	run(&result, ARGS("devices"));
	snprintf(wanted, sizeof(wanted), "           1  io0     %d ", (int)getpid());
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, wanted));
	snprintf(wanted, sizeof(wanted), " a test       0  %s\n", server.socket);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, wanted));
	vucctl_run_free(&result);
	vuc_vmm_detach(dev);
	vucd_rig_await(&rig, "disk0", "free");
	stop_all();
}

static void
test_devices_json(void)
{
	struct json_object *root, *device;
	struct vuc_vmm_device *dev;

	start_all();
	root = run_json(ARGS("devices", "-j"));
	device = only(root, "devices");
	CU_ASSERT_STRING_EQUAL(text(device, "name"), "disk0");
	CU_ASSERT_STRING_EQUAL(text(device, "state"), "free");
	CU_ASSERT_PTR_NULL(get(device, "vmm"));
	json_object_put(root);
	dev = attach();
	root = run_json(ARGS("devices", "-j"));
	device = get(only(root, "devices"), "vmm");
	CU_ASSERT_EQUAL(number(device, "pid"), (uint64_t)getpid());
	CU_ASSERT_EQUAL(number(device, "uid"), (uint64_t)getuid());
	CU_ASSERT_STRING_EQUAL(text(device, "name"), "a test");
	CU_ASSERT_EQUAL(number(device, "queues"), 0);
	number(device, "dma_maps");
	number(device, "attached_ms");
	json_object_put(root);
	vuc_vmm_detach(dev);
	vucd_rig_await(&rig, "disk0", "free");
	stop_all();
}

/* What the list of devices says of the only one, to be freed by json_object_put(*root). */
static struct json_object *
list_device(struct json_object **root)
{
	*root = run_json(ARGS("devices", "--json"));
	return only(*root, "devices");
}

/* A server that hangs and goes on is seen everywhere: state, log, statistics, the VMM's events. */
static void
test_not_answering(void)
{
	struct json_object *root, *device;
	struct vuc_vmm_device *dev;
	struct vucctl_run result;
	struct vuc_queue *queue;
	struct vuc_error err;
	uint32_t ids;

	start_with("timeout-ms = 500\n");
	dev = attach();
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, NULL, &queue, &err), 0);
	kill(server.process.pid, SIGSTOP);
	CU_ASSERT_EQUAL(vuc_queue_read(queue, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids)),
		-ETIMEDOUT);
	expect_event(dev, VUC_VMM_EVENT_SILENT);
	CU_ASSERT_TRUE(vucd_rig_said(&rig, "disk0: the server is not answering: "));
	device = list_device(&root);
	CU_ASSERT_STRING_EQUAL(text(device, "state"), "not-answering");
	CU_ASSERT(number(device, "since_ms") >= 40);
	CU_ASSERT_EQUAL(number(device, "generation"), 1);
	CU_ASSERT_EQUAL(strncmp(text(device, "reason"),
				"requests time out: the server has sent nothing", 46),
		0);
	json_object_put(root);
	run(&result, ARGS("devices"));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\ndisk0  not-answering  "));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\n\ndisk0: requests time out: the server "));
	vucctl_run_free(&result);
	run(&result, ARGS("status"));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, ", 0 cleaning, 1 not answering\n"));
	vucctl_run_free(&result);
	root = run_json(ARGS("stats", "--json", "disk0"));
	CU_ASSERT_EQUAL(number(only(root, "devices"), "timeouts"), 1);
	json_object_put(root);
	kill(server.process.pid, SIGCONT);
	expect_event(dev, VUC_VMM_EVENT_ANSWERS);
	vucd_rig_await(&rig, "disk0", "attached");
	CU_ASSERT_TRUE(vucd_rig_said(&rig, "disk0: the server answers again, after "));
	vuc_vmm_close_queue(dev, queue);
	vuc_vmm_detach(dev);
	vucd_rig_await(&rig, "disk0", "free");
	stop_all();
}

static int
commit_memory(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	struct vuc_vmm_dma mapping = {.size = 0x1000, .flags = VUC_VMM_DMA_READ};
	int rc;

	mapping.fd = vuc_memfd_create("memory", mapping.size, F_SEAL_SHRINK);
	CU_ASSERT_FATAL(mapping.fd >= 0);
	rc = vuc_vmm_dma_map(dev, &mapping, 1, err);
	if (rc == 0)
		rc = vuc_vmm_dma_commit(dev, err);
	close(mapping.fd);
	return rc;
}

/* A VMM that goes on with a device whose server was restarted is told what to do. */
static void
test_stale(void)
{
	static const char todo[] = "has to detach and to attach again";
	struct json_object *root, *device;
	struct vuc_vmm_device *dev;
	struct vucctl_run result;
	struct vuc_error err;

	start_with("retry-max-ms = 100\n");
	dev = attach();
	vuc_spawn_kill(&server.process);
	vuc_spawn_free(&server.process);
	vucd_rig_await(&rig, "disk0", "away");
	refdev_server_run(&server, (const char *const[]){NULL});
	vucd_rig_await(&rig, "disk0", "stale");
	device = list_device(&root);
	CU_ASSERT_EQUAL(number(device, "generation"), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(text(device, "reason"), todo));
	json_object_put(root);
	run(&result, ARGS("devices"));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\ndisk0  stale  "));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, todo));
	vucctl_run_free(&result);
	CU_ASSERT_NOT_EQUAL(vuc_vmm_reset(dev, &err), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "has ended ("));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "): detach, and attach again"));
	CU_ASSERT_NOT_EQUAL(commit_memory(dev, &err), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "has ended ("));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "): detach, and attach again"));
	vuc_vmm_detach(dev);
	vucd_rig_await(&rig, "disk0", "free");
	stop_all();
}

static void
test_add_and_remove(void)
{
	struct vucctl_run result;
	char socket[VUCD_RIG_PATH], wanted[512];

	start_all();
	/* A second device of the same server would have to wait for the first. */
	snprintf(socket, sizeof(socket), "%s/late", rig.folder);
	run(&result,
		ARGS("add", "late", socket, "--poller=io0", "--retry-max", "100", "-u", "root, 7",
			"-g0", "--dma=message", "--posted-writes=off", "--reset=trust",
			"--io-fds=off", "--max-dma-maps=64"));
	CU_ASSERT_EQUAL(strncmp(result.out, "added late, which is away: ", 27), 0);
	vucctl_run_free(&result);
	expect(ARGS("add", "late", socket), 1, NULL, ".sock: there is a device late");
	run(&result, ARGS("devices"));
	snprintf(wanted, sizeof(wanted), "%s\n\nlate: ", socket);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, wanted));
	vucctl_run_free(&result);
	expect(ARGS("remove", "late"), 0, "", NULL);
	expect(ARGS("remove", "late"), 1, NULL, ".sock: there is no device late");
	expect(ARGS("remove", "disk0"), 0, "", NULL);
	run(&result, ARGS("add", "disk0", server.socket));
	CU_ASSERT_STRING_EQUAL(result.out, "added disk0, now free\n");
	vucctl_run_free(&result);
	stop_all();
}

static void
test_reload(void)
{
	static const char same[] = "[device a]\nsocket = /no/a\n";
	struct json_object *root;
	char text_of[512];

	start_all();
	snprintf(text_of, sizeof(text_of),
		"max-vmms = 7\n%s[device disk0]\nsocket = %s\npoller = io0\n", same, server.socket);
	vucd_rig_configure(&rig, text_of);
	expect(ARGS("reload"), 0, "added a\nneeds a restart: [vucd] max-vmms\n", NULL);
	vucd_rig_configure(&rig, same);
	root = run_json(ARGS("reload", "--json"));
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(json_object_array_get_idx(get(root, "removed"), 0)),
		"disk0");
	json_object_put(root);
	expect(ARGS("reload"), 0, "no changes\n", NULL);
	vucd_rig_configure(&rig, "x\n");
	expect(ARGS("reload"), 1, NULL, "vucd.conf:7: expected [SECTION] or KEY = VALUE");
	stop_all();
}

static void
test_add_and_remove_json(void)
{
	struct json_object *root;
	char *directory = getcwd(NULL, 0);
	char wanted[4096];

	start_all();
	root = run_json(ARGS("add", "-j", "other", "nonexistent/s"));
	CU_ASSERT_STRING_EQUAL(text(root, "name"), "other");
	CU_ASSERT_STRING_EQUAL(text(root, "state"), "away");
	/* The daemon is told where the socket is, and not where it would be for itself. */
	snprintf(wanted, sizeof(wanted), "%s/nonexistent/s", directory);
	CU_ASSERT_STRING_EQUAL(text(root, "socket"), wanted);
	free(directory);
	json_object_put(root);
	root = run_json(ARGS("remove", "--json", "--force", "other"));
	CU_ASSERT_STRING_EQUAL(text(root, "device"), "other");
	CU_ASSERT_TRUE(json_object_get_boolean(get(root, "removed")));
	json_object_put(root);
	stop_all();
}

static void
test_force(void)
{
	struct vuc_vmm_device *dev;

	start_all();
	dev = attach();
	expect(ARGS("remove", "disk0"), 1, NULL, ".sock: ");
	vucd_rig_await(&rig, "disk0", "attached");
	expect(ARGS("detach", "disk0"), 0, "", NULL);
	expect_removed(dev);
	expect(ARGS("detach", "disk0"), 1, NULL, ".sock: no VMM has device disk0");
	dev = attach();
	expect(ARGS("remove", "--force", "disk0"), 0, "", NULL);
	expect(ARGS("add", "--timeout=20000", "disk0", server.socket), 0, "added disk0, now free\n",
		NULL);
	expect_removed(dev);
	stop_all();
}

static void
test_detach_json(void)
{
	struct vuc_vmm_device *dev;
	struct json_object *root;

	start_all();
	dev = attach();
	root = run_json(ARGS("detach", "-j", "disk0"));
	CU_ASSERT_STRING_EQUAL(text(root, "device"), "disk0");
	CU_ASSERT_TRUE(json_object_get_boolean(get(root, "detached")));
	json_object_put(root);
	expect_removed(dev);
	stop_all();
}

/* ---- statistics ---- */

static void
test_stats(void)
{
	struct vucctl_run result;

	start_all();
	run(&result, ARGS("stats"));
	CU_ASSERT_EQUAL(strncmp(result.out, "DEVICE  STATE  READS  ", 22), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "  ERRORS  TIMEOUTS  QUEUES  "));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\ndisk0   free  "));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\n\nPOLLER  CPU  IDLE   TRANSPORT  "));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\nio0       -  sleep  "));
	vucctl_run_free(&result);
	run(&result, ARGS("stats", "disk0"));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\ndisk0   free  "));
	CU_ASSERT_PTR_NULL(strstr(result.out, "POLLER"));
	vucctl_run_free(&result);
	expect(ARGS("stats", "disk1"), 1, NULL, ".sock: there is no device disk1");
	expect(ARGS("stats", "--watch", "disk1"), 1, NULL, ".sock: there is no device disk1");
	stop_all();
}

static void
test_stats_json(void)
{
	struct json_object *root;

	start_all();
	root = run_json(ARGS("stats", "--json"));
	CU_ASSERT_STRING_EQUAL(text(only(root, "devices"), "name"), "disk0");
	CU_ASSERT_STRING_EQUAL(text(only(root, "pollers"), "name"), "io0");
	number(only(root, "pollers"), "loops_busy");
	json_object_put(root);
	stop_all();
}

static void
test_watch(void)
{
	struct vucctl_run result;
	double seconds;
	char *line;

	start_all();
	run(&result, ARGS("stats", "--watch", "--interval=0.1", "--count=2"));
	line = result.out;
	CU_ASSERT_STRING_EQUAL(strsep(&line, "\n"),
		"TIME  DEVICE  STATE  READS/S  WRITES/S  POSTED/S  ERRORS/S  QUEUES  DMA MAPS");
	CU_ASSERT_EQUAL_FATAL(sscanf(line, "%lf  disk0 ", &seconds), 1);
	CU_ASSERT(seconds > 0);
	strsep(&line, "\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(strsep(&line, "\n"), "  disk0   free         0  "));
	CU_ASSERT_STRING_EQUAL(line, "");
	vucctl_run_free(&result);
	stop_all();
}

static void
test_watch_json(void)
{
	struct vucctl_run result;
	struct json_object *root, *device;
	char *line;
	int i;

	start_all();
	run(&result, ARGS("stats", "-wj", "-i0.1", "-c2", "disk0"));
	line = result.out;
	for (i = 0; i < 2; i++) {
		root = json_tokener_parse(strsep(&line, "\n"));
		device = only(root, "devices");
		CU_ASSERT_STRING_EQUAL(text(device, "name"), "disk0");
		CU_ASSERT_EQUAL(number(device, "reads_per_s"), 0);
		CU_ASSERT(number(root, "interval_ms") > 0);
		CU_ASSERT(number(root, "time_ms") >= number(root, "interval_ms"));
		json_object_put(root);
	}
	CU_ASSERT_STRING_EQUAL(line, "");
	vucctl_run_free(&result);
	stop_all();
}

/* Whether one of the lines has a rate of reads that is not 0. */
static bool
has_reads(const struct vuc_spawn *spawn)
{
	static const char key[] = "\"reads_per_s\":";
	char *out = vuc_spawn_output(spawn);
	const char *at = out;
	bool found = false;

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	while (!found && (at = strstr(at, key)) != NULL) {
		at += sizeof(key) - 1;
		found = *at >= '1' && *at <= '9';
	}
	free(out);
	return found;
}

/* What a VMM does shows as a rate. */
static void
test_rates(void)
{
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
	struct vuc_spawn spawn;
	struct vuc_error err;
	struct args all;
	uint32_t ids;
	int i;

	start_all();
	dev = attach();
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, NULL, &queue, &err), 0);
	all = on_daemon(ARGS("stats", "--watch", "--json", "--interval=0.1"));
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&spawn, getenv("VUCCTL"), all.list), 0);
	for (i = 0; i < VUC_SPAWN_TIMEOUT_MS / 5 && !has_reads(&spawn); i++) {
		CU_ASSERT_EQUAL_FATAL(
			vuc_queue_read(queue, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids)),
			0);
		poll(NULL, 0, 5);
	}
	CU_ASSERT_TRUE(has_reads(&spawn));
	CU_ASSERT_EQUAL(vuc_spawn_stop(&spawn), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&spawn), 0);
	vuc_spawn_free(&spawn);
	vuc_vmm_close_queue(dev, queue);
	vuc_vmm_detach(dev);
	stop_all();
}

/* Wait until a program has printed a line. */
static void
await_line(const struct vuc_spawn *spawn)
{
	bool printed = false;
	int i;

	for (i = 0; i < VUC_SPAWN_TIMEOUT_MS / 5 && !printed; i++) {
		char *out = vuc_spawn_output(spawn);

		printed = out != NULL && strchr(out, '\n') != NULL;
		free(out);
		if (!printed)
			poll(NULL, 0, 5);
	}
	CU_ASSERT_TRUE(printed);
}

static void
test_watch_signal(void)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	/* By far the most of the time it waits for the next sample. */
	const char *const interval[] = {"--interval=0.1", "--interval=0.3"};
	struct vuc_spawn spawn;
	char *errors;
	size_t i;

	start_all();
	for (i = 0; i < 2; i++) {
		struct args all = on_daemon(ARGS("stats", "--watch", interval[i]));

		CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&spawn, getenv("VUCCTL"), all.list), 0);
		await_line(&spawn);
		kill(spawn.pid, numbers[i]);
		CU_ASSERT_EQUAL(vuc_spawn_wait(&spawn), 0);
		CU_ASSERT_EQUAL(vuc_spawn_status(&spawn), 0);
		errors = vuc_spawn_errors(&spawn);
		CU_ASSERT_STRING_EQUAL(errors, "");
		free(errors);
		vuc_spawn_free(&spawn);
	}
	stop_all();
}

/* On a terminal each table takes the place of the one before. */
static void
test_watch_terminal(void)
{
	/* script(1) has a terminal for it, and what it shows comes out of a pipe. */
	char command[512];
	struct vucctl_run result;
	const char *const args[] = {"-qec", command, "/dev/null", NULL};

	int terminal;

	if (access("/usr/bin/script", X_OK) != 0) {
		vuc_tap_skip("script(1) is not installed");
		return;
	}
	terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal < 0 || ptsname(terminal) == NULL || access(ptsname(terminal), R_OK) != 0) {
		vuc_tap_skip("there are no terminals here: /dev/pts is not mounted");
		if (terminal >= 0)
			close(terminal);
		return;
	}
	close(terminal);
	start_all();
	snprintf(command, sizeof(command),
		"TERM=xterm exec '%s' stats --watch --interval 0.1 --count 2 --management '%s'",
		getenv("VUCCTL"), rig.management);
	vucctl_run_program(&result, "/usr/bin/script", args);
	CU_ASSERT_EQUAL(result.exit, 0);
	CU_ASSERT_EQUAL(strncmp(result.out, "DEVICE  STATE  READS/S  ", 24), 0);
	CU_ASSERT_PTR_NULL(strstr(result.out, "TIME"));
	CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\033[J\033[2A\rDEVICE  "));
	vucctl_run_free(&result);
	stop_all();
}

static void
test_daemon_ends(void)
{
	struct args all = on_daemon(ARGS("stats", "--watch", "--interval=0.1"));
	struct vuc_spawn spawn;
	char *errors;

	start_all();
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&spawn, getenv("VUCCTL"), all.list), 0);
	await_line(&spawn);
	vucd_rig_end(&rig);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&spawn), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&spawn), 1);
	errors = vuc_spawn_errors(&spawn);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors, ": the daemon has closed the connection\n"));
	if (strstr(errors, ": the daemon has closed the connection\n") == NULL)
		printf("# vucctl said: %s\n", errors);
	free(errors);
	vuc_spawn_free(&spawn);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

/* ---- errors ---- */

static void
test_errors(void)
{
	static const struct {
		const char *args[6];
		int status;
		const char *text;
	} cases[] = {
		{{"status", "x"}, 2, "unexpected argument 'x'; see 'vucctl status --help'"},
		{{"status", "--frob"}, 2, "unknown option '--frob'"},
		{{"status", "--timeout=0"}, 2, "timeout '0' is not a number of milliseconds"},
		{{"devices", "x"}, 2, "unexpected argument 'x'; see 'vucctl devices --help'"},
		{{"stats", "a", "b"}, 2, "unexpected argument 'b'"},
		{{"stats", "--interval=1"}, 2, "are of use with --watch only"},
		{{"stats", "-w", "--interval=0.01"}, 2, "interval '0.01'"},
		{{"stats", "-w", "--count=x"}, 2, "count 'x'"},
		{{"add"}, 2, "no name given; see 'vucctl add --help'"},
		{{"add", "a"}, 2, "no socket given"},
		{{"add", "a", "/s", "x"}, 2, "unexpected argument 'x'"},
		{{"add", "-d", "no", "a", "/s"}, 2, "dma 'no' is neither 'shared' nor 'message'"},
		{{"add", "--posted-writes=1", "a", "/s"}, 2, "posted writes '1'"},
		{{"add", "--reset=off", "a", "/s"}, 2, "reset 'off' is none of 'on'"},
		{{"add", "--io-fds=1", "a", "/s"}, 2, "ioeventfds '1'"},
		{{"add", "--max-dma-maps=0", "a", "/s"}, 2, "DMA mappings '0'"},
		{{"add", "--retry-min=0", "a", "/s"}, 2, "first retry '0'"},
		{{"add", "--server-timeout=x", "a", "/s"}, 2, "server timeout 'x'"},
		{{"add", "a/b", "/s"}, 1, ".sock: name = a/b: expected at most "},
		{{"add", "-p", "io9", "a", "/s"}, 1, "io9"},
		{{"add", "-u", "no such user", "a", "/s"}, 1, ".sock: users = no,such,user: "},
		{{"remove"}, 2, "no device given; see 'vucctl remove --help'"},
		{{"remove", "a", "b"}, 2, "unexpected argument 'b'"},
		{{"detach"}, 2, "no device given; see 'vucctl detach --help'"},
		{{"detach", "a"}, 1, ".sock: there is no device a"},
	};
	const char *const nowhere[] = {"status", "--management=/nonexistent/s", NULL};
	size_t i;

	start_all();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i].args, cases[i].status, NULL, cases[i].text);
	vucctl_run_expect(
		nowhere, 1, NULL, "/nonexistent/s: cannot connect: No such file or directory");
	stop_all();
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"status", test_status},
		{"status as JSON", test_status_json},
		{"where the socket is by default", test_default_path},
		{"devices", test_devices},
		{"devices as JSON", test_devices_json},
		{"not answering", test_not_answering},
		{"stale", test_stale},
		{"add and remove", test_add_and_remove},
		{"reload", test_reload},
		{"add and remove as JSON", test_add_and_remove_json},
		{"taken away by force", test_force},
		{"detach as JSON", test_detach_json},
		{"stats", test_stats},
		{"stats as JSON", test_stats_json},
		{"stats --watch", test_watch},
		{"stats --watch as JSON", test_watch_json},
		{"rates of a VMM", test_rates},
		{"a signal ends stats --watch", test_watch_signal},
		{"stats --watch on a terminal", test_watch_terminal},
		{"the daemon ends", test_daemon_ends},
		{"errors", test_errors},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_daemon", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}

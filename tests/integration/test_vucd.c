/* SPDX-License-Identifier: BSD-3-Clause */

/* The daemon as its operator sees it: start, stop, what it says, and its management socket. */

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

#include "refdev_server.h"
#include "tap.h"
#include "telemetry_client.h"
#include "vucd_rig.h"

static unsigned int
mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static const char *
string_in(struct json_object *obj, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(obj, key));

	return text != NULL ? text : "";
}

/* A method that fails in the way that the errno names. */
static void
fails(struct vucd_rig *rig, const char *method, const char *params, const char *name)
{
	struct json_object *answer;

	CU_ASSERT_PTR_NULL(vucd_rig_ask(rig, method, params, &answer));
	CU_ASSERT_STRING_EQUAL(vucd_rig_errno(answer), name);
	json_object_put(answer);
}

static void
works(struct vucd_rig *rig, const char *method, const char *params)
{
	struct json_object *answer;

	CU_ASSERT_PTR_NOT_NULL(vucd_rig_ask(rig, method, params, &answer));
	json_object_put(answer);
}

/* ---- start and stop ---- */

static void
test_life(void)
{
	struct json_object *answer, *result;
	struct vucd_rig rig;

	vucd_rig_start(&rig, "");
	CU_ASSERT_EQUAL(mode_of(rig.directory), 0700);
	CU_ASSERT_EQUAL(mode_of(rig.vmm_socket), 0600);
	CU_ASSERT_EQUAL(mode_of(rig.management), 0600);
	result = vucd_rig_ask(&rig, "status", "[]", &answer);
	CU_ASSERT_STRING_EQUAL(string_in(result, "state"), "running");
	CU_ASSERT_STRING_EQUAL(string_in(result, "vmm_socket"), rig.vmm_socket);
	CU_ASSERT_EQUAL(
		json_object_get_int(json_object_object_get(result, "pid")), rig.process.pid);
	json_object_put(answer);
	vucd_rig_end(&rig);
	CU_ASSERT(vucd_rig_notified(&rig, "STOPPING=1"));
	CU_ASSERT(vucd_rig_said(&rig, "notice  stopping, by SIGTERM of process"));
	CU_ASSERT(vucd_rig_said(&rig, "notice  stopped\n"));
	CU_ASSERT_NOT_EQUAL(access(rig.directory, F_OK), 0);
	vucd_rig_stop(&rig);
}

/* The name in telemetry is one daemon's at a time, and what a killed one has left is taken over. */
/* DPDK keeps its traces under locks that ThreadSanitizer does not see. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define TRACES          false
#define CHECKER_THREADS 1u /* ThreadSanitizer's own */
#else
#define TRACES          true
#define CHECKER_THREADS 0u
#endif

static void
test_file_prefix(void)
{
	const char *args[] = {"--config", NULL, NULL};
	char config[VUCD_RIG_PATH], path[VUCD_RIG_PATH + 32], traces[VUC_TEMPDIR_SIZE], more[256];
	struct vuc_spawn second;
	struct vucd_rig rig;
	char *errors;
	FILE *file;

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(traces), 0);
	snprintf(more, sizeof(more), "telemetry = on\nfile-prefix = blue\n%s%s\n",
		TRACES ? "trace-directory = " : "# no traces: ", traces);
	vucd_rig_start(&rig, more);
	snprintf(path, sizeof(path), "%s/dpdk/blue/dpdk_telemetry.v2", rig.folder);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	snprintf(config, sizeof(config), "%s/second.conf", rig.folder);
	file = fopen(config, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fprintf(file, "[poller a]\nidle = sleep\n[vucd]\ndirectory = %s2\nfile-prefix = blue\n",
		rig.directory);
	CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
	args[1] = config;
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&second, getenv("VUCD"), args), 0);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&second), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&second), 1);
	errors = vuc_spawn_errors(&second);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors,
		"dpdk/blue: choose another file prefix than blue, or switch telemetry off\n"));
	free(errors);
	vuc_spawn_free(&second);
	/* That one has taken nothing away. */
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	vuc_spawn_free(&rig.process);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	close(rig.client);
	vucd_rig_run(&rig);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_EQUAL(vuc_tempdir_count(traces), 0);
	vucd_rig_end(&rig);
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_EQUAL(vuc_tempdir_count(traces), TRACES);
	vucd_rig_stop(&rig);
	snprintf(more, sizeof(more), "rm -r %s", traces);
	CU_ASSERT_EQUAL(system(more), 0);
}

static void
test_modes(void)
{
	struct vucd_rig rig;
	char more[64];

	snprintf(more, sizeof(more), "directory-mode = 0750\nsocket-mode = 0660\ngroup = %u\n",
		(unsigned int)getegid());
	vucd_rig_start(&rig, more);
	CU_ASSERT_EQUAL(mode_of(rig.directory), 0750);
	CU_ASSERT_EQUAL(mode_of(rig.vmm_socket), 0660);
	CU_ASSERT_EQUAL(mode_of(rig.management), 0600);
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
}

/* Two of them do not get into each other's way, and one that was killed is in nobody's. */
static void
test_twice(void)
{
	const char *args[] = {"--config", NULL, NULL};
	struct vuc_spawn second;
	struct vucd_rig rig;
	char *errors;

	vucd_rig_start(&rig, "");
	args[1] = rig.config;
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&second, getenv("VUCD"), args), 0);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&second), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&second), 1);
	errors = vuc_spawn_errors(&second);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors, "run: another vucd has it\n"));
	free(errors);
	vuc_spawn_free(&second);
	works(&rig, "status", "[]");
	vuc_spawn_free(&rig.process);
	CU_ASSERT_EQUAL(access(rig.management, F_OK), 0);
	close(rig.client);
	vucd_rig_run(&rig);
	works(&rig, "status", "[]");
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
}

/* ---- placement ---- */

/* The CPU of a poller, by the answer to stats.get. */
static int
cpu_of(struct json_object *stats, unsigned int poller)
{
	struct json_object *all = json_object_object_get(stats, "pollers");

	return json_object_get_int(
		json_object_object_get(json_object_array_get_idx(all, poller), "cpu"));
}

/* A poller that may be put anywhere leaves a CPU to the one that spins there, wherever the file has
 * that. */
static void
test_placement(void)
{
	struct json_object *answer, *result;
	struct vucd_rig rig;
	char more[256];
	cpu_set_t set;
	int last = CPU_SETSIZE - 1;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(set), &set), 0);
	while (!CPU_ISSET((unsigned int)last, &set))
		last--;
	snprintf(more, sizeof(more),
		"[poller a]\nidle = sleep\n[poller b]\nidle = sleep\n[poller s]\ncpu = %d\n", last);
	vucd_rig_start(&rig, more);
	result = vucd_rig_ask(&rig, "stats.get", "[]", &answer);
	CU_ASSERT_EQUAL(cpu_of(result, 3), last);
	if (CPU_COUNT(&set) > 1) {
		CU_ASSERT_NOT_EQUAL(cpu_of(result, 1), last);
		CU_ASSERT_NOT_EQUAL(cpu_of(result, 2), last);
	}
	json_object_put(answer);
	vucd_rig_end(&rig);
	CU_ASSERT_FALSE(vucd_rig_said(&rig, "both spin"));
	vucd_rig_stop(&rig);
}

static void
test_crowd(void)
{
	struct vucd_rig rig;
	char more[128];
	cpu_set_t set;
	int cpu = 0;

	CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(set), &set), 0);
	while (!CPU_ISSET((unsigned int)cpu, &set))
		cpu++;
	snprintf(more, sizeof(more), "[poller s]\ncpu = %d\n[poller t]\ncpu = %d\n", cpu, cpu);
	vucd_rig_start(&rig, more);
	vucd_rig_end(&rig);
	CU_ASSERT(vucd_rig_said(&rig, "warning pollers s and t both spin on CPU "));
	vucd_rig_stop(&rig);
}

/* ---- the command line ---- */

/* Run it to its end. Returns what it has printed, to be freed. */
static char *
run(const char *const *args, int status, bool errors)
{
	struct vuc_spawn process;
	char *text;

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&process, getenv("VUCD"), args), 0);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&process), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&process), status);
	text = errors ? vuc_spawn_errors(&process) : vuc_spawn_output(&process);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	vuc_spawn_free(&process);
	return text;
}

static void
test_check(void)
{
	struct vucd_rig rig;
	const char *args[] = {"--check", "--config", rig.config, NULL};
	char wanted[256];
	char *text;

	vucd_rig_prepare(&rig, "[device d]\nsocket = /s\n[device e]\nsocket = /t\n");
	text = run(args, 0, true);
	CU_ASSERT_STRING_EQUAL(text, "");
	free(text);
	text = run(args, 0, false);
	CU_ASSERT_STRING_EQUAL(text, "OK: 1 poller, 2 devices\n");
	free(text);
	vucd_rig_stop(&rig);
	vucd_rig_prepare(&rig, "[device d]\nsocket = /no/such/s\n");
	text = run(args, 0, true);
	snprintf(wanted, sizeof(wanted),
		"%s:8: warning: [device d] socket = /no/such/s: there is no folder /no/such\n",
		rig.config);
	CU_ASSERT_STRING_EQUAL(text, wanted);
	free(text);
	vucd_rig_stop(&rig);
	vucd_rig_prepare(&rig, "[poller io1]\ncpu = 99x\n");
	text = run(args, 1, true);
	snprintf(wanted, sizeof(wanted),
		"%s:8: [poller io1] cpu = 99x: expected a CPU number, auto or none\n", rig.config);
	CU_ASSERT_STRING_EQUAL(text, wanted);
	free(text);
	vucd_rig_stop(&rig);
}

#define TRY "Try `vucd --help' or `vucd --usage' for more information.\n"

static void
test_options(void)
{
	static const struct {
		const char *args[3];
		int status;
		const char *says;
	} runs[] = {
		{{"--nonsense", NULL}, 2, "vucd: unrecognized option '--nonsense'\n" TRY},
		{{"--config", NULL}, 2, "vucd: option '--config' requires an argument\n" TRY},
		{{"x", NULL}, 2, "vucd: unexpected argument 'x'\n" TRY},
		{{"--config", "/nowhere", NULL}, 1,
			"/nowhere: cannot be read: No such file or directory\n"},
	};
	const char *const help[] = {"--help", NULL};
	const char *const help_config[] = {"--help-config", NULL};
	char *text;

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		text = run(runs[i].args, runs[i].status, true);
		CU_ASSERT_STRING_EQUAL(text, runs[i].says);
		free(text);
	}
	text = run(help, 0, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "--check"));
	free(text);
	text = run(help_config, 0, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n[device NAME] "));
	free(text);
}

/* ---- devices ---- */

/* A device's section, or its params, for a server. */
static void
device_section(char *text, size_t size, const char *socket)
{
	snprintf(text, size, "[device disk0]\nsocket = %s\npoller = io0\n", socket);
}

static void
test_device(void)
{
	struct refdev_server server;
	struct vucd_rig rig;
	char section[256], line[128];

	refdev_server_start_with(&server, NULL);
	device_section(section, sizeof(section), server.socket);
	vucd_rig_start(&rig, section);
	vucd_rig_await(&rig, "disk0", "free");
	works(&rig, "stats.get", "{\"device\":\"disk0\"}");
	fails(&rig, "vmms.detach", "[\"disk0\"]", "ENOTCONN");
	works(&rig, "devices.remove", "[\"disk0\"]");
	fails(&rig, "devices.remove", "[\"disk0\"]", "ENOENT");
	fails(&rig, "vmms.detach", "[\"disk0\"]", "ENOENT");
	vucd_rig_end(&rig);
	CU_ASSERT(vucd_rig_said(&rig, "cannot detach device disk0: no VMM has device disk0\n"));
	snprintf(line, sizeof(line), "management (user %u, pid %d): remove device disk0",
		(unsigned int)getuid(), (int)getpid());
	CU_ASSERT(vucd_rig_said(&rig, line));
	CU_ASSERT(vucd_rig_said(&rig, "cannot remove device disk0: there is no device disk0\n"));
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

/* A server may come after the daemon, and go. */
static void
test_late_server(void)
{
	const char *const no_options[] = {NULL};
	struct refdev_server server;
	struct vucd_rig rig;
	char params[256];

	refdev_server_prepare(&server);
	vucd_rig_start(&rig, "");
	snprintf(params, sizeof(params),
		"{\"name\":\"late\",\"socket\":\"%s\",\"retry_max_ms\":100}", server.socket);
	works(&rig, "devices.add", params);
	fails(&rig, "devices.add", params, "EEXIST");
	snprintf(params, sizeof(params), "{\"name\":\"later\",\"socket\":\"%s\"}", server.socket);
	fails(&rig, "devices.add", params, "EADDRINUSE");
	vucd_rig_await(&rig, "late", "away");
	refdev_server_run(&server, no_options);
	vucd_rig_await(&rig, "late", "free");
	refdev_server_stop(&server);
	vucd_rig_await(&rig, "late", "away");
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
}

static int
listen_at(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", path);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 4), 0);
	return fd;
}

/* A server that accepts and never answers delays nobody. */
static void
test_hung_server(void)
{
	struct vucd_rig rig;
	char path[VUCD_RIG_PATH], params[256];
	int server, client;

	vucd_rig_start(&rig, "");
	snprintf(path, sizeof(path), "%s/hung", rig.folder);
	server = listen_at(path);
	client = vucd_rig_connect(&rig);
	snprintf(params, sizeof(params),
		"{\"name\":\"hung\",\"socket\":\"%s\",\"timeout_ms\":1000}", path);
	vucd_rig_say(client, "devices.add", params);
	for (int i = 0; i < 10; i++)
		works(&rig, "status", "[]");
	json_object_put(vucd_rig_hear(client));
	vucd_rig_await(&rig, "hung", "away");
	works(&rig, "devices.remove", "{\"name\":\"hung\",\"force\":true}");
	close(client);
	close(server);
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
}

/* ---- VMMs ---- */

static struct vuc_vmm_device *
attach(const struct vucd_rig *rig, int expected)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev;
	struct vuc_error err = {""};
	int rc;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = rig->vmm_socket;
	opts.device = "disk0";
	opts.name = "a test";
	rc = vuc_vmm_attach(&opts, &dev, &err);
	if (rc != expected)
		printf("# %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(rc, expected);
	return dev;
}

/* Wait until one of the events has come. */
static bool
told(struct vuc_vmm_device *dev, uint32_t events)
{
	struct pollfd pfd = {.fd = vuc_vmm_event_fd(dev), .events = POLLIN};
	uint32_t seen = 0;

	while ((seen & events) == 0 && poll(&pfd, 1, 20000) == 1)
		seen |= vuc_vmm_events(dev);
	return (seen & events) != 0;
}

static void
check_vmm(struct vucd_rig *rig)
{
	struct json_object *answer, *result, *vmm;

	result = vucd_rig_ask(rig, "vmms.list", "[]", &answer);
	result = json_object_object_get(result, "vmms");
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(result), 1);
	vmm = json_object_array_get_idx(result, 0);
	CU_ASSERT_STRING_EQUAL(string_in(vmm, "device"), "disk0");
	CU_ASSERT_STRING_EQUAL(string_in(vmm, "name"), "a test");
	CU_ASSERT_EQUAL(json_object_get_int(json_object_object_get(vmm, "pid")), getpid());
	json_object_put(answer);
}

static void
test_vmm(void)
{
	struct refdev_server server;
	struct vuc_vmm_device *dev;
	struct vucd_rig rig;
	char section[256];

	refdev_server_start_with(&server, NULL);
	device_section(section, sizeof(section), server.socket);
	vucd_rig_start(&rig, section);
	vucd_rig_await(&rig, "disk0", "free");
	dev = attach(&rig, 0);
	vucd_rig_await(&rig, "disk0", "attached");
	check_vmm(&rig);
	attach(&rig, -EBUSY);
	fails(&rig, "devices.remove", "[\"disk0\"]", "EBUSY");
	works(&rig, "vmms.detach", "[\"disk0\"]");
	CU_ASSERT_TRUE(told(dev, VUC_VMM_EVENT_REMOVED));
	vuc_vmm_detach(dev);
	vucd_rig_await(&rig, "disk0", "free");
	dev = attach(&rig, 0);
	works(&rig, "devices.remove", "{\"name\":\"disk0\",\"force\":true}");
	CU_ASSERT_TRUE(told(dev, VUC_VMM_EVENT_REMOVED));
	vuc_vmm_detach(dev);
	attach(&rig, -ENOENT);
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

/* A VMM comes, reads once, and leaves. */
static void
read_once(struct vucd_rig *rig)
{
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
	struct vuc_error err;
	uint32_t ids;

	vucd_rig_await(rig, "disk0", "free");
	dev = attach(rig, 0);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, NULL, &queue, &err), 0);
	CU_ASSERT_EQUAL(
		vuc_queue_read(queue, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids)), 0);
	vuc_vmm_detach(dev);
	vucd_rig_await(rig, "disk0", "free");
}

static void
expect_telemetry(int sock, const char *state, uint64_t reads)
{
	struct json_object *answer, *device;

	device = telemetry_ask(sock, "/vuc/device,disk0", &answer);
	CU_ASSERT_STRING_EQUAL(telemetry_string(device, "name"), "disk0");
	CU_ASSERT_STRING_EQUAL(telemetry_string(device, "state"), state);
	CU_ASSERT_EQUAL(telemetry_number(device, "reads"), reads);
	json_object_put(answer);
}

/* Devices have the names of the configuration, and their counters go on over connections. */
static void
test_telemetry(void)
{
	const char *const no_options[] = {NULL};
	struct json_object *answer, *names;
	struct refdev_server server;
	char section[256], folder[VUCD_RIG_PATH];
	struct vucd_rig rig;
	int sock, mute;

	refdev_server_prepare(&server);
	mute = listen_at(server.socket);
	snprintf(section, sizeof(section),
		"telemetry = on\n[device disk0]\nsocket = %s\nretry-max-ms = 100\n", server.socket);
	vucd_rig_start(&rig, section);
	snprintf(folder, sizeof(folder), "%s/dpdk/vucd", rig.folder);
	sock = telemetry_connect(folder);
	CU_ASSERT_FATAL(sock >= 0);
	names = telemetry_ask(sock, "/vuc/devices", &answer);
	CU_ASSERT_EQUAL(json_object_array_length(names), 1);
	json_object_put(answer);
	/* Also while it is being connected to. */
	expect_telemetry(sock, "away", 0);
	close(mute);
	unlink(server.socket);
	refdev_server_run(&server, no_options);
	read_once(&rig);
	expect_telemetry(sock, "connected", 1);
	vuc_spawn_kill(&server.process);
	vuc_spawn_free(&server.process);
	vucd_rig_await(&rig, "disk0", "away");
	refdev_server_run(&server, no_options);
	read_once(&rig);
	expect_telemetry(sock, "connected", 2);
	close(sock);
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

/* A daemon that ends tells its VMMs. */
static void
test_end_with_vmm(void)
{
	struct refdev_server server;
	struct vuc_vmm_device *dev;
	struct vucd_rig rig;
	char section[256];

	refdev_server_start_with(&server, NULL);
	device_section(section, sizeof(section), server.socket);
	vucd_rig_start(&rig, section);
	vucd_rig_await(&rig, "disk0", "free");
	dev = attach(&rig, 0);
	vucd_rig_end(&rig);
	CU_ASSERT_TRUE(told(dev, VUC_VMM_EVENT_GONE));
	vuc_vmm_detach(dev);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

/* Whoever can connect while it starts can have a device of the configuration: it waits for the
 * server, which takes its time here. */
static void
test_attach_while_starting(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *args[] = {"--config", NULL, NULL};
	struct refdev_server server;
	struct vucd_rig rig;
	char more[256];
	int fd;

	refdev_server_start_with(&server, "--fault=delay=300@version");
	snprintf(more, sizeof(more), "[device disk0]\nsocket = %s\n", server.socket);
	vucd_rig_prepare(&rig, more);
	args[1] = rig.config;
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&rig.process, getenv("VUCD"), args), 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", rig.vmm_socket);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	for (unsigned int i = 0; connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0; i++) {
		CU_ASSERT_FATAL(i < 20000);
		poll(NULL, 0, 1);
	}
	close(fd);
	vuc_vmm_detach(attach(&rig, 0));
	CU_ASSERT(vucd_rig_notified(&rig, "READY=1\n"));
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

#define NR_POSTS 20000u /* more than all buffers hold */

/* Post until one has to be waited for; or all of them, for which there is no room. */
static void
post_many(struct vuc_queue *q, bool all)
{
	uint64_t value = 0;
	const struct vuc_queue_request r = {
		.op = VUC_QUEUE_WRITE_POSTED, .count = sizeof(value), .data = &value};
	unsigned int n = 0;

	while (n < NR_POSTS && vuc_queue_submit(q, &r, 1) == 1)
		n++;
	for (; all && n < NR_POSTS; n++)
		CU_ASSERT_EQUAL_FATAL(vuc_queue_post(q, 0, 0, &value, sizeof(value)), 0);
}

/* A server stops reading while its VMM does nothing but post; the daemon ends all the same. */
static void
end_with_stopped_server(bool all)
{
	struct refdev_server server;
	struct vuc_vmm_device *dev;
	struct vuc_queue *q;
	struct vucd_rig rig;
	char section[256];

	refdev_server_start_with(&server, NULL);
	device_section(section, sizeof(section), server.socket);
	strcat(section, "timeout-ms = 500\nlong-timeout-ms = 500\n");
	vucd_rig_start(&rig, section);
	vucd_rig_await(&rig, "disk0", "free");
	dev = attach(&rig, 0);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, NULL, &q, NULL), 0);
	kill(server.process.pid, SIGSTOP);
	post_many(q, all);
	if (all) {
		CU_ASSERT_TRUE(told(dev, VUC_VMM_EVENT_LOST));
		CU_ASSERT_TRUE(vucd_rig_said(&rig, "the server has read nothing for 500 ms"));
	}
	vucd_rig_end(&rig);
	kill(server.process.pid, SIGCONT);
	vuc_vmm_close_queue(dev, q);
	vuc_vmm_detach(dev);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

static void
test_stopped_server(void)
{
	end_with_stopped_server(true);
	end_with_stopped_server(false);
}

/* ---- reload ---- */

/* Reload, and compare the answer. */
static void
reloads(struct vucd_rig *rig, const char *wanted)
{
	struct json_object *answer;
	struct json_object *result = vucd_rig_ask(rig, "reload", "[]", &answer);

	CU_ASSERT_STRING_EQUAL(
		json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN), wanted);
	json_object_put(answer);
}

#define RELOADED(added, removed, changed, restart, failed)                       \
	"{\"added\":[" added "],\"removed\":[" removed "],\"changed\":[" changed \
	"],\"restart\":[" restart "],\"failed\":[" failed "]}"

/* A device that has to stay: its section, and that of others. */
static void
configure(const struct vucd_rig *rig, const struct refdev_server *server, const char *more)
{
	char text[512];

	snprintf(text, sizeof(text), "%s[device disk0]\nsocket = %s\n", more, server->socket);
	vucd_rig_configure(rig, text);
}

static void
test_reload(void)
{
	struct vuc_vmm_device *dev;
	struct refdev_server server;
	struct vucd_rig rig;

	refdev_server_start_with(&server, NULL);
	vucd_rig_prepare(&rig, "");
	configure(&rig, &server, "[device a]\nsocket = /no/a\n[device b]\nsocket = /no/b\n");
	vucd_rig_run(&rig);
	works(&rig, "devices.add", "{\"name\":\"c\",\"socket\":\"/no/c\"}");
	vucd_rig_await(&rig, "disk0", "free");
	dev = attach(&rig, 0);
	reloads(&rig, RELOADED("", "", "", "", ""));
	/* b is gone, a is another one now, and d is at the socket of b; c is not the file's. */
	configure(&rig, &server,
		"log-level = debug\nmax-vmms = 7\n[poller io1]\nidle = sleep\n"
		"[device a]\nsocket = /no/a\ntimeout-ms = 77\n[device d]\nsocket = /no/b\n"
		"[device e]\nsocket = /no/e\npoller = io1\n");
	reloads(&rig,
		RELOADED("\"d\"", "\"b\"", "\"[vucd] log-level\",\"a\"",
			"{\"what\":\"[vucd] max-vmms\",\"reason\":null},"
			"{\"what\":\"[poller io1]\",\"reason\":\"it is new\"},"
			"{\"what\":\"[device e]\",\"reason\":\"its poller io1 does not run "
			"yet\"}",
			""));
	fails(&rig, "devices.remove", "[\"b\"]", "ENOENT");
	works(&rig, "devices.remove", "[\"c\"]");
	vucd_rig_await(&rig, "disk0", "attached");
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
	vuc_vmm_detach(dev);
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

/* What a VMM has is not taken away from it, and what a broken file says is not done. */
static void
test_reload_refused(void)
{
	struct vuc_vmm_device *dev;
	struct json_object *answer;
	struct refdev_server server;
	struct vucd_rig rig;
	char wanted[512];

	refdev_server_start_with(&server, NULL);
	vucd_rig_prepare(&rig, "");
	configure(&rig, &server, "");
	vucd_rig_run(&rig);
	vucd_rig_await(&rig, "disk0", "free");
	dev = attach(&rig, 0);
	vucd_rig_configure(&rig, "");
	snprintf(wanted, sizeof(wanted),
		RELOADED("", "", "", "",
			"{\"what\":\"disk0\",\"reason\":"
			"\"device disk0 is in use by VMM a test (pid %d)\"}"),
		(int)getpid());
	reloads(&rig, wanted);
	vuc_vmm_detach(dev);
	vucd_rig_await(&rig, "disk0", "free");
	vucd_rig_configure(&rig, "x\n[device d]\nsocket = y\n");
	CU_ASSERT_PTR_NULL(vucd_rig_ask(&rig, "reload", "[]", &answer));
	CU_ASSERT_STRING_EQUAL(vucd_rig_errno(answer), "EINVAL");
	snprintf(wanted, sizeof(wanted), "Failed: %s:7: expected [SECTION] or KEY = VALUE",
		rig.config);
	CU_ASSERT_STRING_EQUAL(
		string_in(json_object_object_get(answer, "error"), "message"), wanted);
	json_object_put(answer);
	works(&rig, "stats.get", "{\"device\":\"disk0\"}");
	vucd_rig_configure(&rig, "");
	reloads(&rig, RELOADED("", "\"disk0\"", "", "", ""));
	vucd_rig_end(&rig);
	CU_ASSERT(vucd_rig_said(&rig, ":9: [device d] socket = y: expected an absolute path"));
	CU_ASSERT(vucd_rig_said(&rig, "reload: nothing has been changed\n"));
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

static bool
daemon_is(struct vucd_rig *rig, const char *state)
{
	struct json_object *answer, *value;
	struct json_object *result = vucd_rig_ask(rig, "status", "[]", &answer);
	bool is = json_object_object_get_ex(result, "state", &value) &&
		strcmp(json_object_get_string(value), state) == 0;

	json_object_put(answer);
	return is;
}

/* It is ready though a server answers nothing: the first attempt at it would go on for an hour, and
 * neither the device beside it nor the end waits for that. */
static void
test_ready_beside_hung_server(void)
{
	struct refdev_server server, hung;
	struct vucd_rig rig;
	char more[512];

	refdev_server_start_with(&server, NULL);
	refdev_server_start_with(&hung, "--fault=never@version");
	snprintf(more, sizeof(more),
		"[device hung]\nsocket = %s\ntimeout-ms = 3600000\n"
		"[device disk0]\nsocket = %s\n",
		hung.socket, server.socket);
	vucd_rig_start(&rig, more);
	vucd_rig_await(&rig, "disk0", "free");
	vuc_vmm_detach(attach(&rig, 0));
	CU_ASSERT_TRUE(daemon_is(&rig, "starting"));
	vucd_rig_end(&rig);
	refdev_server_stop(&hung);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

#define MANY      300u
#define MANY_HUNG 100u /* of them */

static unsigned int
count_threads(pid_t pid)
{
	char path[64];
	unsigned int n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* However many devices there are, and servers that hang: it has a thread for each poller and VMM,
 * and four more. Those that look up the path of a socket come and go. */
static void
test_threads(void)
{
	static char more[MANY * 160];
	int listeners[MANY_HUNG];
	struct refdev_server server;
	struct vuc_vmm_device *dev;
	struct vucd_rig rig;
	size_t len;

	refdev_server_start_with(&server, NULL);
	len = (size_t)snprintf(more, sizeof(more),
		"telemetry = on\n[poller io1]\ncpu = none\nidle = sleep\n"
		"[device disk0]\nsocket = %s\n",
		server.socket);
	vucd_rig_prepare(&rig, "");
	for (unsigned int i = 0; i < MANY; i++) {
		char path[VUC_TEMPDIR_SIZE + 16];

		snprintf(path, sizeof(path), "%s/%u.sock", rig.folder, i);
		len += (size_t)snprintf(
			more + len, sizeof(more) - len, "[device d%u]\nsocket = %s\n", i, path);
		if (i < MANY_HUNG)
			listeners[i] = listen_at(path);
	}
	vucd_rig_configure(&rig, more);
	vucd_rig_run(&rig);
	dev = attach(&rig, 0);
	for (unsigned int i = 0; count_threads(rig.process.pid) > 2 + 1 + 4 + CHECKER_THREADS;
		i++) {
		CU_ASSERT_FATAL(i < 20000);
		poll(NULL, 0, 1);
	}
	vuc_vmm_detach(dev);
	vucd_rig_end(&rig);
	for (unsigned int i = 0; i < MANY_HUNG; i++)
		close(listeners[i]);
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

static void
test_reload_signal(void)
{
	struct refdev_server server;
	struct vucd_rig rig;

	refdev_server_start_with(&server, NULL);
	vucd_rig_start(&rig, "[device a]\nsocket = /no/a\n");
	configure(&rig, &server, "[device a]\nsocket = /no/a\n");
	kill(rig.process.pid, SIGHUP);
	vucd_rig_await(&rig, "disk0", "free");
	vucd_rig_end(&rig);
	CU_ASSERT(vucd_rig_said(&rig, "notice  reload: disk0 added\n"));
	vucd_rig_stop(&rig);
	refdev_server_stop(&server);
}

int
main(void)
{
	static CU_TestInfo daemon_tests[] = {
		{"start, serve, stop", test_life},
		{"file prefix", test_file_prefix},
		{"modes and group", test_modes},
		{"a second one, and a killed one", test_twice},
		{"placement", test_placement},
		{"two pollers that spin on one CPU", test_crowd},
		{"--check", test_check},
		{"options", test_options},
		CU_TEST_INFO_NULL,
	};
	static CU_TestInfo device_tests[] = {
		{"a device", test_device},
		{"a server that comes late", test_late_server},
		{"a hung server", test_hung_server},
		{"a VMM", test_vmm},
		{"a stopped server", test_stopped_server},
		{"telemetry", test_telemetry},
		{"the end with a VMM", test_end_with_vmm},
		{"a VMM that attaches while it starts", test_attach_while_starting},
		{"ready beside a hung server", test_ready_beside_hung_server},
		{"threads", test_threads},
		{"reload", test_reload},
		{"reload: what is refused", test_reload_refused},
		{"reload by SIGHUP", test_reload_signal},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"vucd", NULL, NULL, NULL, NULL, daemon_tests},
		{"vucd_devices", NULL, NULL, NULL, NULL, device_tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}

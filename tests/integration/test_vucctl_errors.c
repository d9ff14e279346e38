/* SPDX-License-Identifier: BSD-3-Clause */

/* vucctl when something is wrong: usage, sockets, servers, output. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "tap.h"
#include "vucctl_run.h"

#define MAX_ARGS 4

/* The descriptor that a shell script calls 9. */
#define SCRIPT_FD 9

/* Run vucctl, and assert that it ends with status, prints nothing and complains with text. */
static void
expect_failure(const char *const *args, int status, const char *text)
{
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, status);
	CU_ASSERT_STRING_EQUAL(run.out, "");
	CU_ASSERT(vucctl_run_complains(&run, text));
	if (run.exit != status || !vucctl_run_complains(&run, text))
		printf("# expected exit %d and '%s': exit %d and '%.*s'\n", status, text, run.exit,
			(int)strcspn(run.err, "\n"), run.err);
	vucctl_run_free(&run);
}

static void
test_usage(void)
{
	static const struct {
		const char *args[MAX_ARGS + 1];
		const char *text;
	} cases[] = {
		{{NULL}, "no command given; see 'vucctl --help'"},
		{{"prove"}, "unknown command 'prove'; see 'vucctl --help'"},
		{{"--prove"}, "unknown option '--prove'"},
		{{"-p"}, "unknown option '-p'"},
		{{"--version=1"}, "option '--version=1' takes no argument"},
		{{"probe"}, "no socket given; see 'vucctl probe --help'"},
		{{"probe", ""}, "no socket given"},
		{{"probe", "a", "b"}, "unexpected argument 'b'"},
		{{"probe", "--frob", "a"}, "unknown option '--frob'; see 'vucctl probe --help'"},
		{{"probe", "--json", "-qv", "a"}, "unknown option '-q'"},
		{{"probe", "--json=1", "a"}, "option '--json=1' takes no argument"},
		{{"probe", "--json", "--lspci", "a"}, "exclude each other"},
		{{"probe", "a", "--timeout"}, "option '--timeout' requires an argument"},
		{{"probe", "--timeout=0", "a"}, "timeout '0'"},
		{{"probe", "--timeout=-1", "a"}, "timeout '-1'"},
		{{"probe", "--timeout= 1", "a"}, "timeout ' 1'"},
		{{"probe", "--timeout=1s", "a"}, "timeout '1s'"},
		{{"probe", "--timeout=", "a"}, "timeout ''"},
		{{"probe", "--timeout=4294967296", "a"}, "timeout '4294967296'"},
		{{"probe", "--timeout=99999999999999999999", "a"},
			"timeout '99999999999999999999'"},
		{{"probe", "--transport=loopback", "a"}, "transport 'loopback'"},
		{{"probe", "a", "b\nc"}, "unexpected argument 'b?c'"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_failure(cases[i].args, 2, cases[i].text);
}

static void
expect_probe_failure(const char *socket, const char *text)
{
	const char *args[] = {"probe", "--timeout=2000", socket, NULL};

	expect_failure(args, 1, text);
}

static int
open_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
test_sockets(void)
{
	char folder[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 8], long_path[109];
	int fd;

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(folder), 0);
	snprintf(path, sizeof(path), "%s/s", folder);
	expect_probe_failure(path, strerror(ENOENT));

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	expect_probe_failure(path, path);
	unlink(path);

	fd = open_socket(path);
	expect_probe_failure(path, strerror(ECONNREFUSED)); /* nobody listens */
	CU_ASSERT_EQUAL(listen(fd, 1), 0);
	expect_probe_failure(path, "within 2000 ms"); /* nobody answers */
	close(fd);

	expect_probe_failure(folder, folder);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	expect_probe_failure(long_path, "107 bytes");
	vuc_tempdir_remove(folder);
}

/* Servers that misbehave while the device is opened or read. */
static void
test_servers(void)
{
	static const struct {
		const char *fault;
		const char *text;
	} cases[] = {
		{"close-on-accept", "closed the connection"},
		{"close@version", "closed the connection"},
		{"close@region_read", "closed the connection"},
		{"truncate=20", "closed the connection"},
		{"never", "within 2000 ms"},
		{"wrong-version", "major"},
		{"wrong-version=minor", "minor"},
		{"wrong-id", "message id"},
		{"wrong-size=8", "msg_size 8"},
		{"wrong-size=1000000", "msg_size 1000000"},
		{"wrong-type", "command"},
		{"wrong-cmd", "reply"},
		{"extra-fds=2", "file descriptors"},
		{"bad-json={", "JSON"},
		{"bad-json={\"capabilities\":{\"max_msg_fds\":-1}}", "max_msg_fds"},
		{"cap-loop", "region"},
		{"argsz=1000000", "argsz 1000000"},
		{"error=5@device_get_info", "error 5"},
	};
	struct vucctl_device device;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		vucctl_device_start(&device, cases[i].fault);
		expect_probe_failure(device.socket, cases[i].text);
		vucctl_device_stop(&device);
	}
}

/* Run with a fault that leaves the device usable; assert what is on stdout. */
static void
expect_output(const char *fault, const char *option, const char *text)
{
	struct vucctl_device device;
	const char *args[] = {"probe", "--timeout=2000", device.socket, option, NULL};
	struct vucctl_run run;

	vucctl_device_start(&device, fault);
	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.err, "");
	CU_ASSERT_PTR_NOT_NULL(strstr(run.out, text));
	vucctl_run_free(&run);
	vucctl_device_stop(&device);
}

/* A server that is wrong in what other clients do not look at works, with one warning. */
static void
test_warning(void)
{
	struct vucctl_device device;
	const char *args[] = {"probe", device.socket, NULL};
	struct vucctl_run run;
	char wanted[256];

	vucctl_device_start(&device, "argsz=8");
	vucctl_run(&run, args);
	snprintf(wanted, sizeof(wanted),
		"vucctl: %s: VFIO_USER_DEVICE_GET_INFO: argsz 8, expected at least 16\n",
		device.socket);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.err, wanted);
	vucctl_run_free(&run);
	vucctl_device_stop(&device);
}

static void
test_config_unreadable(void)
{
	struct vucctl_device device;
	const char *args[] = {"probe", "--lspci", device.socket, NULL};

	expect_output("error=13@region_read", NULL,
		"Config space, 0 of 4096 bytes\n  unreadable from 0x0 on: ");
	expect_output("error=13@region_read", NULL, "\n      2  MSI-X          8  ");
	expect_output("never@region_read", NULL, "within 2000 ms");
	expect_output("error=13@region_read", "--json", "\"pci\": null");
	vucctl_device_start(&device, "error=13@region_read");
	expect_failure(args, 1, "cannot read config space");
	vucctl_device_stop(&device);
}

/* A server that does not take a read of all of config space, but of its registers. */
static void
test_config_by_registers(void)
{
	expect_output("error=22@region_read#1", "-v", "Config space, 4096 of 4096 bytes\n  00:");
	expect_output("error=22@region_read#1", "-v", "Device serial number: ");
}

/* Text of a server reaches no terminal as it is. */
static void
test_foreign_text(void)
{
	expect_output("bad-json={\"\xc2\x9b\":1}", NULL, "{\"\\xc2\\x9b\":1}\n");
	expect_output("bad-json={\"\xc2\x9b\":1}", "--json", "{\\\"\xef\xbf\xbd\\\":1}");
}

/* Run vucctl by a shell that redirects its output. */
static void
expect_output_failure(const char *redirection, const char *option, const char *text)
{
	struct vucctl_device device;
	char script[64];
	const char *args[] = {"-c", script, getenv("VUCCTL"), "probe", device.socket, option, NULL};
	struct vucctl_run run;

	snprintf(script, sizeof(script), "exec \"$0\" \"$@\" %s", redirection);
	vucctl_device_start(&device, NULL);
	vucctl_run_program(&run, "/bin/sh", args);
	CU_ASSERT_EQUAL(run.exit, 1);
	CU_ASSERT(vucctl_run_complains(&run, text));
	vucctl_run_free(&run);
	vucctl_device_stop(&device);
}

static void
test_output_errors(void)
{
	int ends[2];

	expect_output_failure(">/dev/full", NULL, "cannot write the output");
	expect_output_failure(">/dev/full", "--json", "cannot write the output");
	expect_output_failure(">&-", NULL, "cannot write the output");
	CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL_FATAL(dup2(ends[1], SCRIPT_FD), SCRIPT_FD);
	close(ends[0]);
	close(ends[1]);
	expect_output_failure(">&9", NULL, strerror(EPIPE));
	expect_output_failure(">&9", "--verbose", "cannot write the output");
	close(SCRIPT_FD);
}

/* Started without any standard descriptors, it must not talk to the server by printf(). */
static void
test_no_standard_fds(void)
{
	struct vucctl_device device;
	const char *args[] = {"-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", getenv("VUCCTL"), "probe",
		device.socket, NULL};
	struct vucctl_run run;

	vucctl_device_start(&device, NULL);
	vucctl_run_program(&run, "/bin/sh", args);
	CU_ASSERT_EQUAL(run.exit, 1);
	vucctl_run_free(&run);
	CU_ASSERT_EQUAL(vuc_spawn_stop(&device.server), 0);
	run.err = vuc_spawn_errors(&device.server);
	CU_ASSERT_PTR_NOT_NULL_FATAL(run.err);
	CU_ASSERT_STRING_EQUAL(run.err, ""); /* the server saw no broken message */
	free(run.err);
	vucctl_device_stop(&device);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"usage", test_usage},
		{"sockets", test_sockets},
		{"servers", test_servers},
		{"a server with a fault", test_warning},
		{"config space unreadable", test_config_unreadable},
		{"config space by registers", test_config_by_registers},
		{"text from outside", test_foreign_text},
		{"output errors", test_output_errors},
		{"no standard descriptors", test_no_standard_fds},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_errors", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* `vucctl probe` on a device that is well: what it prints, in each of its forms. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include <CUnit/CUnit.h>

#include "refdev_regs.h"
#include "tap.h"
#include "vucctl_run.h"

static struct vucctl_device device;

static void
start_device(void)
{
	vucctl_device_start(&device, NULL);
}

static void
stop_device(void)
{
	vucctl_device_stop(&device);
}

static bool
has(const struct vucctl_run *run, const char *text)
{
	return strstr(run->out, text) != NULL;
}

static void
probe(struct vucctl_run *run, const char *option, const char *other)
{
	const char *args[] = {"probe", "--transport=posix", device.socket, option, other, NULL};

	vucctl_run(run, args);
	CU_ASSERT_EQUAL(run->exit, 0);
	CU_ASSERT_STRING_EQUAL(run->err, "");
}

static void
test_text(void)
{
	struct vucctl_run run;

	probe(&run, NULL, NULL);
	CU_ASSERT(has(&run, device.socket));
	CU_ASSERT(has(&run, "  transport       posix\n"));
	CU_ASSERT(has(&run, "  flags           reset pci\n"));
	CU_ASSERT(has(&run, "  version         0.2\n"));
	CU_ASSERT(has(&run, "  server's data   {\"capabilities\":{"));
	CU_ASSERT(has(&run, "      0  BAR0       4 KiB      0x1000         rw-\n"));
	CU_ASSERT(has(
		&run, "      2  BAR2       64 KiB     0x10000        rwm    1 fd, offset 0x0\n"));
	CU_ASSERT(has(&run, "         area 0x3000-0x3fff, 4 KiB\n"));
	CU_ASSERT(has(&run, "      2  MSI-X          8  eventfd maskable\n"));
	CU_ASSERT(has(&run, "  BAR2            memory, 64 bits at 0x0, prefetchable, 64 KiB\n"));
	CU_ASSERT(has(&run, "MSI-X: vectors 8, table BAR4+0x0, PBA BAR4+0x2000, disabled\n"));
	CU_ASSERT(has(&run, "PCI Express: version 2, endpoint"));
	CU_ASSERT(has(&run, "Device serial number: "));
	CU_ASSERT(has(&run, "Config space, 64 of 4096 bytes\n"));
	CU_ASSERT_FALSE(has(&run, "\n  40: "));
	vucctl_run_free(&run);
}

static void
test_verbose(void)
{
	static const char *const options[] = {"--verbose", "-v", "-x"};
	struct vucctl_run run;
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		probe(&run, options[i], NULL);
		CU_ASSERT(has(&run, "Config space, 4096 of 4096 bytes\n"));
		CU_ASSERT(has(&run, "\n  40: "));
		vucctl_run_free(&run);
	}
}

static void
test_numeric(void)
{
	char expected[64];
	struct vucctl_run run;

	snprintf(expected, sizeof(expected), "  device          %04x:%04x\n", REFDEV_VENDOR_ID,
		REFDEV_DEVICE_ID);
	probe(&run, "--numeric", NULL);
	CU_ASSERT(has(&run, expected));
	vucctl_run_free(&run);
}

/* Without being told, by io_uring where the kernel allows it, and otherwise it works as well. */
static void
test_default_transport(void)
{
	const char *args[] = {"probe", device.socket, NULL};
	struct vucctl_run run;

	vucctl_run(&run, args);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_STRING_EQUAL(run.err, "");
	CU_ASSERT(has(&run, "  transport       uring\n") || has(&run, "  transport       posix\n"));
	vucctl_run_free(&run);
}

/* A value of an object by a path like "regions/4/size"; NULL for null. */
static struct json_object *
at(struct json_object *object, const char *path)
{
	char key[64];

	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		if (json_object_is_type(object, json_type_array))
			object = json_object_array_get_idx(object, strtoul(key, NULL, 10));
		else if (!json_object_object_get_ex(object, key, &object))
			CU_FAIL_FATAL("no such key");
		path += len;
		path += *path == '/';
	}
	return object;
}

static uint64_t
number(struct json_object *root, const char *path)
{
	CU_ASSERT(json_object_is_type(at(root, path), json_type_int));
	return json_object_get_uint64(at(root, path));
}

static const char *
string(struct json_object *root, const char *path)
{
	CU_ASSERT_FATAL(json_object_is_type(at(root, path), json_type_string));
	return json_object_get_string(at(root, path));
}

static void
check_json_device(struct json_object *root)
{
	CU_ASSERT_STRING_EQUAL(string(root, "socket"), device.socket);
	CU_ASSERT_STRING_EQUAL(string(root, "transport"), "posix");
	CU_ASSERT_EQUAL(number(root, "version/minor"), 2);
	CU_ASSERT_EQUAL(number(root, "version/max_msg_fds"), 8);
	CU_ASSERT_EQUAL(number(root, "version/pgsizes"), 4096);
	CU_ASSERT_EQUAL(number(root, "device/num_regions"), 9);
	CU_ASSERT_EQUAL(number(root, "device/num_irqs"), 5);
	CU_ASSERT_EQUAL(number(root, "regions/2/size"), 65536);
	CU_ASSERT_EQUAL(number(root, "regions/2/fds"), 1);
	CU_ASSERT_EQUAL(number(root, "regions/4/areas/0/offset"), 4096);
	CU_ASSERT_EQUAL(number(root, "regions/4/areas/1/size"), 4096);
	CU_ASSERT_EQUAL(number(root, "regions/6/size"), 0);
	CU_ASSERT_STRING_EQUAL(string(root, "irqs/2/name"), "MSI-X");
	CU_ASSERT_EQUAL(number(root, "irqs/2/count"), 8);
}

static void
check_json_pci(struct json_object *root)
{
	CU_ASSERT_EQUAL(strtoul(string(root, "pci/vendor"), NULL, 16), REFDEV_VENDOR_ID);
	CU_ASSERT_EQUAL(strtoul(string(root, "pci/device"), NULL, 16), REFDEV_DEVICE_ID);
	CU_ASSERT_PTR_NOT_NULL(at(root, "pci/name"));
	CU_ASSERT_EQUAL(number(root, "pci/bars/0/size"), 4096);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/bars/1/type"), "memory64");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/0/type"), "pcie");
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/1/type"), "msix");
	CU_ASSERT_EQUAL(number(root, "pci/capabilities/1/fields/vectors"), 8);
	CU_ASSERT_EQUAL(number(root, "pci/capabilities/1/fields/pba_bar"), 4);
	CU_ASSERT_EQUAL(number(root, "pci/capabilities/1/fields/pba_offset"), 0x2000);
	CU_ASSERT_STRING_EQUAL(string(root, "pci/capabilities/3/type"), "serial_number");
	CU_ASSERT_PTR_NULL(at(root, "pci/capabilities_problem"));
	CU_ASSERT_PTR_NULL(at(root, "pci/extended_capabilities_problem"));
	CU_ASSERT_EQUAL(number(root, "config/read"), REFDEV_CONFIG_SIZE);
	CU_ASSERT_PTR_NULL(at(root, "config/error"));
	CU_ASSERT_EQUAL(strlen(string(root, "config/bytes")), 2 * REFDEV_CONFIG_SIZE);
}

static void
test_json(void)
{
	struct vucctl_run run;
	struct json_object *root;

	probe(&run, "--json", NULL);
	root = json_tokener_parse(run.out);
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	check_json_device(root);
	check_json_pci(root);
	json_object_put(root);
	vucctl_run_free(&run);
}

/* What JSON says of config space, lspci gets byte by byte. */
static void
test_lspci_bytes(void)
{
	struct vucctl_run json, lspci;
	struct json_object *root;
	const char *digits, *c;
	size_t i;

	probe(&json, "--json", NULL);
	probe(&lspci, "--lspci", "--numeric");
	root = json_tokener_parse(json.out);
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	digits = string(root, "config/bytes");
	c = strchr(lspci.out, '\n');
	for (i = 0; i < REFDEV_CONFIG_SIZE && c != NULL; i++) {
		if (i % 16 == 0)
			c = strchr(c, ':') + 1;
		CU_ASSERT_EQUAL_FATAL(strncmp(c + 1, digits + 2 * i, 2), 0);
		c += 3;
	}
	CU_ASSERT_EQUAL(i, REFDEV_CONFIG_SIZE);
	CU_ASSERT_STRING_EQUAL(c, "\n\n");
	json_object_put(root);
	vucctl_run_free(&json);
	vucctl_run_free(&lspci);
}

static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT(fputs(text, file) >= 0);
	CU_ASSERT_EQUAL(fclose(file), 0);
}

static void
test_lspci_reads_it(void)
{
	static const char script[] = "PATH=$PATH:/usr/sbin:/sbin; command -v lspci >/dev/null || "
				     "exit 77; exec lspci -vv -F \"$0\"";
	char path[VUC_TEMPDIR_SIZE + 16];
	const char *args[] = {"-c", script, path, NULL};
	struct vucctl_run dump, lspci;

	snprintf(path, sizeof(path), "%s/dump", device.folder);
	probe(&dump, "--lspci", NULL);
	write_file(path, dump.out);
	vucctl_run_program(&lspci, "/bin/sh", args);
	unlink(path);
	if (lspci.exit == 77) {
		vuc_tap_skip("lspci is not installed");
	} else {
		CU_ASSERT_EQUAL(lspci.exit, 0);
		/* Its first line is that of the dump. */
		CU_ASSERT_EQUAL(strncmp(lspci.out, dump.out, strcspn(dump.out, "\n")), 0);
		CU_ASSERT(has(&lspci, "MSI-X: Enable- Count=8 Masked-\n"));
		CU_ASSERT(has(&lspci, "PBA: BAR=4 offset=00002000\n"));
		CU_ASSERT(has(&lspci, "Express (v2) Endpoint"));
		CU_ASSERT(has(&lspci, "Device Serial Number"));
	}
	vucctl_run_free(&lspci);
	vucctl_run_free(&dump);
}

/* A server that answers the same in pieces, or late. */
static void
test_slow_servers(void)
{
	static const char *const faults[] = {"split", "delay=2"};
	struct vucctl_device slow;
	struct vucctl_run run, well;
	size_t i;

	probe(&well, NULL, NULL);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const char *args[] = {"probe", "--transport=posix", slow.socket, NULL};

		vucctl_device_start(&slow, faults[i]);
		vucctl_run(&run, args);
		CU_ASSERT_EQUAL_FATAL(run.exit, 0);
		/* But for the socket's name. */
		CU_ASSERT_STRING_EQUAL(strstr(run.out, "\n\n"), strstr(well.out, "\n\n"));
		vucctl_run_free(&run);
		vucctl_device_stop(&slow);
	}
	vucctl_run_free(&well);
}

static void
test_help_and_version(void)
{
	static const char *const version[] = {"--version", NULL};
	static const char *const help[] = {"--help", NULL};
	static const char *const probe_help[] = {"probe", "--help", NULL};
	struct vucctl_run run;

	vucctl_run(&run, version);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT_EQUAL(strncmp(run.out, "vucctl ", 7), 0);
	vucctl_run_free(&run);
	vucctl_run(&run, help);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT(has(&run, "\n  probe "));
	vucctl_run_free(&run);
	vucctl_run(&run, probe_help);
	CU_ASSERT_EQUAL(run.exit, 0);
	CU_ASSERT(has(&run, "--timeout"));
	CU_ASSERT(has(&run, "--lspci"));
	vucctl_run_free(&run);
}

/* Each command tells about itself, whatever else is on its command line. */
static void
test_help_of_commands(void)
{
	static const char *const names[][2] = {{"read"}, {"write"}, {"reset"}, {"irq"},
		{"irq", "wait"}, {"irq", "mask"}, {"irq", "unmask"}, {"irq", "trigger"},
		{"dma-selftest"}, {"migrate"}, {"migrate", "save"}, {"migrate", "load"}};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		bool grouped = names[i][1] != NULL;
		const char *args[] = {
			names[i][0], grouped ? names[i][1] : "--help", "--help", NULL};
		char usage[64];
		struct vucctl_run run;

		snprintf(usage, sizeof(usage), "Usage: vucctl %s%s%s [", names[i][0],
			grouped ? " " : "", grouped ? names[i][1] : "");
		vucctl_run(&run, args);
		CU_ASSERT_EQUAL(run.exit, 0);
		CU_ASSERT_STRING_EQUAL(run.err, "");
		CU_ASSERT_EQUAL(strncmp(run.out, usage, strlen(usage)), 0);
		vucctl_run_free(&run);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"text", test_text},
		{"verbose", test_verbose},
		{"numeric", test_numeric},
		{"default transport", test_default_transport},
		{"JSON", test_json},
		{"lspci gets all bytes", test_lspci_bytes},
		{"lspci reads it", test_lspci_reads_it},
		{"slow servers", test_slow_servers},
		{"help and version", test_help_and_version},
		{"help of commands", test_help_of_commands},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl", NULL, NULL, start_device, stop_device, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}

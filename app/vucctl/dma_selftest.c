/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "device_command.h"
#include "json_build.h"
#include "memfd.h"
#include "message.h"
#include "number.h"
#include "selftest.h"

#define COMMAND "dma-selftest"

#define DEFAULT_SIZE (UINT64_C(1) << 20)
#define MAX_SIZE     (UINT64_C(1) << 32)

struct command {
	struct vucctl_target target;
	uint64_t size; /* 0: the default */
	bool json;
	struct vucctl_selftest test;
	struct app_json report;
	struct json_object *steps;
	unsigned int nr_steps, nr_failed;
};

static void
print_help(void)
{
	printf("Usage: vucctl dma-selftest [OPTION...] SOCKET\n"
	       "\n"
	       "Maps memory for the device behind SOCKET in several ways and unmaps it. Has a\n"
	       "vuc-refdev copy some as well; other devices are expected to leave it alone.\n"
	       "\n"
	       "Options:\n" VUCCTL_TARGET_HELP
	       "  -s, --size N          bytes of memory, a multiple of 8 pages; 1 MiB by default\n"
	       "  -p, --policy POLICY   'shared': the server gets descriptors of the memory, the\n"
	       "                        default; 'message': it has to ask for each access\n"
	       "  -j, --json            print one JSON object\n"
	       "  -h, --help            print this help and exit\n");
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct command *command = arg;

	switch (opt) {
	case 's':
		if (vuc_number_parse(value, 0, 1, MAX_SIZE, &command->size) == 0)
			return 0;
		return vucctl_fail_usage(
			COMMAND, "size '%s' is not a number of bytes, at most 4294967296", value);
	case 'p':
		if (strcmp(value, "shared") != 0 && strcmp(value, "message") != 0)
			return vucctl_fail_usage(
				COMMAND, "policy '%s' is neither 'shared' nor 'message'", value);
		command->target.dma = value[0] == 's' ? VUC_DMA_SHARED : VUC_DMA_MESSAGE;
		return 0;
	default:
		command->json = true;
		return 0;
	}
}

/* The smallest size that pieces can be multiples of: the server's and ours. */
static uint64_t
page_size(struct vuc_device *dev)
{
	uint64_t pgsizes = vuc_device_version(dev)->pgsizes;
	uint64_t servers = pgsizes & (~pgsizes + 1);
	uint64_t ours = (uint64_t)sysconf(_SC_PAGESIZE);

	return servers > ours ? servers : ours;
}

static int
choose_size(struct command *command)
{
	uint64_t page = page_size(command->test.dev);
	uint64_t unit = page <= MAX_SIZE ? page * VUCCTL_SELFTEST_PIECES : 0;

	if (unit == 0 || unit > MAX_SIZE)
		return vucctl_fail("%s: the server's pages of %llu bytes are too large",
			command->target.path, (unsigned long long)page);
	if (command->size == 0)
		command->size = unit > DEFAULT_SIZE ? unit : DEFAULT_SIZE;
	if (command->size % unit != 0)
		return vucctl_fail(
			"%s: size %llu is not a multiple of %llu, %u pages of the server",
			command->target.path, (unsigned long long)command->size,
			(unsigned long long)unit, VUCCTL_SELFTEST_PIECES);
	command->test.size = command->size;
	command->test.piece = command->size / VUCCTL_SELFTEST_PIECES;
	return 0;
}

static int
make_memory(struct vucctl_selftest *test)
{
	void *memory;

	test->fd = vuc_memfd_create("vucctl", test->size, 0);
	if (test->fd < 0)
		return vucctl_fail(
			"cannot make %zu bytes of memory: %s", test->size, strerror(-test->fd));
	memory = mmap(NULL, test->size, PROT_READ | PROT_WRITE, MAP_SHARED, test->fd, 0);
	if (memory == MAP_FAILED)
		return vucctl_fail(
			"cannot make %zu bytes of memory: %s", test->size, strerror(errno));
	test->memory = memory;
	return 0;
}

static void
free_memory(struct vucctl_selftest *test)
{
	if (test->memory != NULL)
		munmap(test->memory, test->size);
	if (test->fd >= 0)
		close(test->fd);
}

static void
report_step(struct command *command, const char *name, enum vucctl_selftest_result result)
{
	static const char *const words[] = {"PASS", "FAIL", "SKIP"};
	const char *why = result == VUCCTL_SELFTEST_PASS ? "" : command->test.why.text;
	struct json_object *step;

	command->nr_steps++;
	command->nr_failed += result == VUCCTL_SELFTEST_FAIL;
	if (!command->json) {
		printf("%s  %s%s%s\n", words[result], name, why[0] != '\0' ? ": " : "", why);
		return;
	}
	step = app_json_object(&command->report, command->steps, NULL);
	app_json_text(&command->report, step, "name", name);
	app_json_text(&command->report, step, "result", words[result]);
	app_json_text_or_null(&command->report, step, "reason", why);
}

/* A connection that has ended fails the step that sees it; those behind it are not tried. */
static void
run_steps(struct command *command, const struct vucctl_selftest_step *steps)
{
	struct vucctl_selftest *test = &command->test;

	for (; steps->name != NULL && vuc_device_connected(test->dev); steps++) {
		int ret = vucctl_selftest_unmap_all(test);

		if (ret != 0)
			report_step(command, steps->name,
				vucctl_selftest_fail_call(test, "cannot unmap", ret));
		else
			report_step(command, steps->name, steps->run(test));
	}
}

/* Only a vuc-refdev can be told to perform DMA. That mappings are taken does not say that the
 * device reaches the memory. */
static void
skip_steps(struct command *command, const struct vucctl_selftest_step *steps)
{
	for (; steps->name != NULL && vuc_device_connected(command->test.dev); steps++)
		report_step(command, steps->name,
			vucctl_selftest_skip(
				&command->test, "only vuc-refdev can be told to perform DMA"));
}

static void
begin_report(struct command *command)
{
	struct app_json *json = &command->report;

	if (!command->json)
		return;
	app_json_init(json);
	app_json_text(json, json->root, "socket", command->target.path);
	app_json_text(json, json->root, "policy", command->test.shared ? "shared" : "message");
	app_json_number(json, json->root, "size", command->test.size);
	app_json_bool(json, json->root, "refdev", command->test.refdev);
	command->steps = app_json_array(json, json->root, "steps");
}

static int
end_report(struct command *command)
{
	int ret = 0;

	if (command->json) {
		app_json_number(
			&command->report, command->report.root, "failed", command->nr_failed);
		ret = app_json_print(stdout, &command->report);
		app_json_finish(&command->report);
	}
	if (!vuc_device_connected(command->test.dev))
		return vucctl_target_fail(&command->target, command->test.dev, -ECONNRESET,
			"gave up after %u steps", command->nr_steps);
	if (command->nr_failed > 0)
		return vucctl_fail("%s: %u of %u steps failed", command->target.path,
			command->nr_failed, command->nr_steps);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : EXIT_SUCCESS;
}

static int
dma_selftest_command_run(void *arg, struct vuc_device *dev)
{
	struct command *command = arg;
	struct vucctl_selftest *test = &command->test;
	int ret;

	test->dev = dev;
	test->shared = command->target.dma == VUC_DMA_SHARED;
	test->refdev = vucctl_selftest_is_refdev(dev);
	test->timeout_ms = command->target.timeout_ms != 0 ? command->target.timeout_ms
							   : VUC_DEFAULT_TIMEOUT_MS;
	ret = choose_size(command);
	if (ret == 0)
		ret = make_memory(test);
	if (ret != 0)
		return ret;
	begin_report(command);
	run_steps(command, vucctl_selftest_map_steps);
	if (test->refdev)
		run_steps(command, vucctl_selftest_refdev_steps);
	else
		skip_steps(command, vucctl_selftest_refdev_steps);
	if (vuc_device_connected(dev))
		vucctl_selftest_unmap_all(test);
	return end_report(command);
}

int
vucctl_dma_selftest_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		{"size", required_argument, NULL, 's'},
		{"policy", required_argument, NULL, 'p'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_device_command device_command = {
		.name = COMMAND,
		.short_options = ":" VUCCTL_TARGET_SHORT_OPTIONS "s:p:jh",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.run = dma_selftest_command_run,
	};
	struct command command = {.test.fd = -1};
	int ret;

	vucctl_target_init(&command.target);
	ret = vucctl_device_command_run(&device_command, &command.target, &command, argc, argv);
	/* Not before the device is closed: the server may ask for it up to then. */
	free_memory(&command.test);
	return ret;
}

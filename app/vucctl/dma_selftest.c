/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "memfd.h"
#include "selftest.h"

#define DEFAULT_SIZE (UINT64_C(1) << 20)
#define MAX_SIZE     (UINT64_C(1) << 32)

struct selftest {
	uint64_t size; /* 0: the default */
	struct vucctl_selftest test;
	struct app_json report;
	struct json_object *steps;
	unsigned int nr_steps, nr_failed;
};

static const struct argp_option options[] = {
	{"size", 's', "N", 0,
		"Size of the memory in bytes, a multiple of 8 pages; 1 MiB by default"},
	{"policy", 'p', "POLICY", 0,
		"'shared', the default: the server gets file descriptors of the memory; 'message': "
		"it sends a message for each access"},
	VUCCTL_OPTION_JSON,
	{0},
};

static void
selftest_take(struct vucctl *ctl, int key, const char *value)
{
	static const char *const policies[] = {"shared", "message", NULL};
	static const enum vuc_dma_policy dma[] = {VUC_DMA_SHARED, VUC_DMA_MESSAGE};
	struct selftest *selftest = ctl->own;
	if (key == 's')
		selftest->size = vucctl_take_number(ctl, "size", value, 1, MAX_SIZE);
	else
		ctl->dma = dma[vucctl_take_word(ctl, "policy", value, policies)];
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
choose_size(struct vucctl *ctl)
{
	struct selftest *selftest = ctl->own;
	uint64_t page = page_size(selftest->test.dev);
	uint64_t unit = page <= MAX_SIZE ? page * VUCCTL_SELFTEST_PIECES : 0;

	if (unit == 0 || unit > MAX_SIZE)
		return vucctl_fail("%s: the server's pages of %llu bytes are too large",
			ctl->args[0], (unsigned long long)page);
	if (selftest->size == 0)
		selftest->size = unit > DEFAULT_SIZE ? unit : DEFAULT_SIZE;
	if (selftest->size % unit != 0)
		return vucctl_fail(
			"%s: size %llu is not a multiple of %llu, %u pages of the server",
			ctl->args[0], (unsigned long long)selftest->size, (unsigned long long)unit,
			VUCCTL_SELFTEST_PIECES);
	selftest->test.size = selftest->size;
	selftest->test.piece = selftest->size / VUCCTL_SELFTEST_PIECES;
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
report_step(struct vucctl *ctl, const char *name, enum vucctl_selftest_result result)
{
	struct selftest *selftest = ctl->own;
	static const char *const words[] = {"PASS", "FAIL", "SKIP"};
	const char *why = result == VUCCTL_SELFTEST_PASS ? "" : selftest->test.why.text;
	struct json_object *step;

	selftest->nr_steps++;
	selftest->nr_failed += result == VUCCTL_SELFTEST_FAIL;
	if (!ctl->json) {
		printf("%s  %s%s%s\n", words[result], name, why[0] != '\0' ? ": " : "", why);
		return;
	}
	step = app_json_object(&selftest->report, selftest->steps, NULL);
	app_json_text(&selftest->report, step, "name", name);
	app_json_text(&selftest->report, step, "result", words[result]);
	app_json_text_or_null(&selftest->report, step, "reason", why);
}

/* A connection that has ended fails the step that sees it; those behind it are not tried. */
static void
run_steps(struct vucctl *ctl, const struct vucctl_selftest_step *steps)
{
	struct selftest *selftest = ctl->own;
	struct vucctl_selftest *test = &selftest->test;

	for (; steps->name != NULL && vuc_device_connected(test->dev); steps++) {
		int ret = vucctl_selftest_unmap_all(test);

		if (ret != 0)
			report_step(ctl, steps->name,
				vucctl_selftest_fail_call(test, "cannot unmap", ret));
		else
			report_step(ctl, steps->name, steps->run(test));
	}
}

/* Only a vuc-refdev can be told to perform DMA. That mappings are taken does not say that the
 * device reaches the memory. */
static void
skip_steps(struct vucctl *ctl, const struct vucctl_selftest_step *steps)
{
	struct selftest *selftest = ctl->own;
	for (; steps->name != NULL && vuc_device_connected(selftest->test.dev); steps++)
		report_step(ctl, steps->name,
			vucctl_selftest_skip(
				&selftest->test, "only vuc-refdev can be told to perform DMA"));
}

static void
begin_report(struct vucctl *ctl)
{
	struct selftest *selftest = ctl->own;
	struct app_json *json = &selftest->report;

	if (!ctl->json)
		return;
	app_json_init(json);
	app_json_text(json, json->root, "socket", ctl->args[0]);
	app_json_text(json, json->root, "policy", selftest->test.shared ? "shared" : "message");
	app_json_number(json, json->root, "size", selftest->test.size);
	app_json_bool(json, json->root, "refdev", selftest->test.refdev);
	selftest->steps = app_json_array(json, json->root, "steps");
}

static int
end_report(struct vucctl *ctl)
{
	struct selftest *selftest = ctl->own;
	int ret = 0;

	if (ctl->json) {
		app_json_number(
			&selftest->report, selftest->report.root, "failed", selftest->nr_failed);
		ret = app_json_print(stdout, &selftest->report);
		app_json_finish(&selftest->report);
	}
	if (!vuc_device_connected(selftest->test.dev))
		return vucctl_fail_device(
			ctl, -ECONNRESET, "gave up after %u steps", selftest->nr_steps);
	if (selftest->nr_failed > 0)
		return vucctl_fail("%s: %u of %u steps failed", ctl->args[0], selftest->nr_failed,
			selftest->nr_steps);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : EXIT_SUCCESS;
}

static int
selftest_run(struct vucctl *ctl)
{
	struct selftest *selftest = ctl->own;
	struct vucctl_selftest *test = &selftest->test;
	int ret;

	test->dev = ctl->dev;
	test->fd = -1;
	test->shared = ctl->dma == VUC_DMA_SHARED;
	test->refdev = vucctl_selftest_is_refdev(ctl->dev);
	test->timeout_ms = ctl->timeout_ms != 0 ? ctl->timeout_ms : VUC_DEFAULT_TIMEOUT_MS;
	ret = choose_size(ctl);
	if (ret == 0)
		ret = make_memory(test);
	if (ret != 0)
		return ret;
	begin_report(ctl);
	run_steps(ctl, vucctl_selftest_map_steps);
	if (test->refdev)
		run_steps(ctl, vucctl_selftest_refdev_steps);
	else
		skip_steps(ctl, vucctl_selftest_refdev_steps);
	if (vuc_device_connected(ctl->dev))
		vucctl_selftest_unmap_all(test);
	return end_report(ctl);
}

/* Not before the device is closed: the server may ask for the memory up to then. */
static void
selftest_end(struct vucctl *ctl)
{
	const struct selftest *selftest = ctl->own;
	if (selftest->test.memory != NULL)
		munmap(selftest->test.memory, selftest->test.size);
	if (selftest->test.fd > 0)
		close(selftest->test.fd);
}

const struct vucctl_command vucctl_dma_selftest = {
	.name = "dma-selftest",
	.summary = "test DMA with mappings of memory",
	.doc = "Maps memory for the device on SOCKET in several ways and unmaps it. A vuc-refdev also "
	       "copies some of it; any other device must not access the memory meanwhile.",
	.arguments = "SOCKET",
	.options = options,
	.size = sizeof(struct selftest),
	.take = selftest_take,
	.run = selftest_run,
	.end = selftest_end,
};

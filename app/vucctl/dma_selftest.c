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
	uint64_t size;      /* 0: the default */
	const char *policy; /* NULL: the default */
	struct vucctl_selftest test;
	struct app_json report;
	struct json_object *steps;
	unsigned int nr_steps, nr_failed;
};

static const struct vucctl_option options[] = {
	{"size", 's', "N", "Size of the memory in bytes, a multiple of 8 pages; 1 MiB by default",
		VUCCTL_NUMBER, VUCCTL_MEMBER(struct selftest, size), .min = 1, .max = MAX_SIZE},
	{"policy", 'p', "POLICY",
		"'shared', the default: the server gets file descriptors of the memory; 'message': "
		"it sends a message for each access",
		VUCCTL_TEXT, VUCCTL_MEMBER(struct selftest, policy),
		.words = (const char *const[]){"shared", "message", NULL}},
	VUCCTL_OPTION_JSON,
	{0},
};

static int
selftest_check(struct vucctl *ctl)
{
	struct selftest *selftest = ctl->own;
	struct vucctl_selftest *test = &selftest->test;

	test->shared = selftest->policy == NULL || strcmp(selftest->policy, "shared") == 0;
	ctl->dma = test->shared ? VUC_DMA_SHARED : VUC_DMA_MESSAGE;
	return 0;
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
	uint64_t page = page_size(ctl->dev);
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
	return 0;
}

static int
make_memory(struct vucctl_selftest *test)
{
	void *memory;

	test->fd = vuc_memfd_create("vucctl", test->size, 0);
	if (test->fd < 0)
		return vucctl_fail("cannot make %llu bytes of memory: %s",
			(unsigned long long)test->size, strerror(-test->fd));
	memory = mmap(NULL, test->size, PROT_READ | PROT_WRITE, MAP_SHARED, test->fd, 0);
	if (memory == MAP_FAILED)
		return vucctl_fail("cannot make %llu bytes of memory: %s",
			(unsigned long long)test->size, strerror(errno));
	test->memory = memory;
	return 0;
}

/* What the steps call. */
static void
report_step(void *arg, const char *name, enum vucctl_selftest_result result, const char *why)
{
	static const char *const words[] = {"PASS", "FAIL", "SKIP"};
	struct vucctl *ctl = arg;
	struct selftest *selftest = ctl->own;
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
	int ret = EXIT_SUCCESS;

	if (ctl->json) {
		app_json_number(
			&selftest->report, selftest->report.root, "failed", selftest->nr_failed);
		ret = vucctl_print_json(&selftest->report);
	}
	if (!vuc_device_connected(ctl->dev))
		return vucctl_fail_device(
			ctl, -ECONNRESET, "gave up after %u steps", selftest->nr_steps);
	if (selftest->nr_failed > 0)
		return vucctl_fail("%s: %u of %u steps failed", ctl->args[0], selftest->nr_failed,
			selftest->nr_steps);
	return ret;
}

static int
selftest_run(struct vucctl *ctl)
{
	struct selftest *selftest = ctl->own;
	struct vucctl_selftest *test = &selftest->test;
	int ret;

	test->dev = ctl->dev;
	test->fd = -1;
	test->timeout_ms = ctl->timeout_ms != 0 ? ctl->timeout_ms : VUC_DEFAULT_TIMEOUT_MS;
	test->report = report_step;
	test->arg = ctl;
	vucctl_selftest_look(test);
	ret = choose_size(ctl);
	if (ret == 0)
		ret = make_memory(test);
	if (ret != 0)
		return ret;
	begin_report(ctl);
	vucctl_selftest_run(test);
	return end_report(ctl);
}

/* Not before the device is closed: the server may ask for the memory up to then. */
static void
selftest_end(struct vucctl *ctl)
{
	const struct selftest *selftest = ctl->own;
	const struct vucctl_selftest *test = &selftest->test;

	if (test->memory != NULL)
		munmap(test->memory, test->size);
	if (test->fd > 0)
		close(test->fd);
}

const struct vucctl_command vucctl_dma_selftest = {
	.name = "dma-selftest",
	.summary = "test DMA with mappings of memory",
	.doc = "Maps memory for the device on SOCKET in several ways and unmaps it. A vuc-refdev also "
	       "copies some of it; any other device must not access the memory meanwhile.",
	.arguments = "SOCKET",
	.options = options,
	.size = sizeof(struct selftest),
	.check = selftest_check,
	.run = selftest_run,
	.end = selftest_end,
};

/* SPDX-License-Identifier: BSD-3-Clause */

/* Pollers leave traces of rte_trace behind, each of them its own, in the order they ended in. */

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/vfio.h>

#include <vuc/eal.h>
#include <vuc/poller.h>

#include "peer.h"
#include "refdev_regs.h"
#include "tempdir.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER true
#else
#define THREAD_SANITIZER false
#endif

#define OPEN_FILES 8

/* What is looked for in the files, and in which: a stream has the name of its thread. */
static struct trace {
	const char *file;
	const char *text;
	bool found;
} traces[] = {
	{"metadata", "vuc.submit"}, {"metadata", "vuc.complete"}, {"metadata", "vuc.send"},
	{"metadata", "vuc.receive"}, {"channel0_", "first-poller"}, {"channel0_", "second-poller"},
	{"channel0_", "loopback#2"}, /* by vuc.open */
};

static bool
contains(const char *path, size_t size, const char *text)
{
	FILE *file = fopen(path, "r");
	char *bytes = malloc(size + 1);
	bool found = file != NULL && bytes != NULL && fread(bytes, 1, size, file) == size &&
		memmem(bytes, size, text, strlen(text)) != NULL;

	free(bytes);
	if (file != NULL)
		fclose(file);
	return found;
}

static int
look_into(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *name = path + at->base;

	for (size_t i = 0; type == FTW_F && i < sizeof(traces) / sizeof(traces[0]); i++) {
		struct trace *t = &traces[i];

		if (strncmp(name, t->file, strlen(t->file)) == 0)
			t->found |= contains(path, (size_t)st->st_size, t->text);
	}
	return 0;
}

static unsigned int nr_messages;

static void
count_message(void *arg, const struct vuc_trace_message *message)
{
	CU_ASSERT_PTR_EQUAL(arg, &nr_messages);
	CU_ASSERT_TRUE(message->len >= 16);
	nr_messages++;
}

/* The device's own trace goes on beside rte_trace. */
static void
use_poller(const char *name, struct peer *peer, unsigned int device, struct vuc_poller **p,
	struct vuc_device **dev)
{
	struct vuc_poller_opts opts;
	struct vuc_device_opts device_opts;
	struct vuc_queue *q;
	uint32_t value = 0;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = name;
	opts.cpu = VUC_POLLER_CPU_NONE;
	opts.transport = peer_transport();
	opts.idle = VUC_IDLE_SLEEP;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, p, NULL), 0);
	peer_opts(peer, device, &device_opts);
	device_opts.trace = count_message;
	device_opts.trace_arg = &nr_messages;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_open_device(*p, &device_opts, dev, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_poller_open_queue(*p, *dev, NULL, &q, NULL), 0);
	nr_messages = 0;
	for (unsigned int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(
			vuc_queue_read(q, VFIO_PCI_BAR0_REGION_INDEX, REFDEV_REG_ID, &value, 4), 0);
	CU_ASSERT_EQUAL(value, REFDEV_ID_VALUE);
	vuc_poller_close_queue(*p, q);
	CU_ASSERT_EQUAL(nr_messages, 20);
}

static void
trace_into(const char *folder)
{
	char dir[VUC_TEMPDIR_SIZE + 16];
	const char *args[] = {"--trace=vuc.*", dir};
	struct peer *peer = peer_start(2, NULL);
	struct vuc_poller *p[2];
	struct vuc_device *dev[2];
	struct vuc_eal_opts opts;

	snprintf(dir, sizeof(dir), "--trace-dir=%s", folder);
	vuc_eal_opts_init(&opts, sizeof(opts));
	opts.args = args;
	opts.nr_args = 2;
	CU_ASSERT_EQUAL_FATAL(vuc_eal_init(&opts, NULL), 0);
	use_poller("first-poller", peer, 0, &p[0], &dev[0]);
	use_poller("second-poller", peer, 1, &p[1], &dev[1]);
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(vuc_poller_close_device(p[i], dev[i]), 0);
		CU_ASSERT_EQUAL(vuc_poller_destroy(p[i]), 0);
	}
	vuc_eal_fini();
	peer_stop(peer);
}

static void
test_files(void)
{
	char folder[VUC_TEMPDIR_SIZE];

	if (THREAD_SANITIZER) {
		vuc_tap_skip("ThreadSanitizer does not see the locks of DPDK's traces");
		return;
	}
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(folder), 0);
	setenv("RUNTIME_DIRECTORY", folder, 1);
	trace_into(folder);
	CU_ASSERT_EQUAL(nftw(folder, look_into, OPEN_FILES, FTW_PHYS), 0);
	for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
		if (!traces[i].found)
			printf("# no %s\n", traces[i].text);
		CU_ASSERT_TRUE(traces[i].found);
	}
	CU_ASSERT_EQUAL(vuc_tempdir_remove(folder), 0);
}

static CU_TestInfo tests[] = {
	{"files", test_files},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"poller_trace", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	peer_choose_transport("loopback");
	return vuc_tap_run(suites);
}

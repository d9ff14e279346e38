/* SPDX-License-Identifier: BSD-3-Clause */

/* Pollers leave traces of rte_trace behind, each of them its own, in the order they ended in. */

#include <glob.h>

#include <linux/vfio.h>

#include <vuc/eal.h>
#include <vuc/poller.h>

#include "peer.h"
#include "refdev_regs.h"
#include "tempdir.h"

static bool
contains(const char *path, const char *text)
{
	static char bytes[1 << 22];
	FILE *file = fopen(path, "re");
	size_t len = file != NULL ? fread(bytes, 1, sizeof(bytes), file) : 0;

	if (file != NULL)
		fclose(file);
	return memmem(bytes, len, text, strlen(text)) != NULL;
}

/* Whether one of the files that a pattern matches contains a text. A stream has the name of its
 * thread. */
static bool
is_traced(const char *folder, const char *pattern, const char *text)
{
	char path[VUC_TEMPDIR_SIZE + 32];
	bool found = false;
	glob_t files;

	snprintf(path, sizeof(path), "%s/*/%s", folder, pattern);
	if (glob(path, 0, NULL, &files) == 0) {
		for (size_t i = 0; i < files.gl_pathc; i++)
			found |= contains(files.gl_pathv[i], text);
		globfree(&files);
	}
	if (!found)
		printf("# no %s\n", text);
	return found;
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
	static const char *const submits[] = {
		"vuc.submit", "vuc.complete", "vuc.send", "vuc.receive"};
	/* The last one is by vuc.open. */
	static const char *const streams[] = {"first-poller", "second-poller", "loopback#2"};
	char folder[VUC_TEMPDIR_SIZE];

	if (VUC_TAP_TSAN) {
		vuc_tap_skip("ThreadSanitizer does not see the locks of DPDK's traces");
		return;
	}
	peer_choose_transport("loopback");
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(folder), 0);
	setenv("RUNTIME_DIRECTORY", folder, 1);
	trace_into(folder);
	for (size_t i = 0; i < NR(submits); i++)
		CU_ASSERT_TRUE(is_traced(folder, "metadata", submits[i]));
	for (size_t i = 0; i < NR(streams); i++)
		CU_ASSERT_TRUE(is_traced(folder, "channel0_*", streams[i]));
	CU_ASSERT_EQUAL(vuc_tempdir_remove(folder), 0);
}

const struct tap_suite tap_suite = {"poller_trace", NULL, NULL,
	{
		{"files", test_files},
	}};

/* That in tap_main.c counts descriptors, of which the EAL and its traces keep some. */
int
main(void)
{
	return tap_run(&tap_suite);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * libvuc against servers that others wrote: the samples of libvfio-user, from the build folder that
 * VUC_LIBVFIO_USER_BUILD names.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/device.h>

#include "spawn.h"
#include "tap.h"
#include "tempdir.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define BAR1   VFIO_PCI_BAR1_REGION_INDEX
#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

/* The samples cannot say when they are ready, so connecting is tried for as long. */
#define READY_TIMEOUT_MS 10000

static const char *build;
static const char *transport;

struct sample {
	struct vuc_spawn process;
	char dir[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 16];
};

static bool
sample_exists(const char *name, char *program, size_t size)
{
	snprintf(program, size, "%s/samples/%s", build, name);
	return access(program, X_OK) == 0;
}

/* Returns false, with the test marked as skipped, when the sample is not there. */
static bool
start(struct sample *s, const char *name)
{
	const char *args[] = {"-v", s->path, NULL};
	char program[4096];

	if (!sample_exists(name, program, sizeof(program))) {
		vuc_tap_skip("the build folder has no such sample");
		return false;
	}
	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(s->dir), 0);
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&s->process, program, args), 0);
	return true;
}

static void
stop(struct sample *s)
{
	vuc_spawn_kill(&s->process);
	vuc_spawn_free(&s->process);
	vuc_tempdir_remove(s->dir);
}

/* Returns NULL when the sample has ended instead of listening. */
static struct vuc_device *
open_device(struct sample *s)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev = NULL;
	int rc = -ENOENT;

	vuc_device_opts_init(&opts);
	opts.path = s->path;
	opts.transport = transport;
	for (unsigned int ms = 0; ms < READY_TIMEOUT_MS; ms++) {
		rc = vuc_device_open(&opts, &dev, &err);
		if ((rc != -ENOENT && rc != -ECONNREFUSED) || vuc_spawn_status(&s->process) >= 0)
			break;
		usleep(1000);
	}
	if (rc != 0)
		printf("# %s\n", err.text);
	return dev;
}

static void
test_gpio(void)
{
	struct sample s;
	struct vuc_device *dev;
	uint32_t id = 0;
	uint8_t port = 0;

	if (!start(&s, "gpio-pci-idio-16"))
		return;
	dev = open_device(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	CU_ASSERT_EQUAL(vuc_device_version(dev)->max_msg_fds, 8);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR2)->size, 0x100);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR2)->nr_fds, 0);
	CU_ASSERT_EQUAL(vuc_device_irq(dev, VFIO_PCI_INTX_IRQ_INDEX)->count, 1);
	CU_ASSERT_EQUAL(vuc_device_read(dev, CONFIG, 0, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, 0x0dc8494f);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, &port, sizeof(port)), 0);
	port = 0xff;
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR2, 4, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
	vuc_device_close(dev);
	stop(&s);
}

/* It serves one client after another. */
static void
test_gpio_again(void)
{
	struct sample s;

	if (!start(&s, "gpio-pci-idio-16"))
		return;
	for (unsigned int i = 0; i < 5; i++) {
		struct vuc_device *dev = open_device(&s);
		uint32_t id = 0;

		CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
		CU_ASSERT_EQUAL(vuc_device_read(dev, CONFIG, 0, &id, sizeof(id)), 0);
		CU_ASSERT_EQUAL(id, 0x0dc8494f);
		vuc_device_close(dev);
	}
	stop(&s);
}

/* Its BAR1 has pages to be mapped, two areas of one file, and the rest goes by message. */
static void
check_server(struct vuc_device *dev)
{
	const struct vuc_region *r = vuc_device_region(dev, BAR1);
	uint64_t now = 0;
	uint32_t value = 0xdeadbeef, got = 0;
	uint8_t *map;

	CU_ASSERT_EQUAL(r->flags & VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_MMAP);
	CU_ASSERT_FATAL(r->nr_areas > 0 && r->nr_fds > 0);
	map = mmap(NULL, r->areas[0].size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds[0],
		(off_t)(r->offset + r->areas[0].offset));
	CU_ASSERT_FATAL(map != MAP_FAILED);
	munmap(map, r->areas[0].size);

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &now, sizeof(now)), 0);
	CU_ASSERT(now > 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &got, 1), -EINVAL);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR1, 0, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, value);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
}

static void
test_server(void)
{
	struct vuc_device *dev;
	struct sample s;

	if (!start(&s, "server"))
		return;
	dev = open_device(&s);
	if (dev == NULL && vuc_spawn_wait(&s.process) == 0) {
		vuc_tap_skip("this version of the sample refuses its own BAR1 and ends");
	} else {
		CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
		check_server(dev);
		vuc_device_close(dev);
	}
	stop(&s);
}

/* Longer than the server's single receive of a body would take in two pieces. */
static void
test_server_large_writes(void)
{
	static uint8_t out[0x3000], in[0x3000];
	struct vuc_device *dev;
	struct sample s;

	if (!start(&s, "server"))
		return;
	dev = open_device(&s);
	if (dev == NULL && vuc_spawn_wait(&s.process) == 0) {
		vuc_tap_skip("this version of the sample refuses its own BAR1 and ends");
	} else {
		CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
		for (unsigned int round = 0; round < 50; round++) {
			memset(out, (int)round, sizeof(out));
			CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR1, 0, out, sizeof(out)), 0);
			CU_ASSERT_EQUAL(vuc_device_write(dev, BAR1, 0, out, sizeof(out)), 0);
			CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, in, sizeof(in)), 0);
			CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
		}
		vuc_device_close(dev);
	}
	stop(&s);
}

static CU_TestInfo tests[] = {
	{"gpio-pci-idio-16", test_gpio},
	{"gpio-pci-idio-16, five clients", test_gpio_again},
	{"server", test_server},
	{"server, large writes", test_server_large_writes},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	build = getenv("VUC_LIBVFIO_USER_BUILD");
	if (build == NULL) {
		printf("1..0 # SKIP VUC_LIBVFIO_USER_BUILD does not name a build of libvfio-user\n");
		return 0;
	}
	transport = argc == 2 ? argv[1] : "posix";
	return vuc_tap_run(suites);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Migration and dirty page logging with servers that others wrote: the samples of libvfio-user. */

#include <sys/mman.h>
#include <time.h>

#include <linux/vfio.h>

#include <vuc/dirty.h>
#include <vuc/dma.h>
#include <vuc/feature.h>
#include <vuc/migration.h>

#include "sample.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define BAR1 VFIO_PCI_BAR1_REGION_INDEX
#define BAR2 VFIO_PCI_BAR2_REGION_INDEX

#define BAR1_MAX 0x10000u
#define PAGE     4096u

#define GPIO "gpio-pci-idio-16"

/* How often each of the 16 outputs of gpio-pci-idio-16 was set: its whole state. Its callbacks
 * take no other size. */
#define GPIO_PINS  16u
#define GPIO_STATE (GPIO_PINS * (uint32_t)sizeof(int))

static int
memory_file(void)
{
	int fd = memfd_create("migration", MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static void
set_pins(struct vuc_device *dev, uint8_t low, uint8_t high)
{
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, &low, 1), 0);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 4, &high, 1), 0);
}

static unsigned int
get_pins(struct vuc_device *dev)
{
	uint8_t low = 0, high = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 1, &low, 1), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 5, &high, 1), 0);
	return low | (unsigned int)high << 8;
}

static void
check_gpio_features(struct vuc_device *dev)
{
	enum vuc_migration_state state = VUC_MIGRATION_ERROR;
	uint64_t flags = 0;
	bool dirty = false;

	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), 0);
	CU_ASSERT_EQUAL(flags, VUC_MIGRATION_CAN_STOP_COPY | VUC_MIGRATION_CAN_PRE_COPY);
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), 0);
	CU_ASSERT_EQUAL(state, VUC_MIGRATION_RUNNING);
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &dirty), 0);
	CU_ASSERT_TRUE(dirty);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, 0), -EINVAL);
}

static void
save_gpio(struct vuc_device *dev, int fd)
{
	struct vuc_migration_save_opts opts;
	struct vuc_migration_saved saved;
	int pins[GPIO_PINS] = {0};

	set_pins(dev, 0x0f, 0x80);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = GPIO_STATE;
	CU_ASSERT_EQUAL(vuc_migration_save(dev, fd, &opts, &saved), 0);
	CU_ASSERT_EQUAL(saved.stop_copy_bytes, GPIO_STATE);
	CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_SET), 0);
	CU_ASSERT_EQUAL(read(fd, pins, sizeof(pins)), sizeof(pins));
	for (unsigned int i = 0; i < GPIO_PINS; i++)
		CU_ASSERT_EQUAL(pins[i], i < 4 || i == 15);
	CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_SET), 0);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_RUNNING), 0);
}

/* The sample takes the data and then says that it took none of it, which its library refuses. */
static void
load_gpio(struct vuc_device *dev, int fd)
{
	enum vuc_migration_state state = VUC_MIGRATION_ERROR;
	struct vuc_migration_load_opts opts;
	uint64_t bytes;
	int rc;

	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.chunk_size = GPIO_STATE;
	rc = vuc_migration_load(dev, fd, &opts, &bytes);
	if (rc != 0)
		printf("# %s\n", vuc_device_reason(dev));
	CU_ASSERT(rc == -EINVAL || (rc == 0 && bytes == GPIO_STATE));
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), 0);
	CU_ASSERT_EQUAL(state, VUC_MIGRATION_STOP);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_RUNNING), 0);
}

static void
test_gpio(void)
{
	struct sample from, to;
	int fd;

	if (!sample_start(&from, GPIO))
		return;
	fd = memory_file();
	CU_ASSERT_TRUE_FATAL(sample_start(&to, GPIO));
	check_gpio_features(from.dev);
	CU_ASSERT_EQUAL(get_pins(to.dev), 0xffff);
	save_gpio(from.dev, fd);
	CU_ASSERT_EQUAL(get_pins(from.dev), 0x7ff0);
	load_gpio(to.dev, fd);
	CU_ASSERT_EQUAL(get_pins(to.dev), 0x7ff0);
	sample_stop(&to);
	sample_stop(&from);
	close(fd);
}

/* All states of the sample's library, by the ways that it knows and we allow. */
static void
check_states(struct vuc_device *dev)
{
	const enum vuc_migration_state way[] = {
		VUC_MIGRATION_STOP,
		VUC_MIGRATION_PRE_COPY,
		VUC_MIGRATION_RESUMING,
		VUC_MIGRATION_STOP_COPY,
		VUC_MIGRATION_RESUMING,
		VUC_MIGRATION_PRE_COPY,
		VUC_MIGRATION_STOP_COPY,
		VUC_MIGRATION_RUNNING,
		VUC_MIGRATION_STOP_COPY,
	};

	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
		enum vuc_migration_state state = VUC_MIGRATION_ERROR;

		CU_ASSERT_EQUAL(vuc_migration_set_state(dev, way[i]), 0);
		CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), 0);
		CU_ASSERT_EQUAL(state, way[i]);
	}
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_PRE_COPY), -EINVAL);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_RUNNING), 0);
}

/* Nobody writes the memory here; what the sample's own DMA writes, the tests of DMA see. */
static void
check_dirty(struct vuc_device *dev)
{
	struct vuc_dma_mapping mapping = {
		.iova = 0x100000,
		.size = (uint64_t)8 * PAGE,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
		.fd = memory_file(),
	};
	const struct vuc_dirty_range range = {mapping.iova, mapping.size};
	uint64_t page_size = PAGE, bitmap = 0x8000;

	CU_ASSERT_EQUAL_FATAL(ftruncate(mapping.fd, (off_t)mapping.size), 0);
	CU_ASSERT_EQUAL(vuc_dma_map(dev, &mapping), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, &bitmap, 1), -EINVAL);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, &range, 1), 0);
	CU_ASSERT_EQUAL(page_size, PAGE);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, &bitmap, 1), 0);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, 2 * PAGE, &bitmap, 1), 0);
	CU_ASSERT_EQUAL(bitmap, 0x8000);
	CU_ASSERT_EQUAL(vuc_dirty_disable(dev), 0);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, &bitmap, 1), -EINVAL);
	close(mapping.fd);
}

/* Versions of the sample differ in the size of BAR1. */
static size_t bar1_size;

static void
learn_size(const struct vuc_device *dev)
{
	const struct vuc_region *r = vuc_device_region(dev, BAR1);

	CU_ASSERT_FATAL(r != NULL && r->size > 0 && r->size <= BAR1_MAX);
	bar1_size = (size_t)r->size;
}

static void
fill(uint8_t *bytes, unsigned int seed)
{
	for (size_t i = 0; i < bar1_size; i++)
		bytes[i] = (uint8_t)(i * 13 + i / 256 + seed);
}

/* The guest goes on writing while the device is copied: what is read once it stops, counts. */
static int
write_in_pre_copy(void *arg, const struct vuc_migration_progress *progress)
{
	struct vuc_device *dev = arg;
	uint8_t bytes[BAR1_MAX];

	if (progress->state != VUC_MIGRATION_PRE_COPY || progress->round != 1)
		return 0;
	fill(bytes, 2);
	return vuc_device_write(dev, BAR1, 0, bytes, bar1_size);
}

static bool
file_has(int fd, off_t at, unsigned int seed)
{
	uint8_t expected[BAR1_MAX], got[BAR1_MAX] = {0};

	fill(expected, seed);
	return pread(fd, got, bar1_size, at) == (ssize_t)bar1_size &&
		memcmp(got, expected, bar1_size) == 0;
}

static void
save_server(struct vuc_device *dev, int fd)
{
	struct vuc_migration_save_opts opts;
	struct vuc_migration_saved saved;
	uint8_t bytes[BAR1_MAX];
	time_t alarm = time(NULL) + 1000;

	learn_size(dev);
	fill(bytes, 1);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR1, 0, bytes, bar1_size), 0);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, 0, &alarm, sizeof(alarm)), 0);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.pre_copy_rounds = 5;
	opts.progress = write_in_pre_copy;
	opts.arg = dev;
	CU_ASSERT_EQUAL(vuc_migration_save(dev, fd, &opts, &saved), 0);
	CU_ASSERT_EQUAL(saved.pre_copy_rounds, 2);
	CU_ASSERT_EQUAL(saved.pre_copy_bytes, bar1_size);
	CU_ASSERT_EQUAL(saved.stop_copy_bytes, bar1_size + sizeof(time_t));
	CU_ASSERT(file_has(fd, 0, 1));
	CU_ASSERT(file_has(fd, (off_t)bar1_size, 2));
}

/* The sample begins anew in STOP_COPY and wants nothing else; so what came before is left out. */
static void
load_server(struct vuc_device *dev, int fd, uint32_t chunk_size)
{
	struct vuc_migration_load_opts opts;
	uint8_t expected[BAR1_MAX], got[BAR1_MAX] = {0};
	uint64_t bytes = 0;
	time_t since_alarm = 0;

	CU_ASSERT_EQUAL(lseek(fd, (off_t)bar1_size, SEEK_SET), (off_t)bar1_size);
	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.chunk_size = chunk_size;
	opts.run = true;
	CU_ASSERT_EQUAL(vuc_migration_load(dev, fd, &opts, &bytes), 0);
	CU_ASSERT_EQUAL(bytes, bar1_size + sizeof(time_t));
	fill(expected, 2);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, got, bar1_size), 0);
	CU_ASSERT_EQUAL(memcmp(got, expected, bar1_size), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &since_alarm, sizeof(since_alarm)), 0);
	CU_ASSERT(since_alarm < -900 && since_alarm >= -1000);
}

static void
run_server(uint32_t chunk_size)
{
	struct sample from, to;
	int fd;

	if (!sample_start(&from, "server"))
		return;
	fd = memory_file();
	CU_ASSERT_TRUE_FATAL(sample_start(&to, "server"));
	save_server(from.dev, fd);
	load_server(to.dev, fd, chunk_size);
	sample_stop(&to);
	sample_stop(&from);
	close(fd);
}

static void
test_server(void)
{
	run_server(0);
}

static void
test_server_in_chunks(void)
{
	run_server(1000);
}

static const struct sample_test sample_tests[] = {
	{GPIO ", states", GPIO, check_states},
	{GPIO ", dirty pages", GPIO, check_dirty},
};

const struct tap_suite tap_suite = {
	.name = "libvfio_user_migration",
	.tests =
		{
			{GPIO, test_gpio},
			{"server", test_server},
			{"server, loaded in chunks", test_server_in_chunks},
		},
	.rows = TAP_ROWS(sample_tests, sample_test_run),
	.begin = sample_begin,
};

/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Migration between two reference devices, by the transport that the command line names: whatever
 * the one had, the other has afterwards, and nothing else makes it run.
 */

#include <sys/mman.h>

#include <vuc/migration.h>

#include "peer.h"

/* A device with something in it, one that is empty, and a file between them. */
static struct peer *peer;
static struct vuc_device *from, *to;
static int file;

static void
start(const char *option)
{
	peer = peer_start(2, option, NULL);
	from = peer_open(peer, 0);
	to = peer_open(peer, 1);
	file = memfd_create("migration", MFD_CLOEXEC);
	CU_ASSERT_FATAL(file >= 0);
}

static void
set_up(void)
{
	start(NULL);
}

static void
tear_down(void)
{
	close(file);
	vuc_device_close(to);
	vuc_device_close(from);
	peer_stop(peer);
}

static void
rewind_file(void)
{
	CU_ASSERT_EQUAL_FATAL(lseek(file, 0, SEEK_SET), 0);
}

/* Give a device contents that only seed makes, or see whether it has them. */
static bool
has_contents(struct vuc_device *dev, unsigned int seed, bool write)
{
	static uint8_t bytes[REFDEV_BAR2_SIZE], got[REFDEV_BAR2_SIZE];
	const uint64_t scratch = 0x1122334455667788 + seed;
	const uint32_t vendor = 0xabcd0000 + seed;
	const struct {
		uint32_t region;
		uint64_t offset;
		const void *bytes;
		size_t len;
	} parts[] = {
		{BAR2, 0, bytes, sizeof(bytes)},
		{BAR0, REFDEV_RAM_OFFSET, bytes, REFDEV_RAM_SIZE},
		{BAR0, REFDEV_REG_SCRATCH, &scratch, sizeof(scratch)},
		{CONFIG, REFDEV_VENDOR_SCRATCH, &vendor, sizeof(vendor)},
	};
	bool has = true;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 13 + i / 256 + seed);
	for (size_t i = 0; i < NR(parts); i++) {
		uint32_t region = parts[i].region;
		uint64_t offset = parts[i].offset;
		size_t len = parts[i].len;

		if (write)
			has &= vuc_device_write(dev, region, offset, parts[i].bytes, len) == 0;
		else
			has &= vuc_device_read(dev, region, offset, got, len) == 0 &&
				memcmp(got, parts[i].bytes, len) == 0;
	}
	return has;
}

static void
fill_device(struct vuc_device *dev, unsigned int seed)
{
	CU_ASSERT(has_contents(dev, seed, true));
}

static bool
device_has(struct vuc_device *dev, unsigned int seed)
{
	return has_contents(dev, seed, false);
}

static bool
is_in(struct vuc_device *dev, enum vuc_migration_state expected)
{
	enum vuc_migration_state state = VUC_MIGRATION_PRE_COPY_P2P;

	return vuc_migration_get_state(dev, &state) == 0 && state == expected;
}

/* Whole, in chunks, and in small messages. */
static void
test_round_trip(void)
{
	static const struct {
		uint32_t save_chunk, load_chunk;
		const char *option;
	} rows[] = {{0, 0, NULL}, {1000, 777, NULL}, {65536, 13, NULL},
		{0, 0, "--max-data-xfer-size=100"}};
	struct vuc_migration_save_opts save;
	struct vuc_migration_load_opts load;
	struct vuc_migration_saved saved;
	uint64_t bytes;

	vuc_migration_save_opts_init(&save, sizeof(save));
	vuc_migration_load_opts_init(&load, sizeof(load));
	load.run = true;
	for (size_t i = 0; i < NR(rows); i++) {
		save.chunk_size = rows[i].save_chunk;
		load.chunk_size = rows[i].load_chunk;
		tear_down();
		start(rows[i].option);
		fill_device(from, 1);
		CU_ASSERT_EQUAL(vuc_migration_save(from, file, &save, &saved), 0);
		CU_ASSERT(saved.stop_copy_bytes > REFDEV_BAR2_SIZE);
		CU_ASSERT_EQUAL(lseek(file, 0, SEEK_CUR), (off_t)saved.stop_copy_bytes);
		CU_ASSERT(is_in(from, VUC_MIGRATION_STOP));
		rewind_file();
		CU_ASSERT_EQUAL(vuc_migration_load(to, file, &load, &bytes), 0);
		CU_ASSERT_EQUAL(bytes, saved.stop_copy_bytes);
		CU_ASSERT(is_in(to, VUC_MIGRATION_RUNNING));
		CU_ASSERT(device_has(to, 1));
	}
	save.size = load.size = 0;
	CU_ASSERT_EQUAL(vuc_migration_save(from, file, &save, &saved), -EINVAL);
	CU_ASSERT_EQUAL(vuc_migration_load(to, file, &load, &bytes), -EINVAL);
}

/* What a guest does while its device is copied. */
struct guest {
	unsigned int writes; /* how often it still fills the device anew */
	unsigned int seed;
	uint32_t rounds;
};

static int
guest_goes_on(void *arg, const struct vuc_migration_progress *progress)
{
	struct guest *g = arg;

	if (progress->state != VUC_MIGRATION_PRE_COPY)
		return 0;
	if (progress->round <= g->rounds)
		return 0;
	g->rounds = progress->round;
	if (g->writes > 0) {
		g->writes--;
		fill_device(from, ++g->seed);
	}
	return 0;
}

static void
test_pre_copy(void)
{
	struct vuc_migration_save_opts opts;
	struct vuc_migration_saved saved;
	struct guest guest = {.writes = 2, .seed = 1};

	fill_device(from, 1);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.pre_copy_rounds = 10;
	opts.progress = guest_goes_on;
	opts.arg = &guest;
	CU_ASSERT_EQUAL(vuc_migration_save(from, file, &opts, &saved), 0);
	CU_ASSERT_EQUAL(saved.pre_copy_rounds, 4);
	CU_ASSERT(saved.pre_copy_bytes > 3 * REFDEV_BAR2_SIZE);
	CU_ASSERT(saved.stop_copy_bytes < REFDEV_BAR2_SIZE);
	CU_ASSERT_EQUAL(guest.seed, 3);
	rewind_file();
	CU_ASSERT_EQUAL(vuc_migration_load(to, file, NULL, NULL), 0);
	CU_ASSERT(is_in(to, VUC_MIGRATION_STOP));
	CU_ASSERT_EQUAL(vuc_migration_set_state(to, VUC_MIGRATION_RUNNING), 0);
	CU_ASSERT(device_has(to, 3));
}

static int
give_up(void *arg, const struct vuc_migration_progress *progress)
{
	(void)arg;
	return progress->bytes > 5000 ? -ECANCELED : 0;
}

/* A device whose migration was given up runs on as if nothing had been, and can be saved again. */
static void
test_given_up(void)
{
	struct vuc_migration_save_opts opts;

	fill_device(from, 7);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 1000;
	opts.progress = give_up;
	CU_ASSERT_EQUAL(vuc_migration_save(from, file, &opts, NULL), -ECANCELED);
	CU_ASSERT(is_in(from, VUC_MIGRATION_RUNNING));
	opts.pre_copy_rounds = 1;
	CU_ASSERT_EQUAL(vuc_migration_save(from, file, &opts, NULL), -ECANCELED);
	CU_ASSERT(is_in(from, VUC_MIGRATION_RUNNING));
	CU_ASSERT(device_has(from, 7));

	CU_ASSERT_EQUAL(ftruncate(file, 0), 0);
	rewind_file();
	CU_ASSERT_EQUAL(vuc_migration_save(from, file, NULL, NULL), 0);
	rewind_file();
	CU_ASSERT_EQUAL(vuc_migration_load(to, file, NULL, NULL), 0);
	CU_ASSERT_EQUAL(vuc_migration_set_state(to, VUC_MIGRATION_RUNNING), 0);
	CU_ASSERT(device_has(to, 7));
}

const struct tap_suite tap_suite = {"migration", set_up, tear_down,
	{
		{"round trip", test_round_trip},
		{"pre-copy", test_pre_copy},
		{"given up", test_given_up},
	},
	.begin = peer_begin};

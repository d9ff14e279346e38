/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Migration between two reference devices, by the transport that the command line names: whatever
 * the one had, the other has afterwards, and nothing else makes it run.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/migration.h>

#include "fd_count.h"
#include "peer.h"
#include "refdev_regs.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

static unsigned int fds_before;

/* A device with something in it, one that is empty, and a file between them. */
struct setup {
	struct peer *peer;
	struct vuc_device *from;
	struct vuc_device *to;
	int fd;
};

static void
set_up_devices(struct setup *s, const char *option)
{
	s->peer = peer_start(2, option, NULL);
	s->from = peer_open(s->peer, 0);
	s->to = peer_open(s->peer, 1);
	s->fd = memfd_create("migration", MFD_CLOEXEC);
	CU_ASSERT_FATAL(s->fd >= 0);
}

static void
tear_down_devices(struct setup *s)
{
	close(s->fd);
	vuc_device_close(s->to);
	vuc_device_close(s->from);
	peer_stop(s->peer);
}

static void
rewind_file(const struct setup *s)
{
	CU_ASSERT_EQUAL_FATAL(lseek(s->fd, 0, SEEK_SET), 0);
}

static void
pattern(uint8_t *bytes, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 13 + i / 256 + seed);
}

/* Give a device contents that only seed makes. */
static void
fill_device(struct vuc_device *dev, unsigned int seed)
{
	static uint8_t bytes[REFDEV_BAR2_SIZE];
	uint64_t scratch = 0x1122334455667788 + seed;
	uint32_t vendor = 0xabcd0000 + seed;

	pattern(bytes, sizeof(bytes), seed);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, bytes, sizeof(bytes)), 0);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, REFDEV_RAM_OFFSET, bytes, REFDEV_RAM_SIZE), 0);
	CU_ASSERT_EQUAL(
		vuc_device_write(dev, BAR0, REFDEV_REG_SCRATCH, &scratch, sizeof(scratch)), 0);
	CU_ASSERT_EQUAL(
		vuc_device_write(dev, CONFIG, REFDEV_VENDOR_SCRATCH, &vendor, sizeof(vendor)), 0);
}

static bool
region_has(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *expected, size_t len)
{
	static uint8_t got[REFDEV_BAR2_SIZE];

	return vuc_device_read(dev, region, offset, got, len) == 0 &&
		memcmp(got, expected, len) == 0;
}

static bool
device_has(struct vuc_device *dev, unsigned int seed)
{
	static uint8_t bytes[REFDEV_BAR2_SIZE];
	uint64_t scratch = 0x1122334455667788 + seed;
	uint32_t vendor = 0xabcd0000 + seed;

	pattern(bytes, sizeof(bytes), seed);
	return region_has(dev, BAR2, 0, bytes, sizeof(bytes)) &&
		region_has(dev, BAR0, REFDEV_RAM_OFFSET, bytes, REFDEV_RAM_SIZE) &&
		region_has(dev, BAR0, REFDEV_REG_SCRATCH, &scratch, sizeof(scratch)) &&
		region_has(dev, CONFIG, REFDEV_VENDOR_SCRATCH, &vendor, sizeof(vendor));
}

static bool
is_in(struct vuc_device *dev, enum vuc_migration_state expected)
{
	enum vuc_migration_state state = VUC_MIGRATION_PRE_COPY_P2P;

	return vuc_migration_get_state(dev, &state) == 0 && state == expected;
}

static void
migrate(uint32_t save_chunk, uint32_t load_chunk, const char *option)
{
	struct vuc_migration_save_opts save;
	struct vuc_migration_load_opts load;
	struct vuc_migration_saved saved;
	struct setup s;
	uint64_t bytes;

	set_up_devices(&s, option);
	fill_device(s.from, 1);
	vuc_migration_save_opts_init(&save, sizeof(save));
	save.size = 0;
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, &save, &saved), -EINVAL);
	save.size = sizeof(save);
	save.chunk_size = save_chunk;
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, &save, &saved), 0);
	CU_ASSERT(saved.stop_copy_bytes > REFDEV_BAR2_SIZE);
	CU_ASSERT_EQUAL(lseek(s.fd, 0, SEEK_CUR), (off_t)saved.stop_copy_bytes);
	CU_ASSERT(is_in(s.from, VUC_MIGRATION_STOP));

	rewind_file(&s);
	vuc_migration_load_opts_init(&load, sizeof(load));
	load.size = 0;
	CU_ASSERT_EQUAL(vuc_migration_load(s.to, s.fd, &load, &bytes), -EINVAL);
	load.size = sizeof(load);
	load.chunk_size = load_chunk;
	load.run = true;
	CU_ASSERT_EQUAL(vuc_migration_load(s.to, s.fd, &load, &bytes), 0);
	CU_ASSERT_EQUAL(bytes, saved.stop_copy_bytes);
	CU_ASSERT(is_in(s.to, VUC_MIGRATION_RUNNING));
	CU_ASSERT(device_has(s.to, 1));
	tear_down_devices(&s);
}

static void
test_round_trip(void)
{
	migrate(0, 0, NULL);
}

static void
test_chunks(void)
{
	migrate(1000, 777, NULL);
	migrate(65536, 1, NULL);
}

static void
test_small_messages(void)
{
	migrate(0, 0, "--max-data-xfer-size=100");
}

/* What a guest does while its device is copied. */
struct guest {
	struct setup *s;
	unsigned int writes; /* how often it still fills the device anew */
	unsigned int seed;
	bool kill;
	uint32_t rounds;
};

static int
guest_goes_on(void *arg, const struct vuc_migration_progress *progress)
{
	struct guest *g = arg;

	if (progress->state != VUC_MIGRATION_PRE_COPY)
		return 0;
	if (g->kill)
		peer_kill(g->s->peer);
	if (progress->round <= g->rounds)
		return 0;
	g->rounds = progress->round;
	if (g->writes > 0) {
		g->writes--;
		fill_device(g->s->from, ++g->seed);
	}
	return 0;
}

static void
test_pre_copy(void)
{
	struct vuc_migration_save_opts opts;
	struct vuc_migration_saved saved;
	struct guest guest = {.writes = 2, .seed = 1};
	struct setup s;

	set_up_devices(&s, NULL);
	guest.s = &s;
	fill_device(s.from, 1);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.pre_copy_rounds = 10;
	opts.progress = guest_goes_on;
	opts.arg = &guest;
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, &opts, &saved), 0);
	CU_ASSERT_EQUAL(saved.pre_copy_rounds, 4);
	CU_ASSERT(saved.pre_copy_bytes > 3 * REFDEV_BAR2_SIZE);
	CU_ASSERT(saved.stop_copy_bytes < REFDEV_BAR2_SIZE);
	CU_ASSERT_EQUAL(guest.seed, 3);
	rewind_file(&s);
	CU_ASSERT_EQUAL(vuc_migration_load(s.to, s.fd, NULL, NULL), 0);
	CU_ASSERT(is_in(s.to, VUC_MIGRATION_STOP));
	CU_ASSERT_EQUAL(vuc_migration_set_state(s.to, VUC_MIGRATION_RUNNING), 0);
	CU_ASSERT(device_has(s.to, 3));
	tear_down_devices(&s);
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
	struct setup s;

	set_up_devices(&s, NULL);
	fill_device(s.from, 7);
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.chunk_size = 1000;
	opts.progress = give_up;
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, &opts, NULL), -ECANCELED);
	CU_ASSERT(is_in(s.from, VUC_MIGRATION_RUNNING));
	opts.pre_copy_rounds = 1;
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, &opts, NULL), -ECANCELED);
	CU_ASSERT(is_in(s.from, VUC_MIGRATION_RUNNING));
	CU_ASSERT(device_has(s.from, 7));

	CU_ASSERT_EQUAL(ftruncate(s.fd, 0), 0);
	rewind_file(&s);
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, NULL, NULL), 0);
	rewind_file(&s);
	CU_ASSERT_EQUAL(vuc_migration_load(s.to, s.fd, NULL, NULL), 0);
	CU_ASSERT_EQUAL(vuc_migration_set_state(s.to, VUC_MIGRATION_RUNNING), 0);
	CU_ASSERT(device_has(s.to, 7));
	tear_down_devices(&s);
}

/* Data that the device refuses does not make it run; a reset does. */
static void
check_refused(struct setup *s)
{
	struct vuc_migration_load_opts opts;

	rewind_file(s);
	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.run = true;
	CU_ASSERT_EQUAL(vuc_migration_load(s->to, s->fd, &opts, NULL), -EINVAL);
	CU_ASSERT_STRING_NOT_EQUAL(vuc_device_reason(s->to), "");
	CU_ASSERT(is_in(s->to, VUC_MIGRATION_ERROR) || is_in(s->to, VUC_MIGRATION_STOP));
	CU_ASSERT_EQUAL(vuc_device_reset(s->to), 0);
	CU_ASSERT(is_in(s->to, VUC_MIGRATION_RUNNING));
}

static void
flip_byte(const struct setup *s, off_t at)
{
	uint8_t byte = 0;

	CU_ASSERT_EQUAL(pread(s->fd, &byte, 1, at), 1);
	byte ^= 0x10;
	CU_ASSERT_EQUAL(pwrite(s->fd, &byte, 1, at), 1);
}

static void
test_bad_data(void)
{
	struct vuc_migration_saved saved;
	struct setup s;
	off_t size;

	set_up_devices(&s, NULL);
	fill_device(s.from, 1);
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, NULL, &saved), 0);
	size = (off_t)saved.stop_copy_bytes;
	for (off_t at = 0; at < size; at += size / 7) {
		flip_byte(&s, at);
		check_refused(&s);
		flip_byte(&s, at);
	}
	CU_ASSERT_EQUAL(ftruncate(s.fd, size - 1), 0);
	check_refused(&s);
	CU_ASSERT_EQUAL(ftruncate(s.fd, 0), 0);
	check_refused(&s);
	tear_down_devices(&s);
}

/* What a stream is embedded in stays where it is. */
static void
test_part_of_a_file(void)
{
	struct vuc_migration_load_opts opts;
	struct vuc_migration_saved saved;
	struct setup s;
	char tail[4] = {0};

	set_up_devices(&s, NULL);
	fill_device(s.from, 5);
	CU_ASSERT_EQUAL(write(s.fd, "head", 4), 4);
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, NULL, &saved), 0);
	CU_ASSERT_EQUAL(write(s.fd, "tail", 4), 4);
	CU_ASSERT_EQUAL(lseek(s.fd, 4, SEEK_SET), 4);
	vuc_migration_load_opts_init(&opts, sizeof(opts));
	opts.bytes = saved.stop_copy_bytes;
	opts.run = true;
	CU_ASSERT_EQUAL(vuc_migration_load(s.to, s.fd, &opts, NULL), 0);
	CU_ASSERT_EQUAL(read(s.fd, tail, 4), 4);
	CU_ASSERT_EQUAL(memcmp(tail, "tail", 4), 0);
	CU_ASSERT(device_has(s.to, 5));
	tear_down_devices(&s);
}

static void
test_server_dies(void)
{
	struct vuc_migration_save_opts opts;
	struct guest guest = {.kill = true};
	struct setup s;

	set_up_devices(&s, NULL);
	guest.s = &s;
	vuc_migration_save_opts_init(&opts, sizeof(opts));
	opts.pre_copy_rounds = 3;
	opts.chunk_size = 1000;
	opts.progress = guest_goes_on;
	opts.arg = &guest;
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, &opts, NULL), -ECONNRESET);
	CU_ASSERT_FALSE(vuc_device_connected(s.from));
	CU_ASSERT_EQUAL(vuc_migration_save(s.from, s.fd, &opts, NULL), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_migration_load(s.from, s.fd, NULL, NULL), -ECONNRESET);
	tear_down_devices(&s);
}

/* Each state that can be reached from each, by the device's own idea of it. */
static void
test_states(void)
{
	const enum vuc_migration_state states[] = {
		VUC_MIGRATION_STOP,
		VUC_MIGRATION_RUNNING,
		VUC_MIGRATION_STOP_COPY,
		VUC_MIGRATION_PRE_COPY,
	};
	const size_t n = sizeof(states) / sizeof(states[0]);
	struct setup s;

	set_up_devices(&s, NULL);
	for (size_t i = 0; i < n * n; i++) {
		enum vuc_migration_state from = states[i / n], to = states[i % n];
		bool legal = from != VUC_MIGRATION_STOP_COPY || to != VUC_MIGRATION_PRE_COPY;

		CU_ASSERT_EQUAL(vuc_migration_set_state(s.from, VUC_MIGRATION_RUNNING), 0);
		CU_ASSERT_EQUAL(vuc_migration_set_state(s.from, from), 0);
		CU_ASSERT_EQUAL(vuc_migration_set_state(s.from, to), legal ? 0 : -EINVAL);
		CU_ASSERT(is_in(s.from, legal ? to : from));
	}
	tear_down_devices(&s);
}

/* A completion callback that tries what only its caller may. */
static void
try_from_callback(struct vuc_request *req, int status)
{
	enum vuc_migration_state state;
	struct vuc_device *dev = req->arg;

	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_migration_save(dev, -1, NULL, NULL), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_migration_load(dev, -1, NULL, NULL), -EDEADLK);
	req->arg = NULL;
}

static void
test_from_callback(void)
{
	struct setup s;
	uint32_t id;
	struct vuc_request req = {
		.op = VUC_OP_READ,
		.region = BAR0,
		.offset = REFDEV_REG_ID,
		.data = &id,
		.count = sizeof(id),
		.done = try_from_callback,
	};

	set_up_devices(&s, NULL);
	req.arg = s.from;
	CU_ASSERT_EQUAL(vuc_device_submit(s.from, &req), 0);
	while (req.arg != NULL)
		vuc_poll_group_poll(vuc_device_poll_group(s.from));
	CU_ASSERT(is_in(s.from, VUC_MIGRATION_RUNNING));
	tear_down_devices(&s);
}

static void
set_up(void)
{
	fds_before = fd_count();
}

static void
tear_down(void)
{
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static CU_TestInfo tests[] = {
	{"round trip", test_round_trip},
	{"chunks", test_chunks},
	{"small messages", test_small_messages},
	{"pre-copy", test_pre_copy},
	{"given up", test_given_up},
	{"bad data", test_bad_data},
	{"part of a file", test_part_of_a_file},
	{"server dies", test_server_dies},
	{"states", test_states},
	{"from a callback", test_from_callback},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return peer_main(argc, argv, suites);
}

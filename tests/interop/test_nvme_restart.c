/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * An NVMe driver over libvuc-vmm that goes on while the server is killed and started again:
 * test_nvme_restart SOCKET DEVICE RECOVER, the latter as vucd has it for the device. It writes and
 * verifies blocks of namespace 1 until the end of its standard input, each byte of which makes it
 * fill its admin queue, and print a line "filled". It prints a line "back N" when it has verified
 * all blocks after the Nth return.
 */

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "nvme_driver.h"
#include "tap.h"

#define NR_BLOCKS  64u
#define BLOCK_SIZE 512u

#define PERSISTENT_ERROR 0x010300u /* an error, 3, of the error log */
#define INTERNAL_ERROR   0x06u

enum {
	DATA = 4,
};

static const char *socket_path;
static const char *device;
static bool recovers; /* vucd says that the controller has failed */

static struct nvme nvme;
static uint32_t generations[NR_BLOCKS]; /* acknowledged; 0: never written */
static uint64_t written, verified, repeated, returns, failures;

static void
fill_pattern(uint8_t *data, uint32_t block, uint32_t generation)
{
	const uint32_t words[] = {block, generation};

	for (size_t at = 0; at < BLOCK_SIZE; at += sizeof(words))
		memcpy(data + at, words, sizeof(words));
}

static bool
transfer_block(uint8_t opcode, uint32_t block)
{
	return nvme_execute(&nvme, &nvme.io,
		(struct nvme_command){
			.opcode = opcode, .nsid = 1, .prp = {nvme_iova(DATA)}, .cdw10 = block});
}

static bool
write_block(uint32_t block, uint32_t generation)
{
	fill_pattern(nvme_page(&nvme, DATA), block, generation);
	if (!transfer_block(NVME_WRITE, block))
		return false;
	generations[block] = generation;
	written++;
	return true;
}

static bool
verify_block(uint32_t block)
{
	uint8_t expected[BLOCK_SIZE];

	fill_pattern(expected, block, generations[block]);
	memset(nvme_page(&nvme, DATA), 0, BLOCK_SIZE);
	if (!transfer_block(NVME_READ, block))
		return false;
	CU_ASSERT_EQUAL_FATAL(memcmp(nvme_page(&nvme, DATA), expected, BLOCK_SIZE), 0);
	verified++;
	return true;
}

/* Of the block that was being written, either generation may be there, so it is written first. */
static bool
verify_all(uint32_t except)
{
	for (uint32_t block = 0; block < NR_BLOCKS; block++)
		if (block != except && generations[block] != 0 && !verify_block(block))
			return false;
	return true;
}

/* Until all earlier commands in the admin queue are overwritten. */
static bool
fill_admin_queue(void)
{
	for (unsigned int i = 0; i < NVME_ENTRIES; i++) {
		if (!nvme_execute(&nvme, &nvme.admin,
			    (struct nvme_command){
				    .opcode = NVME_IDENTIFY, .prp = {nvme_iova(DATA)}, .cdw10 = 1}))
			return false;
	}
	return true;
}

static bool
is_asked_to_end(void)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};
	char c;

	if (poll(&input, 1, 0) != 1)
		return false;
	if (read(0, &c, 1) != 1)
		return true;
	CU_ASSERT_TRUE(fill_admin_queue());
	printf("filled\n");
	fflush(stdout);
	return false;
}

static bool
start(void)
{
	if (!nvme_enable(&nvme) || !nvme_create_io_queue(&nvme))
		return false;
	nvme_request_event(&nvme);
	return true;
}

/* As a driver does that was about to reset the controller by itself. */
static bool
delete_io_queue(void)
{
	return nvme_fail(&nvme, (struct nvme_command){.opcode = NVME_DELETE_IO_SQ, .cdw10 = 1},
		       INTERNAL_ERROR) &&
		nvme_fail(&nvme, (struct nvme_command){.opcode = NVME_DELETE_IO_CQ, .cdw10 = 1},
			INTERNAL_ERROR);
}

/* What a driver that does not know of outages sees of a return. */
static void
look_at_failure(void)
{
	uint32_t event = 0;

	/* The second loss in a row finds a controller that was not enabled. */
	if (!recovers) {
		CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CSTS), 0);
		return;
	}
	CU_ASSERT_TRUE(nvme_await_event(&nvme, &event));
	CU_ASSERT_EQUAL(event, PERSISTENT_ERROR);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CSTS), NVME_CSTS_CFS);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CSTS), NVME_CSTS_CFS);
	CU_ASSERT_TRUE(delete_io_queue());
	failures++;
}

/* Until the controller is up and has what was acknowledged. */
static void
recover(uint32_t block, uint32_t generation)
{
	uint64_t lost_ms = nvme.lost_ms;
	bool up;

	/* Without a return of the server, nothing may have failed. */
	CU_ASSERT_FATAL((nvme.events & VUC_VMM_EVENT_BACK) != 0);
	do {
		CU_ASSERT((nvme.events & VUC_VMM_EVENT_BACK) == 0 ||
			(nvme.events & VUC_VMM_EVENT_RESET) != 0);
		nvme.events = 0;
		returns++;
		look_at_failure();
		up = nvme_disable(&nvme) && start() && write_block(block, generation) &&
			verify_all(block);
		CU_ASSERT_FATAL(up || (nvme.events & VUC_VMM_EVENT_BACK) != 0);
	} while (!up);
	repeated++;
	printf("# verified %llu ms after the loss\nback %llu\n",
		(unsigned long long)(vuc_clock_ms() - lost_ms), (unsigned long long)returns);
	fflush(stdout);
}

static void
test_outages(void)
{
	uint32_t block = 0, generation = 1;

	nvme_attach(&nvme, socket_path, device);
	nvme_set_up(&nvme);
	CU_ASSERT_FATAL(start());
	printf("# doorbells are %s\nback 0\n", nvme.doorbells != NULL ? "mapped" : "trapped");
	fflush(stdout);
	while (!is_asked_to_end()) {
		if (!write_block(block, generation) || !verify_block(block))
			recover(block, generation);
		block = (block + 1) % NR_BLOCKS;
		generation += block == 0;
	}
	CU_ASSERT(verify_all(NR_BLOCKS));
	CU_ASSERT_EQUAL(nvme.remaps, 0);
	printf("# %llu returns, %llu failures seen, %llu blocks written, %llu verified, "
	       "%llu repeated, %u remaps\n",
		(unsigned long long)returns, (unsigned long long)failures,
		(unsigned long long)written, (unsigned long long)verified,
		(unsigned long long)repeated, nvme.remaps);
}

static void
tear_down(void)
{
	nvme_close(&nvme);
}

const struct tap_suite tap_suite = {
	.name = "nvme", .tear_down = tear_down, .tests = {{"outages", test_outages}}};

int
main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	socket_path = argv[1];
	device = argv[2];
	recovers = strcmp(argv[3], "nvme") == 0;
	return tap_run(&tap_suite);
}

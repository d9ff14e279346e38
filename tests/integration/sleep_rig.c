/* SPDX-License-Identifier: BSD-3-Clause */
#include <fnmatch.h>
#include <sys/eventfd.h>

#include <vuc/dma.h>

#include "peer.h"
#include "sleep_rig.h"

#define WATCHDOG 100 /* seconds until a sleep that nothing ends fails the program */

struct vuc_poll_group *group;
struct vuc_device_opts opts;
struct wait_server server;
struct vuc_device *dev;
int wake_fd;
uint8_t memory[WAIT_SIZE];

void
open_group(void)
{
	group = peer_create_group();
	dev = wait_server_open(&server, group, &opts);
}

void
close_group(void)
{
	if (group == NULL)
		return;
	wait_server_close(&server, dev);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	dev = NULL;
	group = NULL;
}

void
open_row(const char *name)
{
	vuc_tap_row("%s", name);
	close_group();
	open_group();
}

void
wait_and_poll(int fd)
{
	CU_ASSERT_FATAL(vuc_poll_group_wait(group, fd, FOREVER) >= 0);
	vuc_poll_group_poll(group);
}

void
settle(int fd)
{
	while (vuc_poll_group_wait(group, fd, 0) > 0)
		vuc_poll_group_poll(group);
}

void
expect_idle(int fd, uint32_t ms)
{
	settle(fd);
	CU_ASSERT_EQUAL(vuc_poll_group_wait(group, fd, ms), 0);
}

void
expect_lost(const char *reason)
{
	while (vuc_device_connected(dev))
		wait_and_poll(wake_fd);
	CU_ASSERT_EQUAL(fnmatch(reason, vuc_device_reason(dev), 0), 0);
}

void
map_memory(void)
{
	const struct vuc_dma_mapping map = {WAIT_SIZE, WAIT_SIZE, VUC_DMA_READ, -1, 0, memory};

	CU_ASSERT_EQUAL(vuc_dma_map(dev, &map), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
}

static void
on_done(struct vuc_request *req, int status)
{
	struct job *job = req->arg;

	job->done++;
	job->status = status;
	if (job->waits)
		job->wait_status = vuc_poll_group_wait(group, wake_fd, 0);
}

static void
submit_bytes(struct job *job, enum vuc_op op, uint64_t offset, void *bytes, size_t count)
{
	*job = (struct job){.req = {.op = op,
				    .region = WAIT_REGION,
				    .offset = offset,
				    .data = bytes,
				    .count = count,
				    .done = on_done,
				    .arg = job}};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(dev, &job->req), 0);
}

void
submit(struct job *job, enum vuc_op op, uint64_t offset)
{
	submit_bytes(job, op, offset, &job->value, sizeof(job->value));
}

void
submit_much(struct job *job)
{
	submit_bytes(job, VUC_OP_WRITE_POSTED, WAIT_DATA, memory, MIB);
}

void
finish(struct job *job)
{
	while (!job->done)
		wait_and_poll(wake_fd);
}

void
expect_finished(struct job *job, int status)
{
	finish(job);
	CU_ASSERT_EQUAL(job->status, status);
}

void
tell_server(uint64_t offset)
{
	const uint64_t value = 0;

	CU_ASSERT_EQUAL(
		vuc_device_write_posted(dev, WAIT_REGION, offset, &value, sizeof(value)), 0);
}

void
set_up(void)
{
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server.send_buffer = 0;
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.dma = VUC_DMA_MESSAGE;
	srand(1);
}

void
tear_down(void)
{
	close_group();
	close(wake_fd);
}

const char *
sleep_begin(const char *transport)
{
	alarm(WATCHDOG);
	return peer_begin(transport);
}

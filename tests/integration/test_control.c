/* SPDX-License-Identifier: BSD-3-Clause */

/* What a VMM that keeps the rules gets from the control plane: each message, and what it does. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "control_rig.h"
#include "refdev_regs.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define BAR2 VFIO_PCI_BAR2_REGION_INDEX
#define BAR4 VFIO_PCI_BAR4_REGION_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define MIB  (1024u * 1024u)

static struct control_rig rig;
static struct shm_client client;

static void
begin(void)
{
	rig_start(&rig, NULL);
	rig_attach(&rig, &client, RIG_NAME);
}

static void
end(void)
{
	shm_close(&client);
	CU_ASSERT_TRUE(rig_is_left(&rig));
	rig_stop(&rig);
}

static void
test_hello(void)
{
	struct shm_client c;

	rig_start(&rig, NULL);
	CU_ASSERT_EQUAL_FATAL(shm_connect(&c, rig.path), 0);
	CU_ASSERT_EQUAL(shm_hello(&c), 0);
	CU_ASSERT_EQUAL(c.len, sizeof(c.reply.hello_reply));
	CU_ASSERT_EQUAL(c.reply.hello_reply.version, VUC_SHM_VERSION);
	CU_ASSERT_EQUAL(c.reply.hello_reply.max_queues, VUC_SHM_MAX_QUEUES);
	CU_ASSERT_EQUAL(c.reply.hello_reply.max_depth, VUC_SHM_MAX_DEPTH);
	CU_ASSERT_EQUAL(c.reply.hello_reply.max_data, VUC_SHM_MAX_DATA);
	CU_ASSERT_EQUAL(c.reply.hello_reply.max_dma_maps, 4096);
	CU_ASSERT_EQUAL(c.reply.hello_reply.pad, 0);
	CU_ASSERT_EQUAL(vuc_control_connections(rig.control), 1);
	shm_close(&c);
	CU_ASSERT_TRUE(rig_is_left(&rig));
	rig_stop(&rig);
}

/* A VMM that is too new is told so, and may try with less. */
static void
test_versions(void)
{
	struct vuc_shm_hello hello = {
		.magic = VUC_SHM_MAGIC, .version_min = 2, .version_max = 9, .name = "new"};
	struct shm_client c;

	rig_start(&rig, NULL);
	CU_ASSERT_EQUAL_FATAL(shm_connect(&c, rig.path), 0);
	CU_ASSERT_EQUAL(
		shm_call(&c, &hello, VUC_SHM_HELLO, sizeof(hello), NULL, 0), -EPROTONOSUPPORT);
	CU_ASSERT_STRING_EQUAL(
		c.reply.failure.reason, "the VMM speaks versions 2 to 9, the daemon up to 1");
	hello.version_min = 1;
	CU_ASSERT_EQUAL(shm_call(&c, &hello, VUC_SHM_HELLO, sizeof(hello), NULL, 0), 0);
	CU_ASSERT_EQUAL(c.reply.hello_reply.version, 1);
	shm_close(&c);
	rig_stop(&rig);
}

static void
test_attach(void)
{
	const struct vuc_shm_attach_reply *r = &client.reply.attach_reply;
	struct vuc_control_device d;

	begin();
	CU_ASSERT_EQUAL(r->generation, 1);
	CU_ASSERT_EQUAL(r->pgsizes, 4096);
	CU_ASSERT_EQUAL(r->flags, 0);
	CU_ASSERT_EQUAL(r->device_flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	CU_ASSERT_TRUE(r->num_regions >= VFIO_PCI_NUM_REGIONS);
	CU_ASSERT_TRUE(r->num_irqs >= VFIO_PCI_NUM_IRQS);
	CU_ASSERT_EQUAL(r->max_dma_maps, 4096);
	CU_ASSERT_TRUE(r->max_data >= 4096 && r->max_data <= VUC_SHM_MAX_DATA);
	CU_ASSERT_EQUAL(r->max_data % VUC_SHM_SLOT_SIZE, 0);
	CU_ASSERT_EQUAL(shm_state(&client).state, VUC_SHM_ATTACHED);
	CU_ASSERT_EQUAL(shm_state(&client).generation, 1);
	d = rig_look(&rig, RIG_NAME);
	CU_ASSERT_EQUAL(d.state, VUC_CONTROL_ATTACHED);
	CU_ASSERT_EQUAL(d.vmm_pid, getpid());
	CU_ASSERT_EQUAL(d.vmm_uid, getuid());
	CU_ASSERT_STRING_EQUAL(d.vmm_name, "shm-client");
	CU_ASSERT_STRING_EQUAL(d.socket, rig.server.socket);
	CU_ASSERT_STRING_EQUAL(d.poller, "rig");
	CU_ASSERT_EQUAL(d.attaches, 1);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	CU_ASSERT_TRUE(shm_is_ended(&client, RIG_WAIT_MS));
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).vmm_pid, 0);
	end();
}

/* One has it, the other one has to wait; refusals do not end a connection. */
static void
test_exclusive(void)
{
	struct shm_client other;
	char reason[128];

	begin();
	CU_ASSERT_EQUAL_FATAL(shm_connect(&other, rig.path), 0);
	CU_ASSERT_EQUAL(shm_hello(&other), 0);
	CU_ASSERT_EQUAL(shm_attach(&other, RIG_NAME), -EBUSY);
	snprintf(reason, sizeof(reason), "device disk0 is in use by VMM shm-client (pid %d)",
		(int)getpid());
	CU_ASSERT_STRING_EQUAL(other.reply.failure.reason, reason);
	CU_ASSERT_EQUAL(shm_attach(&other, "nothing"), -ENOENT);
	CU_ASSERT_STRING_EQUAL(other.reply.failure.reason, "there is no device nothing");
	CU_ASSERT_EQUAL(shm_attach(&other, RIG_SECOND), 0);
	shm_close(&other);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	CU_ASSERT_EQUAL(shm_start(&other, rig.path, RIG_NAME), 0);
	shm_close(&other);
	end();
}

/* What the VMM may not write, it cannot; and nobody changes a size. */
static void
test_memory(void)
{
	struct shm_queue q;
	int fds[5];

	begin();
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 8, 128, &q), 0);
	fds[0] = client.attach_fds[VUC_SHM_FD_STATE];
	fds[1] = client.attach_fds[VUC_SHM_FD_POLLER];
	fds[2] = q.completions_fd;
	fds[3] = client.attach_fds[VUC_SHM_FD_BELL];
	fds[4] = q.requests_fd;
	for (unsigned int i = 0; i < 5; i++) {
		void *addr = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
		struct stat st;

		CU_ASSERT_EQUAL_FATAL(fstat(fds[i], &st), 0);
		CU_ASSERT_EQUAL(addr == MAP_FAILED, i < 3);
		CU_ASSERT_EQUAL(write(fds[i], "x", 1) < 0, i < 3);
		CU_ASSERT_EQUAL(ftruncate(fds[i], 0), -1);
		CU_ASSERT_EQUAL(ftruncate(fds[i], st.st_size + 4096), -1);
		CU_ASSERT_EQUAL(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE), -1);
		if (addr != MAP_FAILED)
			munmap(addr, 4096);
	}
	shm_forget_queue(&q);
	end();
}

static void
test_queue(void)
{
	uint64_t value = UINT64_C(0x1122334455667788), back = 0;
	struct shm_queue q;
	uint32_t id = 0;

	begin();
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(q.index, 0);
	CU_ASSERT_EQUAL(q.depth, 4);
	CU_ASSERT_EQUAL(q.max_data, 64);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).queues, 1);
	for (unsigned int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_ID, &id, 4), 0);
		CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	}
	CU_ASSERT_EQUAL(shm_write(&q, BAR0, REFDEV_REG_SCRATCH, &value, 8), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_SCRATCH, &back, 8), 0);
	CU_ASSERT_EQUAL(back, value);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_BAR0_SIZE, &id, 4), -EINVAL);
	CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_CLOSE_QUEUE, 0), -EINVAL);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_CLOSE_QUEUE, 1000), -EINVAL);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).queues, 0);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).reads, 22);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).writes, 1);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).errors, 1);
	end();
	rig_start(&rig, NULL);
	rig_stop(&rig);
}

static void
test_bad_queues(void)
{
	static const uint32_t bad[][2] = {
		{0, 64}, {3, 64}, {8192, 64}, {4, 0}, {4, 63}, {4, 2097152}, {4096, 65536}};
	struct shm_queue q;

	begin();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(shm_open_queue(&client, bad[i][0], bad[i][1], &q),
			bad[i][0] == 4096 ? -ENOSPC : -EINVAL);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).queues, 0);
	end();
}

/* As many as there may be, and no more; one that is closed makes room. */
static void
test_many_queues(void)
{
	static struct shm_queue queues[VUC_SHM_MAX_QUEUES];
	struct shm_queue more;
	uint32_t id;

	begin();
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 2, 64, &queues[i]), 0);
		CU_ASSERT_EQUAL(queues[i].index, i);
	}
	CU_ASSERT_EQUAL(shm_open_queue(&client, 2, 64, &more), -ENOSPC);
	CU_ASSERT_EQUAL(shm_close_queue(&queues[7]), 0);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 2, 64, &queues[7]), 0);
	CU_ASSERT_EQUAL(queues[7].index, 7);
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		CU_ASSERT_EQUAL(shm_read(&queues[i], BAR0, REFDEV_REG_ID, &id, 4), 0);
		shm_forget_queue(&queues[i]);
	}
	end();
}

static void
test_regions(void)
{
	const struct vuc_shm_region_reply *r = &client.reply.region;
	uint32_t num;

	begin();
	num = client.reply.attach_reply.num_regions;
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, num), -EINVAL);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR0), 0);
	CU_ASSERT_EQUAL(r->index, BAR0);
	CU_ASSERT_EQUAL(r->size, REFDEV_BAR0_SIZE);
	CU_ASSERT_EQUAL(r->nr_areas, 0);
	CU_ASSERT_EQUAL(client.nr_fds, 0);
	CU_ASSERT_EQUAL(client.len, sizeof(*r));
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, VFIO_PCI_BAR1_REGION_INDEX), 0);
	CU_ASSERT_EQUAL(r->size, 0);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR4), 0);
	CU_ASSERT_EQUAL(r->size, REFDEV_BAR4_SIZE);
	CU_ASSERT_EQUAL_FATAL(r->nr_areas, 2);
	CU_ASSERT_EQUAL(client.len, sizeof(*r) + 2 * sizeof(r->areas[0]));
	CU_ASSERT_EQUAL(r->areas[0].offset, REFDEV_BAR4_AREA_0);
	CU_ASSERT_EQUAL(r->areas[0].size, REFDEV_PAGE_SIZE);
	CU_ASSERT_EQUAL(r->areas[1].offset, REFDEV_BAR4_AREA_1);
	CU_ASSERT_TRUE(r->areas[1].fd_index < client.nr_fds);
	CU_ASSERT_EQUAL(r->nr_fds, client.nr_fds);
	end();
}

/* What is written by the mapping is what the device reads. */
static void
test_map_region(void)
{
	const struct vuc_shm_region_reply *r = &client.reply.region;
	uint32_t value = 0x600dcafe, back = 0;
	struct shm_queue q;
	uint8_t *bytes;

	begin();
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR2), 0);
	CU_ASSERT_EQUAL_FATAL(r->nr_areas, 1);
	CU_ASSERT_EQUAL(r->areas[0].size, REFDEV_BAR2_SIZE);
	bytes = mmap(NULL, r->areas[0].size, PROT_READ | PROT_WRITE, MAP_SHARED,
		client.fds[r->areas[0].fd_index], (off_t)r->areas[0].file_offset);
	CU_ASSERT_FATAL(bytes != MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	memcpy(bytes + 256, &value, sizeof(value));
	CU_ASSERT_EQUAL(shm_read(&q, BAR2, 256, &back, 4), 0);
	CU_ASSERT_EQUAL(back, value);
	munmap(bytes, REFDEV_BAR2_SIZE);
	shm_forget_queue(&q);
	end();
}

static void
test_irq_info(void)
{
	const struct vuc_shm_irq_reply *r = &client.reply.irq;
	uint32_t num;

	begin();
	num = client.reply.attach_reply.num_irqs;
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_IRQ_INFO, num), -EINVAL);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_IRQ_INFO, MSIX), 0);
	CU_ASSERT_EQUAL(client.len, sizeof(*r));
	CU_ASSERT_EQUAL(r->index, MSIX);
	CU_ASSERT_EQUAL(r->count, REFDEV_MSIX_VECTORS);
	CU_ASSERT_NOT_EQUAL(r->flags & VFIO_IRQ_INFO_EVENTFD, 0);
	end();
}

static bool
is_signalled(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t count;

	return poll(&pfd, 1, timeout_ms) == 1 && read(fd, &count, sizeof(count)) > 0;
}

static void
trigger(struct shm_queue *q, uint32_t vector)
{
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_IRQ_TRIGGER, &vector, 4), 0);
}

static void
test_irqs(void)
{
	const struct vuc_shm_set_irqs assign = {
		.index = MSIX, .start = 1, .count = 3, .data = VUC_SHM_IRQ_EVENT};
	const struct vuc_shm_set_irqs disable = {.index = MSIX, .action = VUC_SHM_IRQ_DISABLE};
	const struct vuc_shm_set_irqs raise = {
		.index = MSIX, .start = 3, .count = 1, .data = VUC_SHM_IRQ_ALL};
	static const uint8_t which[] = {1, 0, 1};
	struct shm_queue q;
	int fds[2];

	begin();
	fds[0] = eventfd(0, EFD_CLOEXEC);
	fds[1] = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_set_irqs(&client, &assign, which, fds, 2), 0);
	CU_ASSERT_EQUAL(client.reply.irqs_reply.done, 3);
	trigger(&q, 1);
	CU_ASSERT_TRUE(is_signalled(fds[0], RIG_WAIT_MS));
	trigger(&q, 3);
	CU_ASSERT_TRUE(is_signalled(fds[1], RIG_WAIT_MS));
	CU_ASSERT_EQUAL(shm_set_irqs(&client, &raise, NULL, NULL, 0), 0);
	CU_ASSERT_TRUE(is_signalled(fds[1], RIG_WAIT_MS));
	CU_ASSERT_EQUAL(shm_set_irqs(&client, &disable, NULL, NULL, 0), 0);
	trigger(&q, 1);
	trigger(&q, 3);
	CU_ASSERT_FALSE(is_signalled(fds[0], 0));
	CU_ASSERT_FALSE(is_signalled(fds[1], 0));
	shm_forget_queue(&q);
	close(fds[0]);
	close(fds[1]);
	end();
}

static void
test_bad_irqs(void)
{
	struct vuc_shm_set_irqs set = {.index = MSIX, .count = 1, .data = VUC_SHM_IRQ_EVENT};
	static const uint8_t which[] = {1};
	int pipes[2];

	begin();
	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL(shm_set_irqs(&client, &set, which, &pipes[1], 1), -EINVAL);
	CU_ASSERT_STRING_EQUAL(
		client.reply.failure.reason, "IRQ index 2: a descriptor is not an eventfd");
	set.data = VUC_SHM_IRQ_ALL;
	set.start = REFDEV_MSIX_VECTORS;
	CU_ASSERT_EQUAL(shm_set_irqs(&client, &set, NULL, NULL, 0), -EINVAL);
	set.index = 1000;
	CU_ASSERT_EQUAL(shm_set_irqs(&client, &set, NULL, NULL, 0), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	end();
}

/* Let the device fill memory at an address, by the way that the mode says. */
static void
fill_by_device(struct shm_queue *q, uint64_t iova, uint32_t len, uint32_t mode)
{
	uint64_t pattern = UINT64_C(0xa5a5a5a5a5a5a5a5);
	uint32_t one = 1, status = REFDEV_DMA_STATUS_BUSY;

	mode |= REFDEV_DMA_FILL;
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_PATTERN, &pattern, 8), 0);
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_DST, &iova, 8), 0);
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_LEN, &len, 4), 0);
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_MODE, &mode, 4), 0);
	CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_DMA_START, &one, 4), 0);
	while (status == REFDEV_DMA_STATUS_BUSY)
		CU_ASSERT_EQUAL_FATAL(shm_read(q, BAR0, REFDEV_REG_DMA_STATUS, &status, 4), 0);
	CU_ASSERT_EQUAL(status, REFDEV_DMA_STATUS_DONE);
}

static void
check_dma(uint32_t mode)
{
	int fd = rig_memory(MIB, true);
	struct shm_queue q;
	uint8_t byte = 0;

	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0x100000, MIB / 2, MIB / 2,
				VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE, fd),
		0);
	CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 1);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).dma_maps, 1);
	fill_by_device(&q, 0x101000, 0x2000, mode);
	CU_ASSERT_EQUAL(pread(fd, &byte, 1, MIB / 2 + 0x1000), 1);
	CU_ASSERT_EQUAL(byte, 0xa5);
	CU_ASSERT_EQUAL(pread(fd, &byte, 1, MIB / 2 + 0x3000), 1);
	CU_ASSERT_EQUAL(byte, 0);
	CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0x100000, MIB / 2), 0);
	CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 0);
	CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0x100000, MIB / 2), -ENOENT);
	shm_forget_queue(&q);
	close(fd);
	end();
}

static void
test_dma_shared(void)
{
	rig_start(&rig, NULL);
	check_dma(REFDEV_DMA_BY_MMAP);
}

static void
test_dma_message(void)
{
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.open.dma = VUC_DMA_MESSAGE;
	rig_start(&rig, &opts);
	check_dma(REFDEV_DMA_BY_MESSAGE);
}

/* Entries up to the one that is refused are taken, and those behind it not looked at. */
static void
test_dma_batch(void)
{
	union shm_packet request = {.bytes = {0}};
	struct vuc_shm_dma_entry *e = request.dma.entries;
	int fd;

	begin();
	fd = rig_memory(MIB, true);
	request.dma.nr = 4;
	request.dma.nr_fds = 1;
	request.dma.flags = VUC_SHM_DMA_COMMIT;
	for (unsigned int i = 0; i < 4; i++)
		e[i] = (struct vuc_shm_dma_entry){
			.op = VUC_SHM_DMA_MAP,
			.flags = VUC_SHM_DMA_READ,
			.iova = i * 0x10000u,
			.size = 0x1000,
		};
	e[2].iova = 0x10000;
	CU_ASSERT_EQUAL(shm_call(&client, &request, VUC_SHM_DMA,
				sizeof(request.dma) + 4 * sizeof(e[0]), &fd, 1),
		-EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.reply.failure.reason, "overlaps another mapping"));
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).dma_maps, 2);
	e[0] = (struct vuc_shm_dma_entry){.op = VUC_SHM_DMA_UNMAP_ALL, .fd_index = -1};
	request.dma.nr = 1;
	request.dma.nr_fds = 0;
	CU_ASSERT_EQUAL(shm_call(&client, &request, VUC_SHM_DMA, sizeof(request.dma) + sizeof(e[0]),
				NULL, 0),
		0);
	CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 0);
	close(fd);
	end();
}

static void
test_io_fds(void)
{
	const struct vuc_shm_io_reply *r = &client.reply.io;

	begin();
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_IO_FDS, BAR0), 0);
	CU_ASSERT_EQUAL(r->nr_fds, client.nr_fds);
	CU_ASSERT_TRUE_FATAL(r->nr > 0);
	CU_ASSERT_EQUAL(client.len, sizeof(*r) + r->nr * sizeof(r->sub_regions[0]));
	CU_ASSERT_EQUAL(r->sub_regions[0].offset, REFDEV_REG_DOORBELL);
	CU_ASSERT_EQUAL(r->sub_regions[0].datamatch, REFDEV_DOORBELL_MATCH);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_IO_FDS, 1000), -EINVAL);
	end();
}

static void
test_reset(void)
{
	struct shm_queue q;
	uint32_t before = 0, after = 0;

	begin();
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_RESETS, &before, 4), 0);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_RESETS, &after, 4), 0);
	CU_ASSERT_EQUAL(after, before + 1);
	shm_forget_queue(&q);
	end();
}

/* A server that does not read, so that posted writes stay in their queue: a reset that is asked for
 * behind them reaches the device behind them. */
static void
test_reset_behind_posted_writes(void)
{
	enum {
		DEPTH = 256
	};
	const struct vuc_shm_request fill = {
		.op = VUC_SHM_WRITE_POSTED, .region = BAR2, .count = 4096};
	const struct vuc_shm_request last = {.op = VUC_SHM_WRITE_POSTED,
		.region = BAR0,
		.offset = REFDEV_REG_SCRATCH,
		.count = 8};
	struct vuc_shm_plain reset;
	struct shm_client other;
	struct shm_queue q, another;
	uint64_t writes = 1;
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.open.posted_writes = VUC_POSTED_WRITES_ON;
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	rig_attach(&rig, &other, RIG_SECOND);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, DEPTH, fill.count, &q), 0);
	CU_ASSERT_EQUAL(kill(rig.server.process.pid, SIGSTOP), 0);
	for (unsigned int i = 1; i < DEPTH; i++)
		shm_submit(&q, &fill);
	shm_submit(&q, &last);
	shm_header(&client, &reset.header, VUC_SHM_RESET, sizeof(reset));
	CU_ASSERT_EQUAL(shm_send(&client, &reset, sizeof(reset), NULL, 0), 0);
	/* Time in which it could go out. */
	for (unsigned int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&other, 4, 64, &another), 0);
		CU_ASSERT_EQUAL(shm_close_queue(&another), 0);
	}
	CU_ASSERT_NOT_EQUAL(shm_taken(&q), DEPTH);
	CU_ASSERT_EQUAL(kill(rig.server.process.pid, SIGCONT), 0);
	CU_ASSERT_EQUAL(shm_receive(&client, SHM_TIMEOUT_MS), 0);
	CU_ASSERT_EQUAL(client.reply.header.status, 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_WRITES, &writes, 8), 0);
	CU_ASSERT_EQUAL(writes, 0);
	shm_forget_queue(&q);
	shm_close(&other);
	end();
}

/* And one that goes on not reading: the reset ends with the connection, or at its deadline. */
static void
test_reset_of_stopped_server(void)
{
	enum {
		DEPTH = 256
	};
	const struct vuc_shm_request fill = {
		.op = VUC_SHM_WRITE_POSTED, .region = BAR2, .count = 4096};
	static const uint32_t rows[][2] = {{200, 60000}, {60000, 200}};
	struct rig_opts opts;
	struct shm_queue q;

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_opts_init(&opts);
		opts.open.posted_writes = VUC_POSTED_WRITES_ON;
		opts.open.timeout_ms = rows[i][0];
		opts.open.long_timeout_ms = rows[i][1];
		rig_start(&rig, &opts);
		rig_attach(&rig, &client, RIG_NAME);
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, DEPTH, fill.count, &q), 0);
		CU_ASSERT_EQUAL(kill(rig.server.process.pid, SIGSTOP), 0);
		for (unsigned int n = 0; n < DEPTH; n++)
			shm_submit(&q, &fill);
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), -ETIMEDOUT);
		CU_ASSERT_EQUAL(kill(rig.server.process.pid, SIGCONT), 0);
		shm_forget_queue(&q);
		end();
	}
}

/* The page shows what the VMM has done, and not what others have. */
static void
test_counters(void)
{
	struct shm_client other;
	struct shm_queue q;
	uint32_t id;

	begin();
	rig_attach(&rig, &other, RIG_SECOND);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_ID, &id, 4), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_BAR0_SIZE, &id, 4), -EINVAL);
	for (unsigned int i = 0; shm_state(&client).reads < 4 && i < RIG_WAIT_MS; i++)
		vuc_clock_sleep_ms(1);
	CU_ASSERT_EQUAL(shm_state(&client).reads, 4);
	CU_ASSERT_EQUAL(shm_state(&client).errors, 1);
	CU_ASSERT_EQUAL(shm_state(&client).sequence % 2, 0);
	CU_ASSERT_EQUAL(shm_state(&other).reads, 0);
	shm_close(&other);
	shm_forget_queue(&q);
	end();
}

struct names {
	unsigned int nr;
	char text[2][VUC_CONTROL_NAME_SIZE];
};

static void
keep_name(void *arg, const struct vuc_control_device *d)
{
	struct names *names = arg;

	if (names->nr < 2)
		snprintf(names->text[names->nr], VUC_CONTROL_NAME_SIZE, "%s", d->name);
	names->nr++;
	/* It may ask anything. */
	CU_ASSERT_EQUAL(rig_look(&rig, d->name).state, d->state);
}

static void
test_list(void)
{
	struct names names = {.nr = 0};
	struct vuc_control_device d;

	rig_start(&rig, NULL);
	vuc_control_list(rig.control, keep_name, &names);
	CU_ASSERT_EQUAL_FATAL(names.nr, 2);
	CU_ASSERT_STRING_EQUAL(names.text[0], RIG_NAME);
	CU_ASSERT_STRING_EQUAL(names.text[1], RIG_SECOND);
	CU_ASSERT_EQUAL(vuc_control_look(rig.control, "nothing", &d), -ENOENT);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).generation, 1);
	CU_ASSERT_STRING_EQUAL(rig_look(&rig, RIG_NAME).reason, "");
	rig_stop(&rig);
}

static CU_TestInfo tests[] = {
	{"hello", test_hello},
	{"versions", test_versions},
	{"attach", test_attach},
	{"exclusive", test_exclusive},
	{"memory", test_memory},
	{"queue", test_queue},
	{"bad_queues", test_bad_queues},
	{"many_queues", test_many_queues},
	{"regions", test_regions},
	{"map_region", test_map_region},
	{"irq_info", test_irq_info},
	{"irqs", test_irqs},
	{"bad_irqs", test_bad_irqs},
	{"dma_shared", test_dma_shared},
	{"dma_message", test_dma_message},
	{"dma_batch", test_dma_batch},
	{"io_fds", test_io_fds},
	{"reset", test_reset},
	{"reset_behind_posted_writes", test_reset_behind_posted_writes},
	{"reset_of_stopped_server", test_reset_of_stopped_server},
	{"counters", test_counters},
	{"list", test_list},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}

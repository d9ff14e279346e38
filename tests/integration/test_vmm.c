/* SPDX-License-Identifier: BSD-3-Clause */

/* libvuc-vmm against a control plane with the reference device: what a VMM does, end to end. */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <vuc/vmm.h>

#include "rig.h"
#include "vfio_user.h"

#define NR_THREADS 4u
#define NR_ROUNDS  200u

static struct vuc_vmm_device *dev;
static struct vuc_queue *queue;

static int
attach(const char *name, struct vuc_vmm_device **to, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = rig.path;
	opts.device = name;
	return vuc_vmm_attach(&opts, to, err);
}

static void
attach_well(void)
{
	struct vuc_error err = {""};

	if (attach(RIG_NAME, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
}

static void
vmm_begin(const struct rig_opts *opts)
{
	rig_start(opts);
	attach_well();
}

static void
vmm_end(void)
{
	if (dev != NULL) {
		vuc_vmm_detach(dev);
		dev = NULL;
		CU_ASSERT_TRUE(rig_has_connections(0));
	}
	rig_stop();
}

static uint64_t
read_reg(uint64_t offset, uint32_t count)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(vuc_queue_read(queue, BAR0, offset, &value, count), 0);
	return value;
}

static void
write_reg(uint64_t offset, uint64_t value, uint32_t count)
{
	CU_ASSERT_EQUAL(vuc_queue_write(queue, BAR0, offset, &value, count), 0);
}

static void
test_info(void)
{
	const struct vuc_vmm_info *info;
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};

	vmm_begin(NULL);
	info = vuc_vmm_info(dev);
	CU_ASSERT_EQUAL(info->generation, 1);
	CU_ASSERT_EQUAL(info->pgsizes % 4096, 0);
	CU_ASSERT_EQUAL(info->flags & VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_PCI);
	CU_ASSERT_EQUAL(info->num_regions, VFIO_PCI_NUM_REGIONS);
	CU_ASSERT_EQUAL(info->num_irqs, VFIO_PCI_NUM_IRQS);
	CU_ASSERT_EQUAL(info->max_queues, 64);
	CU_ASSERT(!info->dma_message);
	CU_ASSERT_EQUAL(vuc_vmm_irq(dev, MSIX, &irq, NULL), 0);
	CU_ASSERT_EQUAL(irq.count, REFDEV_MSIX_VECTORS);
	CU_ASSERT(irq.flags & VFIO_IRQ_INFO_EVENTFD);
}

static void
test_refused(void)
{
	struct vuc_vmm_device *second;
	struct vuc_error err;

	vmm_begin(NULL);
	CU_ASSERT_EQUAL(attach("none", &second, &err), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err.text, "there is no device none");
	CU_ASSERT_EQUAL(attach(RIG_NAME, &second, &err), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "device " RIG_NAME " is in use by VMM "));
	CU_ASSERT_EQUAL(attach(RIG_SECOND, &second, &err), 0);
	vuc_vmm_detach(second);
}

/* Writes to regions that ask the server for no answer, as they go over the wire. */
static void
count_posted(void *arg, const struct vuc_trace_message *message)
{
	struct vfio_user_header header;

	memcpy(&header, message->bytes, sizeof(header));
	if (message->sent && header.cmd == VFIO_USER_REGION_WRITE &&
		(header.flags & VFIO_USER_F_NO_REPLY) != 0)
		atomic_fetch_add((_Atomic unsigned int *)arg, 1);
}

/* The operator says what is posted; on a PCI bus no access that goes past the socket may overtake
 * a write. */
static void
test_posted_writes(void)
{
	enum {
		NONE,
		AREA,
		IO_FDS
	}; /* what the VMM has been given of the device */
	static const struct {
		enum vuc_posted_writes policy;
		int given;
		bool post; /* vuc_queue_post(), else vuc_queue_write_pci() */
		uint32_t region;
		unsigned int posted;
	} cases[] = {
		{VUC_POSTED_WRITES_AUTO, NONE, false, BAR0, 1},
		{VUC_POSTED_WRITES_AUTO, NONE, true, BAR0, 1},
		{VUC_POSTED_WRITES_AUTO, NONE, false, CONFIG, 0},
		{VUC_POSTED_WRITES_AUTO, AREA, false, BAR0, 0},
		{VUC_POSTED_WRITES_AUTO, AREA, true, BAR0, 1},
		{VUC_POSTED_WRITES_AUTO, IO_FDS, false, BAR0, 0},
		{VUC_POSTED_WRITES_ON, NONE, false, BAR0, 1},
		{VUC_POSTED_WRITES_ON, AREA, false, BAR0, 1},
		{VUC_POSTED_WRITES_ON, AREA, true, BAR0, 1},
		{VUC_POSTED_WRITES_ON, NONE, false, CONFIG, 0},
		{VUC_POSTED_WRITES_OFF, NONE, false, BAR0, 0},
		{VUC_POSTED_WRITES_OFF, NONE, true, BAR0, 0},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		uint64_t offset = cases[i].region == BAR0 ? REFDEV_REG_SCRATCH : 0x3c;
		const struct vuc_vmm_region *region;
		_Atomic unsigned int posted = 0;
		struct vuc_vmm_io_fds *fds;
		uint8_t value = 7, seen = 0;

		vmm_begin(&(struct rig_opts){.posted_writes = 1 + cases[i].policy,
			.trace = count_posted,
			.trace_arg = &posted});
		CU_ASSERT_EQUAL(vuc_vmm_region(dev, BAR0, &region, NULL), 0);
		if (cases[i].given == AREA)
			CU_ASSERT_EQUAL(vuc_vmm_region(dev, BAR2, &region, NULL), 0);
		if (cases[i].given == IO_FDS) {
			CU_ASSERT_EQUAL_FATAL(vuc_vmm_io_fds(dev, BAR0, &fds, NULL), 0);
			vuc_vmm_io_fds_free(fds);
		}
		CU_ASSERT_EQUAL((cases[i].post ? vuc_queue_post : vuc_queue_write_pci)(
					queue, cases[i].region, offset, &value, 1),
			0);
		CU_ASSERT_EQUAL(vuc_queue_read(queue, cases[i].region, offset, &seen, 1), 0);
		CU_ASSERT_EQUAL(seen, value);
		CU_ASSERT_EQUAL(atomic_load(&posted), cases[i].posted);
		vmm_end();
	}
}

/* What is mapped is what the device has; the pages of MSI-X are not. */
static void
test_regions(void)
{
	const struct vuc_vmm_region *region;
	uint32_t value = 0x12345678, seen = 0;
	uint8_t *p;

	vmm_begin(NULL);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, BAR4, &region, NULL), 0);
	CU_ASSERT_EQUAL(region->size, REFDEV_BAR4_SIZE);
	CU_ASSERT_EQUAL_FATAL(region->nr_areas, 2);
	CU_ASSERT_EQUAL(region->areas[0].offset, REFDEV_BAR4_AREA_0);
	CU_ASSERT_EQUAL(region->areas[1].offset, REFDEV_BAR4_AREA_1);
	p = mmap(NULL, region->areas[1].size, PROT_READ | PROT_WRITE, MAP_SHARED,
		region->areas[1].fd, (off_t)region->areas[1].file_offset);
	CU_ASSERT_FATAL(p != MAP_FAILED);
	memcpy(p + 16, &value, sizeof(value));
	CU_ASSERT_EQUAL(
		vuc_queue_read(queue, BAR4, REFDEV_BAR4_AREA_1 + 16, &seen, sizeof(seen)), 0);
	CU_ASSERT_EQUAL(seen, value);
	munmap(p, region->areas[1].size);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, BAR0, &region, NULL), 0);
	CU_ASSERT_EQUAL(region->nr_areas, 0);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, VFIO_PCI_NUM_REGIONS, &region, NULL), -EINVAL);
}

/* One vCPU: a queue of its own, and a part of the device's memory of its own. */
static void *
run_vcpu(void *arg)
{
	uintptr_t id = (uintptr_t)arg, wrong = 0;
	struct vuc_queue *q;
	uint64_t bytes[32], seen[32];

	if (vuc_vmm_open_queue(dev, NULL, &q, NULL) != 0)
		return (void *)1;
	for (uint64_t i = 0; i < NR_ROUNDS; i++) {
		uint64_t at = REFDEV_RAM_OFFSET + id * sizeof(bytes);
		uint32_t count = (uint32_t)(1 + i % sizeof(bytes));

		for (unsigned int j = 0; j < 32; j++)
			bytes[j] = id << 60 | i << 8 | j;
		memset(seen, 0, sizeof(seen));
		if (i % 2 == 0)
			wrong += vuc_queue_post(q, BAR0, at, bytes, count) != 0;
		else
			wrong += vuc_queue_write(q, BAR0, at, bytes, count) != 0;
		/* Posted writes come before what comes after them. */
		wrong += vuc_queue_read(q, BAR0, at, seen, count) != 0;
		wrong += memcmp(seen, bytes, count) != 0;
	}
	vuc_vmm_close_queue(dev, q);
	return (void *)wrong;
}

static void
test_vcpus(void)
{
	vmm_begin(NULL);
	pthread_t threads[NR_THREADS];
	void *wrong;

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, run_vcpu, (void *)i), 0);
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		pthread_join(threads[i], &wrong);
		CU_ASSERT_PTR_NULL(wrong);
	}
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).queues, 1);
}

static void
test_queue_errors(void)
{
	uint32_t value;

	vmm_begin(NULL);
	CU_ASSERT_EQUAL(vuc_queue_read(queue, BAR0, REFDEV_BAR0_SIZE, &value, 4), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_read(queue, BAR0, REFDEV_REG_ERROR, &value, 4), -EIO);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
}

static uint64_t
copy_by_device(uint64_t from, uint64_t to, uint32_t len, uint32_t mode)
{
	uint64_t status;

	write_reg(REFDEV_REG_DMA_SRC, from, 8);
	write_reg(REFDEV_REG_DMA_DST, to, 8);
	write_reg(REFDEV_REG_DMA_LEN, len, 4);
	write_reg(REFDEV_REG_DMA_MODE, mode, 4);
	write_reg(REFDEV_REG_DMA_START, 1, 4);
	do {
		status = read_reg(REFDEV_REG_DMA_STATUS, 4);
	} while (status == REFDEV_DMA_STATUS_BUSY);
	return status;
}

/* Guest memory, as its VMM has it, filled here and copied by the device. */
static void
run_dma(uint32_t mode)
{
	const uint64_t base = UINT64_C(0x100000000);
	struct vuc_vmm_dma halves[2];
	struct vuc_error err;
	int fd = rig_memory(2 * MIB, F_SEAL_SHRINK);
	uint8_t *bytes = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CU_ASSERT_FATAL(bytes != MAP_FAILED);
	memset(bytes, 0x5a, MIB);
	for (unsigned int i = 0; i < 2; i++)
		halves[i] = (struct vuc_vmm_dma){.argsz = sizeof(halves[i]),
			.iova = base + i * MIB,
			.size = MIB,
			.offset = i * MIB,
			.flags = i == 0 ? VUC_VMM_DMA_READ : VUC_VMM_DMA_WRITE,
			.fd = fd};
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, halves, 2, NULL), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_DMA_MAPS, 4), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_DMA_MAPS, 4), 2);
	CU_ASSERT_EQUAL(copy_by_device(base, base + MIB, 65536, mode), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_EQUAL(bytes[MIB], 0x5a);
	CU_ASSERT_EQUAL(bytes[MIB + 65535], 0x5a);
	CU_ASSERT_EQUAL(bytes[MIB + 65536], 0);
	/* One is there already; the one before it is done all the same. */
	halves[0].iova = base + 4 * MIB;
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, halves, 2, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), -EEXIST);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_DMA_MAPS, 4), 3);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, base, MIB, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(copy_by_device(base, base + MIB, 16, mode), REFDEV_DMA_STATUS_ERROR);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap_all(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_DMA_MAPS, 4), 0);
	munmap(bytes, 2 * MIB);
	close(fd);
}

static void
test_dma(void)
{
	vmm_begin(NULL);
	run_dma(REFDEV_DMA_BY_MMAP);
}

/* The server never gets the memory; memory that could shrink is refused. */
static void
test_dma_message(void)
{
	struct vuc_vmm_dma m = {.argsz = sizeof(m), .size = MIB, .flags = VUC_VMM_DMA_READ};
	struct vuc_error err;

	vmm_begin(&(struct rig_opts){.dma = VUC_DMA_MESSAGE});
	CU_ASSERT(vuc_vmm_info(dev)->dma_message);
	run_dma(REFDEV_DMA_BY_MESSAGE);
	m.fd = rig_memory(MIB, 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "F_SEAL_SHRINK"));
	close(m.fd);
}

static uint64_t
signals(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void
test_interrupts(void)
{
	const struct vuc_vmm_irq_range range = {MSIX, 0, REFDEV_MSIX_VECTORS}, last = {MSIX, 7, 2};
	int fds[REFDEV_MSIX_VECTORS];
	struct vuc_error err;

	vmm_begin(NULL);
	for (unsigned int i = 0; i < REFDEV_MSIX_VECTORS; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, &err), 0);
	for (uint32_t i = 0; i < REFDEV_MSIX_VECTORS; i++) {
		write_reg(REFDEV_REG_IRQ_TRIGGER, i, 4);
		for (uint32_t j = 0; j < REFDEV_MSIX_VECTORS; j++)
			CU_ASSERT_EQUAL(signals(fds[j]), i == j);
	}
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_TRIGGER, &err), 0);
	for (uint32_t j = 0; j < REFDEV_MSIX_VECTORS; j++)
		CU_ASSERT_EQUAL(signals(fds[j]), 1);
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &last, VUC_VMM_IRQ_TRIGGER, fds, &err), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable(dev, MSIX, &err), 0);
	write_reg(REFDEV_REG_IRQ_TRIGGER, 0, 4);
	CU_ASSERT_EQUAL(signals(fds[0]), 0);
	for (unsigned int i = 0; i < REFDEV_MSIX_VECTORS; i++)
		close(fds[i]);
}

static void
test_io_fds(void)
{
	const uint64_t one = 1;
	struct vuc_vmm_io_fds *fds;
	struct vuc_error err;
	unsigned int eventfds = 0;

	vmm_begin(NULL);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_io_fds(dev, BAR0, &fds, &err), 0);
	for (uint32_t i = 0; i < fds->nr; i++) {
		if (fds->io[i].type != VUC_VMM_IO_EVENTFD || fds->io[i].fd < 0)
			continue;
		CU_ASSERT_EQUAL(fds->io[i].offset, REFDEV_REG_DOORBELL);
		CU_ASSERT_EQUAL(write(fds->io[i].fd, &one, sizeof(one)), sizeof(one));
		eventfds++;
	}
	CU_ASSERT_EQUAL(eventfds, 1);
	vuc_vmm_io_fds_free(fds);
}

static void
test_reset(void)
{
	uint64_t resets;

	vmm_begin(NULL);
	resets = read_reg(REFDEV_REG_RESETS, 4);
	write_reg(REFDEV_REG_SCRATCH, 77, 8);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 77);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, NULL), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_RESETS, 4), resets + 1);
}

/* Wait for these events, however many wake-ups they take. */
static bool
await_events(uint32_t wanted)
{
	struct pollfd fd = {.fd = vuc_vmm_event_fd(dev), .events = POLLIN};
	uint32_t seen = 0;

	while (seen != wanted && poll(&fd, 1, RIG_WAIT_MS) == 1)
		seen |= vuc_vmm_events(dev);
	return seen == wanted;
}

/* The server goes and comes back: requests fail meanwhile, and the VMM attaches anew. */
static void
test_lost_and_back(void)
{
	uint32_t value;

	vmm_begin(NULL);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	peer_kill(rig.peer);
	CU_ASSERT(await_events(VUC_VMM_EVENT_LOST));
	CU_ASSERT(vuc_queue_read(queue, BAR0, REFDEV_REG_ID, &value, 4) < 0);
	peer_restart(rig.peer);
	CU_ASSERT(await_events(VUC_VMM_EVENT_STALE | VUC_VMM_EVENT_RESET));
	vuc_vmm_detach(dev);
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	attach_well();
	CU_ASSERT_EQUAL(vuc_vmm_info(dev)->generation, 2);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
}

/* The device is taken away while a request is outstanding, and while nobody waits. */
static void
test_removed(void)
{
	struct vuc_error err;
	uint32_t value;

	vmm_begin(NULL);
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, &err), 0);
	CU_ASSERT(await_events(VUC_VMM_EVENT_REMOVED | VUC_VMM_EVENT_GONE));
	CU_ASSERT_EQUAL(vuc_queue_read(queue, BAR0, REFDEV_REG_ID, &value, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(
		err.text, "the daemon closed the connection: the device was removed or detached");
}

static void
count_done(void *arg, int status, const struct vuc_error *err)
{
	(void)err;
	CU_ASSERT_EQUAL(status, 0);
	++*(unsigned int *)arg;
}

/* What a main loop does, until so many have ended. */
static bool
loop_until(struct vuc_vmm_device *d, const unsigned int *done, unsigned int nr)
{
	struct pollfd fd = {.fd = vuc_vmm_event_fd(d), .events = POLLIN};

	while (*done < nr && poll(&fd, 1, RIG_WAIT_MS) == 1)
		vuc_vmm_events(d);
	return *done == nr;
}

/* A main loop with two devices: nothing that it starts at one whose server hangs holds up the
 * other, and all of it ends when the server goes on. */
static void
test_hung_server(void)
{
	struct vuc_vmm_device *hung;
	struct peer *server;
	struct vuc_device_opts at;
	unsigned int of_hung = 0, done = 0;
	struct vuc_vmm_dma m = {.argsz = sizeof(m), .size = MIB, .flags = VUC_VMM_DMA_READ};
	struct vuc_queue *other;

	vmm_begin(NULL);
	server = peer_start(1, NULL);
	peer_opts(server, 0, &at);
	rig_add_device(NULL, "hung", at.path);
	CU_ASSERT_FATAL(rig_becomes("hung", VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL_FATAL(attach("hung", &hung, NULL), 0);
	CU_ASSERT_EQUAL(kill(peer_process(server)->pid, SIGSTOP), 0);
	m.fd = rig.memory;
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(hung, &m, 1, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(hung, count_done, &of_hung, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(hung, count_done, &of_hung, NULL), 0);
	CU_ASSERT_EQUAL(
		vuc_vmm_open_queue_start(hung, NULL, &other, count_done, &of_hung, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue_start(dev, NULL, &queue, count_done, &done, NULL), 0);
	CU_ASSERT_TRUE_FATAL(loop_until(dev, &done, 1));
	write_reg(REFDEV_REG_SCRATCH, 77, 8);
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit_start(dev, count_done, &done, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, count_done, &done, NULL), 0);
	CU_ASSERT_TRUE(loop_until(dev, &done, 3));
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_DMA_MAPS, 4), 1);
	CU_ASSERT_EQUAL(vuc_vmm_events(hung), 0);
	CU_ASSERT_EQUAL(of_hung, 0);
	CU_ASSERT_EQUAL(kill(peer_process(server)->pid, SIGCONT), 0);
	CU_ASSERT_TRUE(loop_until(hung, &of_hung, 3));
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(hung, count_done, &of_hung, NULL), 0);
	CU_ASSERT_TRUE(loop_until(hung, &of_hung, 4));
	peer_stop(server);
}

static void
test_counters(void)
{
	struct vuc_vmm_counters c = {.argsz = sizeof(c)};
	uint64_t value = 0;

	vmm_begin(NULL);
	for (unsigned int i = 0; i < 10; i++) {
		read_reg(REFDEV_REG_ID, 4);
		CU_ASSERT_EQUAL(vuc_queue_post(queue, BAR0, REFDEV_REG_SCRATCH, &value, 8), 0);
	}
	write_reg(REFDEV_REG_SCRATCH, 1, 8);
	CU_ASSERT_EQUAL(vuc_queue_read(queue, BAR0, REFDEV_REG_ERROR, &value, 4), -EIO);
	for (unsigned int i = 0; i < RIG_WAIT_MS && c.errors == 0; i++) {
		poll(NULL, 0, 1);
		vuc_vmm_counters(dev, &c);
	}
	CU_ASSERT_EQUAL(c.reads, 11);
	CU_ASSERT_EQUAL(c.writes, 1);
	CU_ASSERT_EQUAL(c.posted, 10);
	CU_ASSERT_EQUAL(c.errors, 1);
}

/* Detaching with everything open: the next one finds nothing of it. */
static void
test_detach(void)
{
	const struct vuc_vmm_irq_range range = {MSIX, 0, 1};
	struct vuc_vmm_dma m = {.argsz = sizeof(m), .size = MIB, .flags = VUC_VMM_DMA_READ};

	vmm_begin(NULL);
	m.fd = rig.memory;
	write_reg(REFDEV_REG_SCRATCH, 1, 8);
	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, &rig.irq, NULL), 0);
	vuc_vmm_detach(dev);
	attach_well();
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_DMA_MAPS, 4), 0);
	CU_ASSERT_EQUAL(read_reg(REFDEV_REG_SCRATCH, 8), 0);
	write_reg(REFDEV_REG_IRQ_TRIGGER, 0, 4);
	CU_ASSERT_EQUAL(signals(rig.irq), 0);
}

const struct tap_suite tap_suite = {NULL, NULL, vmm_end,
	{
		{"posted_writes", test_posted_writes},
		{"DMA by messages", test_dma_message},
		{"info", test_info},
		{"refused", test_refused},
		{"regions", test_regions},
		{"four vCPUs", test_vcpus},
		{"errors of accesses", test_queue_errors},
		{"DMA", test_dma},
		{"interrupts", test_interrupts},
		{"io fds", test_io_fds},
		{"reset", test_reset},
		{"lost and back", test_lost_and_back},
		{"removed", test_removed},
		{"hung server", test_hung_server},
		{"counters", test_counters},
		{"detach", test_detach},
	}};

/* SPDX-License-Identifier: BSD-3-Clause */
#include "restore_rig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <linux/pci_regs.h>

#define NR_POLLS   200u
#define NR_PAGES   64u
#define BODY(type) (sizeof(struct vfio_user_header) + sizeof(struct type))

struct restore_server old, fresh;
struct vuc_device *dut;
struct vuc_poll_group *group;
int memory_fd = -1;
uint8_t *memory;
int eventfds[NR_FDS];

/* ---- the server ---- */

static void __attribute__((format(printf, 2, 3)))
add_line(struct restore_server *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	s->log_len += (size_t)vsnprintf(s->log + s->log_len, MAX_LOG - s->log_len, fmt, args);
	va_end(args);
	CU_ASSERT_FATAL(s->log_len < MAX_LOG);
}

static void
log_map(struct restore_server *s, const struct vuc_loopback_msg *request)
{
	struct vfio_user_dma_map m;
	struct stat memory_stat, stat;

	fake_server_body(request, &m, sizeof(m));
	add_line(s, "map %" PRIx64 "+%" PRIx64 " flags %x offset %" PRIx64, (uint64_t)m.addr,
		(uint64_t)m.size, m.flags, (uint64_t)m.offset);
	if (request->nr_fds == 1 && fstat(memory_fd, &memory_stat) == 0 &&
		fstat(request->fds[0], &stat) == 0 && stat.st_ino == memory_stat.st_ino)
		add_line(s, " memory");
	add_line(s, "\n");
}

static void
keep_eventfds(struct restore_server *s, const struct vfio_user_irq_set *set,
	const struct vuc_loopback_msg *request)
{
	for (uint32_t i = 0; i < request->nr_fds && set->start + i < 8; i++) {
		int *fd = &s->eventfds[set->index][set->start + i];

		if (*fd > 0)
			close(*fd);
		*fd = dup(request->fds[i]);
	}
}

static void
log_irqs(struct restore_server *s, const struct vuc_loopback_msg *request)
{
	struct vfio_user_irq_set set;

	fake_server_body(request, &set, sizeof(set));
	add_line(s, "irq %u %s%s%s%s%s%s %u+%u", set.index,
		(set.flags & VFIO_IRQ_SET_ACTION_TRIGGER) != 0 ? "trigger" : "",
		(set.flags & VFIO_IRQ_SET_ACTION_MASK) != 0 ? "mask" : "",
		(set.flags & VFIO_IRQ_SET_ACTION_UNMASK) != 0 ? "unmask" : "",
		(set.flags & VFIO_IRQ_SET_DATA_NONE) != 0 ? " none" : "",
		(set.flags & VFIO_IRQ_SET_DATA_BOOL) != 0 ? " bool" : "",
		(set.flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0 ? " eventfd" : "", set.start,
		set.count);
	if (request->nr_fds > 0)
		add_line(s, " fds %u", request->nr_fds);
	add_line(s, "\n");
	if ((set.flags & VFIO_IRQ_SET_ACTION_TRIGGER) != 0)
		keep_eventfds(s, &set, request);
}

static void
log_access(struct restore_server *s, const struct vuc_loopback_msg *request, bool write)
{
	struct vfio_user_region_access access;
	uint64_t value = 0;

	fake_server_body(request, &access, sizeof(access));
	if (write)
		memcpy(&value, request->bytes + BODY(vfio_user_region_access),
			access.count < 8 ? access.count : 8);
	if (write)
		add_line(s, "write %u:%" PRIx64 "/%u = %" PRIx64 "\n", access.region,
			(uint64_t)access.offset, access.count, value);
	else
		add_line(s, "read %u:%" PRIx64 "/%u\n", access.region, (uint64_t)access.offset,
			access.count);
}

static void
log_message(struct restore_server *s, const struct vuc_loopback_msg *request, uint16_t cmd)
{
	struct vfio_user_dma_unmap unmap;

	if (cmd == VFIO_USER_DMA_MAP) {
		log_map(s, request);
	} else if (cmd == VFIO_USER_DMA_UNMAP) {
		fake_server_body(request, &unmap, sizeof(unmap));
		add_line(s, "unmap %" PRIx64 "+%" PRIx64 "%s\n", (uint64_t)unmap.addr,
			(uint64_t)unmap.size, unmap.flags != 0 ? " all" : "");
	} else if (cmd == VFIO_USER_DEVICE_SET_IRQS) {
		log_irqs(s, request);
	} else if (cmd == VFIO_USER_REGION_READ || cmd == VFIO_USER_REGION_WRITE) {
		log_access(s, request, cmd == VFIO_USER_REGION_WRITE);
	} else if (cmd == VFIO_USER_DEVICE_RESET) {
		add_line(s, "reset\n");
	} else {
		add_line(s, "command %u\n", cmd);
	}
}

/* Config space is read by dwords for that. */
static bool
is_comparison(const struct vuc_loopback_msg *request, uint16_t cmd)
{
	struct vfio_user_region_access access;

	if (cmd != VFIO_USER_REGION_READ)
		return false;
	fake_server_body(request, &access, sizeof(access));
	return access.region == VFIO_PCI_CONFIG_REGION_INDEX && access.count == 4;
}

/* A fake_deviate_fn: sees all, and refuses one. */
static int
see_message(void *arg, const struct vuc_loopback_msg *request, struct vuc_loopback_msg *message)
{
	struct restore_server *s = arg;
	struct vfio_user_header header;

	memcpy(&header, request->bytes, sizeof(header));
	if (header.cmd <= VFIO_USER_DEVICE_GET_IRQ_INFO && header.cmd != VFIO_USER_DMA_MAP &&
		header.cmd != VFIO_USER_DMA_UNMAP)
		return 0;
	if (is_comparison(request, header.cmd))
		return 0;
	log_message(s, request, header.cmd);
	if (++s->logged != s->refuse_nth)
		return 0;
	header.flags = VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR;
	header.error_no = EIO;
	header.msg_size = sizeof(header);
	memcpy(message->bytes, &header, sizeof(header));
	message->len = sizeof(header);
	return 0;
}

/* A fake_command_fn. */
static int
answer(void *arg, const struct vuc_loopback_msg *request, const struct vfio_user_header *header,
	struct fake_reply *reply)
{
	(void)arg;
	if (header->cmd != VFIO_USER_DMA_UNMAP)
		return 0;
	reply->len = sizeof(struct vfio_user_dma_unmap);
	fake_server_body(request, reply->body, reply->len);
	return 0;
}

static void
put_long(uint8_t *config, size_t at, uint32_t value)
{
	memcpy(config + at, &value, sizeof(value));
}

/* An NVMe controller with power management, MSI, MSI-X, PCI Express and a vendor's capability. */
static void
init_config(uint8_t *config)
{
	put_long(config, PCI_VENDOR_ID, 0x00111b36);
	put_long(config, PCI_COMMAND, PCI_STATUS_CAP_LIST << 16);
	put_long(config, PCI_CLASS_REVISION, 0x01080203);
	put_long(config, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_64);
	put_long(config, PCI_SUBSYSTEM_VENDOR_ID, 0x33224455);
	config[PCI_CAPABILITY_LIST] = 0x40;
	config[PCI_INTERRUPT_PIN] = 1;
	put_long(config, 0x40, 0x0003 << 16 | 0x50 << 8 | PCI_CAP_ID_PM);
	put_long(config, 0x50, 0x0080 << 16 | 0x70 << 8 | PCI_CAP_ID_MSI);
	put_long(config, 0x70, 7 << 16 | 0x80 << 8 | PCI_CAP_ID_MSIX);
	put_long(config, 0x74, PAGE);
	put_long(config, 0x78, PAGE + 0x800);
	put_long(config, 0x80, 0x0002 << 16 | 0xc0 << 8 | PCI_CAP_ID_EXP);
	put_long(config, 0x84, PCI_EXP_DEVCAP_FLR);
	put_long(config, 0xc0, 0x10 << 16 | 0x00 << 8 | PCI_CAP_ID_VNDR);
}

void
restore_server_init(struct restore_server *s)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const uint32_t irq = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE;

	*s = (struct restore_server){0};
	s->fake.max_msg_fds = 4;
	s->fake.flags = VFIO_DEVICE_FLAGS_RESET;
	s->fake.command = answer;
	s->fake.deviate = see_message;
	s->fake.arg = s;
	s->fake.regions[0] = (struct fake_region){.size = sizeof(s->bar),
		.flags = rw | VFIO_REGION_INFO_FLAG_MMAP,
		.nr_areas = 1,
		.areas = {{.size = PAGE}},
		.nr_fds = 1,
		.fds = {memory_fd},
		.bytes = s->bar};
	s->fake.regions[VFIO_PCI_CONFIG_REGION_INDEX] =
		(struct fake_region){.size = sizeof(s->config), .flags = rw, .bytes = s->config};
	s->fake.irqs[VFIO_PCI_INTX_IRQ_INDEX] = (struct fake_irq){.count = 1, .flags = irq};
	s->fake.irqs[VFIO_PCI_MSI_IRQ_INDEX] = (struct fake_irq){
		.count = 4, .flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE};
	s->fake.irqs[VFIO_PCI_MSIX_IRQ_INDEX] = (struct fake_irq){.count = 8, .flags = irq};
	s->fake.irqs[VFIO_PCI_ERR_IRQ_INDEX] = (struct fake_irq){.count = 1, .flags = irq};
	init_config(s->config);
}

static void
restore_server_clear(struct restore_server *s)
{
	for (unsigned int i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		for (unsigned int k = 0; k < 8; k++) {
			if (s->eventfds[i][k] > 0)
				close(s->eventfds[i][k]);
			s->eventfds[i][k] = 0;
		}
	}
}

void
renew_fresh(void)
{
	restore_server_clear(&fresh);
	restore_server_init(&fresh);
}

/* ---- the device ---- */

static struct vuc_device *
open_server(struct restore_server *s)
{
	struct vuc_device_opts opts;
	struct vuc_device *dev;
	struct vuc_error err = {0};

	fake_server_opts(&s->fake, &opts);
	opts.group = group;
	if (vuc_device_open(&opts, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	s->log_len = 0;
	s->log[0] = '\0';
	s->logged = 0;
	s->fake.fault = (struct fake_fault){.nth = s->dies_at, .wrong = FAKE_CLOSE};
	return dev;
}

struct vuc_device *
open_fresh(void)
{
	return open_server(&fresh);
}

void
on_done(void *arg, int status, const struct vuc_error *err)
{
	struct job *job = arg;

	job->calls++;
	job->status = status;
	job->err = *err;
}

void
poll_often(void)
{
	for (unsigned int i = 0; i < NR_POLLS; i++)
		vuc_poll_group_poll(group);
}

int
await(struct job *job)
{
	while (job->calls == 0)
		vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job->calls, 1);
	return job->status;
}

static void
open_dut(void)
{
	const struct vuc_record_opts opts = {.recovers_nvme = true};
	struct job job = {0};

	restore_server_init(&old);
	restore_server_init(&fresh);
	dut = open_server(&old);
	CU_ASSERT_EQUAL_FATAL(vuc_device_record_start(dut, &opts, on_done, &job), 0);
	CU_ASSERT_EQUAL(await(&job), 0);
	old.log_len = 0;
	old.log[0] = '\0';
}

static void
close_dut(void)
{
	/* NULL: the test has closed it. */
	vuc_device_close(dut);
	dut = NULL;
	restore_server_clear(&old);
	restore_server_clear(&fresh);
}

void
set_up(void)
{
	struct vuc_poll_group_opts opts;

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = "loopback";
	memory_fd = memfd_create("memory", MFD_CLOEXEC);
	CU_ASSERT_FATAL(memory_fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(memory_fd, NR_PAGES * PAGE), 0);
	memory = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	CU_ASSERT_FATAL(memory != MAP_FAILED);
	for (unsigned int i = 0; i < NR_FDS; i++)
		eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&opts, &group, NULL), 0);
	open_dut();
}

void
tear_down(void)
{
	close_dut();
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	for (unsigned int i = 0; i < NR_FDS; i++)
		close(eventfds[i]);
	munmap(memory, NR_PAGES * PAGE);
	close(memory_fd);
}

void
next_row(const char *fmt, ...)
{
	char name[96];
	va_list args;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	vuc_tap_row("%s", name);
	close_dut();
	open_dut();
}

void
end_session(void)
{
	vuc_session_end(dut->session, -ECONNRESET, "the server closed the connection");
	device_mark_dirty(dut);
}

void
lose(void)
{
	end_session();
	poll_often();
	CU_ASSERT(vuc_device_is_away(dut));
	CU_ASSERT(!vuc_device_connected(dut));
}

void
begin_restore(const struct vuc_restore_opts *opts, uint32_t held, vuc_done_fn done, struct job *job)
{
	struct vuc_device *dev = open_fresh();

	fresh.fake.held = held;
	*job = (struct job){0};
	CU_ASSERT_EQUAL_FATAL(vuc_device_restore_start(dut, dev, opts, done, job, NULL), 0);
	vuc_device_close(dev);
}

int
restore(struct job *job)
{
	const struct vuc_restore_opts opts = {.reset = true};
	struct vuc_device *dev = open_fresh();
	struct vuc_error err = {0};
	struct job own = {0};
	int rc;

	job = job != NULL ? job : &own;
	*job = (struct job){0};
	rc = vuc_device_restore_start(dut, dev, &opts, on_done, job, &err);
	CU_ASSERT_EQUAL(job->calls, 0);
	CU_ASSERT_EQUAL(vuc_device_connected(dev), rc != 0);
	vuc_device_close(dev);
	if (rc == 0)
		await(job);
	else
		on_done(job, rc, &err);
	CU_ASSERT_EQUAL(vuc_device_connected(dut), job->status == 0);
	CU_ASSERT_EQUAL(vuc_device_is_away(dut), job->status != 0);
	CU_ASSERT_STRING_EQUAL(vuc_device_restore_step(dut), "");
	if (job->status != 0)
		printf("# %s\n", job->err.text);
	return job->status;
}

void
lose_and_restore(void)
{
	lose();
	CU_ASSERT_EQUAL(restore(NULL), 0);
}

int
map_pages(uint64_t iova, uint64_t page, uint64_t pages)
{
	const struct vuc_dma_mapping m = {
		.iova = iova,
		.size = pages * PAGE,
		.addr = memory + page * PAGE,
		.fd = memory_fd,
		.offset = page * PAGE,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE | VUC_DMA_MMAP,
	};

	return vuc_dma_map(dut, &m);
}

static int
commit(void)
{
	struct job job = {0};

	CU_ASSERT_EQUAL_FATAL(vuc_dma_commit_start(dut, on_done, &job), 0);
	CU_ASSERT_EQUAL(job.calls, 0);
	return await(&job);
}

int
map_and_commit(uint64_t iova, uint64_t page, uint64_t pages)
{
	int rc = map_pages(iova, page, pages);

	return rc != 0 ? rc : commit();
}

int
unmap_and_commit(uint64_t iova, uint64_t size)
{
	int rc = vuc_dma_unmap(dut, iova, size);

	return rc != 0 ? rc : commit();
}

int
assign(uint32_t index, uint32_t start, uint32_t count, enum vuc_irq_action action,
	unsigned int first_fd)
{
	const struct vuc_irq_range range = {.index = index, .start = start, .count = count};
	struct job job = {0};
	int rc = vuc_irq_assign_start(dut, &range, action, eventfds + first_fd, on_done, &job);

	return rc != 0 ? rc : await(&job);
}

int
write_region(uint32_t region, uint64_t offset, uint64_t value, uint32_t count)
{
	return vuc_device_write(dut, region, offset, &value, count);
}

void
expect_log(struct restore_server *s, const char *lines)
{
	bool as_expected = strcmp(s->log, lines) == 0;

	if (!as_expected)
		printf("# expected:\n%s# got:\n%s", lines, s->log);
	CU_ASSERT_TRUE(as_expected);
	s->log_len = 0;
	s->log[0] = '\0';
}

bool
reaches(const struct restore_server *s, uint32_t index, uint32_t vector, unsigned int fd)
{
	const uint64_t one = 1;
	uint64_t count = 0;

	if (s->eventfds[index][vector] <= 0 ||
		write(s->eventfds[index][vector], &one, sizeof(one)) != sizeof(one))
		return false;
	return read(eventfds[fd], &count, sizeof(count)) == sizeof(count) && count == 1;
}

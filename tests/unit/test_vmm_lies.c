/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Every way in which a daemon can break the rules of its replies. Each ends the connection with
 * -EPROTO and a reason, which later calls repeat, and leaves nothing behind.
 */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "fake_vucd.h"
#include "memfd.h"

enum how {
	SET,       /* a field, at offset, of width bytes, to value */
	FILL,      /* a text, so that it has no NUL */
	SIZE,      /* value more bytes are sent, the header says nothing of them */
	LONGER,    /* value more bytes, and the header says so */
	ADD_FD,    /* value more descriptors */
	DROP_FD,   /* without the last descriptor */
	SWAP_FD,   /* the descriptor at offset becomes something else: enum thing */
	REFUSE,    /* with the status in value */
	NO_END,    /* a refusal whose reason has no NUL */
	REFUSE_FD, /* a refusal with a descriptor */
	SILENCE,
	HANG_UP,
	TWICE,
};

enum thing {
	A_PIPE,
	A_SOCKET,
	A_FOLDER,
	AN_EVENTFD,
	SHORT_MEMORY,
	READ_ONLY_MEMORY,
	SOME_MEMORY,
	UNSEALED_MEMORY,
};

struct lie {
	unsigned int type;
	enum how how;
	size_t offset;
	size_t width;
	uint64_t value;
	const char *text;
	int rc; /* 0: -EPROTO */
};

#define AT(type, field) \
	offsetof(struct vuc_shm_##type, field), sizeof(((struct vuc_shm_##type *)NULL)->field)
#define AREA(i, field)                                                                     \
	offsetof(struct vuc_shm_region_reply, areas) + (i) * sizeof(struct vuc_shm_area) + \
		offsetof(struct vuc_shm_area, field),                                      \
		sizeof(((struct vuc_shm_area *)NULL)->field)
#define SUB(i, field)                                          \
	offsetof(struct vuc_shm_io_reply, sub_regions) +       \
		(i) * sizeof(struct vuc_shm_io_sub_region) +   \
		offsetof(struct vuc_shm_io_sub_region, field), \
		sizeof(((struct vuc_shm_io_sub_region *)NULL)->field)
#define LISTED(field)                                                                          \
	offsetof(struct vuc_shm_list_reply, devices) + offsetof(struct vuc_shm_listed, field), \
		sizeof(((struct vuc_shm_listed *)NULL)->field)
#define BIG (UINT64_C(1) << 63)

static const struct lie lies[] = {
	/* Of the header, and of any reply. */
	{VUC_SHM_RESET, SET, AT(header, type), VUC_SHM_DETACH,
		"reply to RESET: type 11 instead of 10"},
	{VUC_SHM_RESET, SET, AT(header, flags), 0, "flags 0 instead of 1"},
	{VUC_SHM_RESET, SET, AT(header, flags), 3, "flags 3 instead of 1"},
	{VUC_SHM_RESET, SET, AT(header, size), 15, "size 15 instead of 16"},
	{VUC_SHM_RESET, SET, AT(header, size), UINT32_MAX, "size 4294967295 instead"},
	{VUC_SHM_RESET, SET, AT(header, sequence), 77, "sequence 77 instead of 3"},
	{VUC_SHM_RESET, SET, AT(header, status), 1, "status 1 instead of 0"},
	{VUC_SHM_RESET, SET, AT(header, status), (uint32_t)-4096, "status -4096"},
	{VUC_SHM_RESET, SET, AT(header, status), (uint32_t)-5, "size 16 instead of 256"},
	{VUC_SHM_RESET, SIZE, 0, 0, (uint64_t)-1, "bytes 15 instead of 16"},
	{VUC_SHM_RESET, SIZE, 0, 0, 1, "size 16 instead of 17"},
	{VUC_SHM_RESET, LONGER, 0, 0, 8, "size 24 instead of 16"},
	{VUC_SHM_RESET, LONGER, 0, 0, 4096, "more than 4096 bytes or 16 descriptors"},
	{VUC_SHM_RESET, ADD_FD, 0, 0, 1, "descriptors 1 instead of 0"},
	{VUC_SHM_RESET, ADD_FD, 0, 0, 17, "more than 4096 bytes or 16 descriptors"},
	{VUC_SHM_RESET, REFUSE, 0, 0, (uint32_t)-5, "because", -EIO},
	{VUC_SHM_RESET, NO_END, 0, 0, 0, "unterminated reason"},
	{VUC_SHM_RESET, REFUSE_FD, 0, 0, 0, "descriptors 1 instead of 0"},
	{VUC_SHM_RESET, SILENCE, 0, 0, 0, "no reply from the daemon to RESET within", -ETIMEDOUT},
	{VUC_SHM_RESET, HANG_UP, 0, 0, 0, "the daemon closed the connection", -ECONNRESET},
	/* Of the first two. */
	{VUC_SHM_HELLO, SET, AT(hello_reply, version), 1, "HELLO: invalid version: 1"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, version), 0, "invalid version: 0"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, reserved), 1, "invalid reserved: 1"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, pad), 4, "invalid reserved: 4"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, max_queues), 65, "invalid max_queues: 65"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, max_depth), 0, "invalid max_depth: 0"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, max_depth), 4097, "max_depth"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, max_data), 0, "invalid max_data: 0"},
	{VUC_SHM_HELLO, SET, AT(hello_reply, max_data), 1048577, "max_data"},
	{VUC_SHM_HELLO, ADD_FD, 0, 0, 1, "descriptors 1 instead of 0"},
	{VUC_SHM_HELLO, LONGER, 0, 0, 4, "size 44 instead of 40"},
	{VUC_SHM_HELLO, HANG_UP, 0, 0, 0, "the daemon closed the connection", -ECONNRESET},
	{VUC_SHM_HELLO, SILENCE, 0, 0, 0, "no reply from the daemon to HELLO", -ETIMEDOUT},
	{VUC_SHM_HELLO, TWICE, 0, 0, 0, "reply to ATTACH: type 1 instead of 2"},
	{VUC_SHM_ATTACH, SET, AT(attach_reply, flags), 2, "invalid flags: 2"},
	{VUC_SHM_ATTACH, SET, AT(attach_reply, generation), 0, "invalid generation: 0"},
	{VUC_SHM_ATTACH, SET, AT(attach_reply, pgsizes), 0, "invalid pgsizes: 0"},
	{VUC_SHM_ATTACH, SET, AT(attach_reply, num_regions), 65537, "num_regions"},
	{VUC_SHM_ATTACH, SET, AT(attach_reply, max_data), 0, "invalid max_data: 0"},
	{VUC_SHM_ATTACH, ADD_FD, 0, 0, 1, "descriptors 6 instead of 5"},
	{VUC_SHM_ATTACH, DROP_FD, 0, 0, 0, "descriptors 4 instead of 5"},
	{VUC_SHM_ATTACH, LONGER, 0, 0, 8, "reply to ATTACH: size 64 instead of 56"},
	{VUC_SHM_ATTACH, SWAP_FD, 0, 0, A_PIPE, "page of the state: the daemon's "},
	{VUC_SHM_ATTACH, SWAP_FD, 0, 0, A_FOLDER, "page of the state: the daemon's "},
	{VUC_SHM_ATTACH, SWAP_FD, 0, 0, SHORT_MEMORY, "has 15 bytes, not 72"},
	{VUC_SHM_ATTACH, SWAP_FD, 0, 0, UNSEALED_MEMORY, "not sealed against shrinking"},
	{VUC_SHM_ATTACH, SWAP_FD, 2, 0, UNSEALED_MEMORY, "page of the poller: the "},
	{VUC_SHM_ATTACH, SWAP_FD, 1, 0, AN_EVENTFD, "page of the bell: the daemon's "},
	{VUC_SHM_ATTACH, SWAP_FD, 1, 0, READ_ONLY_MEMORY, "bell: the daemon's memory cannot"},
	{VUC_SHM_ATTACH, SWAP_FD, 2, 0, A_SOCKET, "page of the poller: the daemon's "},
	{VUC_SHM_ATTACH, SWAP_FD, 3, 0, SOME_MEMORY, "the poller's kick: the daemon's "},
	{VUC_SHM_ATTACH, SWAP_FD, 3, 0, A_SOCKET, "the poller's kick: the daemon's "},
	{VUC_SHM_ATTACH, SWAP_FD, 4, 0, A_PIPE, "events of the device: the daemon's "},
	{VUC_SHM_ATTACH, SILENCE, 0, 0, 0, "no reply from the daemon to ATTACH", -ETIMEDOUT},
	{VUC_SHM_ATTACH, HANG_UP, 0, 0, 0, "the daemon closed the connection", -ECONNRESET},
	/* Of a region. */
	{VUC_SHM_REGION_INFO, SET, AT(region_reply, index), 1, "invalid index: 1"},
	{VUC_SHM_REGION_INFO, SET, AT(region_reply, size), 0, "size of an area"},
	{VUC_SHM_REGION_INFO, SET, AT(region_reply, nr_areas), 1, "size 112 instead of 80"},
	{VUC_SHM_REGION_INFO, SET, AT(region_reply, nr_areas), 3, "size 112 instead of 144"},
	{VUC_SHM_REGION_INFO, SET, AT(region_reply, nr_areas), 65, "invalid nr_areas: 65"},
	{VUC_SHM_REGION_INFO, SET, AT(region_reply, nr_fds), 2, "descriptors 1 instead of 2"},
	{VUC_SHM_REGION_INFO, SET, AT(region_reply, nr_fds), UINT32_MAX, "descriptors 1"},
	{VUC_SHM_REGION_INFO, ADD_FD, 0, 0, 1, "descriptors 2 instead of 1"},
	{VUC_SHM_REGION_INFO, DROP_FD, 0, 0, 0, "descriptors 0 instead of 1"},
	{VUC_SHM_REGION_INFO, SIZE, 0, 0, (uint64_t)-40, "size 112 instead of 72"},
	{VUC_SHM_REGION_INFO, LONGER, 0, 0, (uint64_t)-72, "size 40 instead of 48"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, offset), 1, "invalid offset of an area: 1"},
	{VUC_SHM_REGION_INFO, SET, AREA(1, offset), 0, "invalid offset of an area: 0"},
	{VUC_SHM_REGION_INFO, SET, AREA(1, offset), 0x4000, "size of an area"},
	{VUC_SHM_REGION_INFO, SET, AREA(1, offset), -(uint64_t)4096, "size of an area"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, size), 0, "invalid size of an area: 0"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, size), 4095, "invalid size of an area: 4095"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, size), BIG, "size of an area"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, file_offset), 1, "file_offset of an area"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, file_offset), 8192, "file_offset of an area"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, file_offset), -(uint64_t)4096, "file_offset"},
	{VUC_SHM_REGION_INFO, SET, AREA(0, file_offset), BIG, "file_offset of an area"},
	{VUC_SHM_REGION_INFO, SET, AREA(1, fd_index), 1, "invalid fd_index of an area: 1"},
	{VUC_SHM_REGION_INFO, SET, AREA(1, fd_index), UINT32_MAX, "fd_index of an area"},
	{VUC_SHM_REGION_INFO, SET, AREA(1, reserved), 1, "reserved of an area"},
	{VUC_SHM_REGION_INFO, SWAP_FD, 0, 0, A_PIPE, "file_offset of an area"},
	{VUC_SHM_REGION_INFO, SWAP_FD, 0, 0, SHORT_MEMORY, "file_offset of an area"},
	/* Of an IRQ index, and what is done with it. */
	{VUC_SHM_IRQ_INFO, SET, AT(irq_reply, index), 1, "IRQ_INFO: invalid index: 1"},
	{VUC_SHM_IRQ_INFO, SET, AT(irq_reply, reserved), 1, "invalid reserved: 1"},
	{VUC_SHM_IRQ_INFO, ADD_FD, 0, 0, 1, "descriptors 1 instead of 0"},
	{VUC_SHM_IRQ_INFO, LONGER, 0, 0, (uint64_t)-4, "size 28 instead of 32"},
	{VUC_SHM_SET_IRQS, SET, AT(irqs_reply, done), 0, "invalid done: 0"},
	{VUC_SHM_SET_IRQS, SET, AT(irqs_reply, done), 5, "invalid done: 5"},
	{VUC_SHM_SET_IRQS, SET, AT(irqs_reply, done), UINT32_MAX, "invalid done: "},
	{VUC_SHM_SET_IRQS, SET, AT(irqs_reply, reserved), 1, "invalid reserved: 1"},
	{VUC_SHM_SET_IRQS, LONGER, 0, 0, 4, "size 28 instead of 24"},
	{VUC_SHM_SET_IRQS, ADD_FD, 0, 0, 1, "descriptors 1 instead of 0"},
	/* Of a queue. */
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, index), 64, "invalid index: 64"},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, index), 0, "invalid index: 0"},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, depth), 32, "invalid depth: 32"},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, max_data), 4160, "invalid max_data: "},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, max_data), 100, "invalid max_data: "},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, max_data), 0, "invalid max_data: 0"},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, reserved), 8, "invalid reserved: 8"},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, requests_size), 64, "requests_size"},
	{VUC_SHM_OPEN_QUEUE, SET, AT(queue_reply, completions_size), 0, "completions_size"},
	{VUC_SHM_OPEN_QUEUE, SWAP_FD, 0, 0, SHORT_MEMORY, "requests of a queue: "},
	{VUC_SHM_OPEN_QUEUE, SWAP_FD, 0, 0, A_FOLDER, "requests of a queue: "},
	{VUC_SHM_OPEN_QUEUE, SWAP_FD, 0, 0, READ_ONLY_MEMORY, "requests of a queue: "},
	{VUC_SHM_OPEN_QUEUE, SWAP_FD, 0, 0, UNSEALED_MEMORY,
		"requests of a queue: the daemon's memory is not sealed"},
	{VUC_SHM_OPEN_QUEUE, SWAP_FD, 1, 0, UNSEALED_MEMORY, "completions of a queue: "},
	{VUC_SHM_OPEN_QUEUE, SWAP_FD, 1, 0, SHORT_MEMORY, "completions of a queue: "},
	{VUC_SHM_OPEN_QUEUE, SWAP_FD, 1, 0, A_SOCKET, "completions of a queue: "},
	{VUC_SHM_OPEN_QUEUE, ADD_FD, 0, 0, 1, "descriptors 3 instead of 2"},
	{VUC_SHM_OPEN_QUEUE, DROP_FD, 0, 0, 0, "descriptors 1 instead of 2"},
	/* Of mappings. */
	{VUC_SHM_DMA, SET, AT(dma_reply, reserved), 1, "DMA: invalid reserved: 1"},
	{VUC_SHM_DMA, ADD_FD, 0, 0, 16, "descriptors 16 instead of 0"},
	{VUC_SHM_DMA, LONGER, 0, 0, (uint64_t)-8, "size 16 instead of 24"},
	/* Of descriptors of a region. */
	{VUC_SHM_IO_FDS, SET, AT(io_reply, nr), 2, "size 192 instead of 136"},
	{VUC_SHM_IO_FDS, SET, AT(io_reply, nr), 65, "invalid nr: 65"},
	{VUC_SHM_IO_FDS, SET, AT(io_reply, nr), UINT32_MAX, "invalid nr: "},
	{VUC_SHM_IO_FDS, SET, AT(io_reply, nr_fds), 1, "descriptors 2 instead of 1"},
	{VUC_SHM_IO_FDS, SET, SUB(1, type), 3, "invalid type of a sub-region: 3"},
	{VUC_SHM_IO_FDS, SET, SUB(0, offset), UINT64_MAX, "size of a sub-region"},
	{VUC_SHM_IO_FDS, SET, SUB(1, fd_index), 2, "fd_index of a sub-region"},
	{VUC_SHM_IO_FDS, SET, SUB(1, fd_index), (uint32_t)-2, "fd_index of a sub-region"},
	{VUC_SHM_IO_FDS, SET, SUB(1, shadow_fd_index), 2, "shadow_fd_index"},
	{VUC_SHM_IO_FDS, DROP_FD, 0, 0, 0, "descriptors 1 instead of 2"},
	{VUC_SHM_IO_FDS, TWICE, 0, 0, 0, "reply to RESET: type 9 instead of 10"},
	/* Of a list of devices. */
	{VUC_SHM_LIST, SET, AT(list_reply, nr), 57, "LIST: invalid nr: 57"},
	{VUC_SHM_LIST, SET, AT(list_reply, nr), 55, "LIST: size 4056 instead of 3984"},
	{VUC_SHM_LIST, SET, AT(list_reply, more), 65537, "LIST: invalid more: 65537"},
	{VUC_SHM_LIST, SET, LISTED(flags), 4, "LIST: invalid flags of a device: 4"},
	{VUC_SHM_LIST, SET, LISTED(reserved), 1, "LIST: invalid reserved of a device: 1"},
	{VUC_SHM_LIST, FILL, LISTED(name), 0, "LIST: invalid name of a device: 0"},
};

static int
make_thing(enum thing thing)
{
	char path[32];
	int fds[2] = {-1, -1};

	switch (thing) {
	case A_PIPE:
		CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
		break;
	case A_SOCKET:
		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		break;
	case A_FOLDER:
		fds[0] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	case AN_EVENTFD:
		fds[0] = eventfd(0, EFD_CLOEXEC);
		break;
	case SHORT_MEMORY:
		fds[0] = fake_memory(15);
		break;
	case SOME_MEMORY:
		fds[0] = fake_memory(4096);
		break;
	case UNSEALED_MEMORY:
		fds[0] = vuc_memfd_create("unsealed", 1 << 20, 0);
		break;
	case READ_ONLY_MEMORY:
		fds[1] = fake_memory(1 << 20);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
		fds[0] = open(path, O_RDONLY | O_CLOEXEC);
		break;
	}
	if (fds[1] >= 0)
		close(fds[1]);
	CU_ASSERT_FATAL(fds[0] >= 0);
	return fds[0];
}

static void
change_fds(const struct lie *lie, struct fake_reply *reply)
{
	if (lie->how == DROP_FD)
		close(reply->fds[--reply->nr_fds]);
	for (uint64_t i = 0; lie->how == ADD_FD && i < lie->value; i++)
		reply->fds[reply->nr_fds++] = make_thing(AN_EVENTFD);
	if (lie->how == SWAP_FD) {
		close(reply->fds[lie->offset]);
		reply->fds[lie->offset] = make_thing((enum thing)lie->value);
	}
}

static void
lie_refuse(const struct lie *lie, struct fake_reply *reply)
{
	fake_refuse(reply, &(int){lie->how == REFUSE ? lie->rc : -ENODEV});
	if (lie->how == NO_END)
		memset(reply->packet->failure.reason, 'x', VUC_SHM_REASON_SIZE);
	if (lie->how == REFUSE_FD)
		reply->fds[reply->nr_fds++] = make_thing(A_PIPE);
}

static void
twist(struct fake_reply *reply, void *arg)
{
	const struct lie *lie = arg;

	change_fds(lie, reply);
	if (lie->how == SET)
		memcpy(reply->packet->bytes + lie->offset, &lie->value, lie->width);
	if (lie->how == FILL)
		memset(reply->packet->bytes + lie->offset, 'x', lie->width);
	if (lie->how == REFUSE || lie->how == NO_END || lie->how == REFUSE_FD)
		lie_refuse(lie, reply);
	if (lie->how == SIZE || lie->how == LONGER)
		reply->size += lie->value;
	if (lie->how == LONGER)
		reply->packet->header.size = (uint32_t)reply->size;
	if (lie->how == SILENCE || lie->how == HANG_UP)
		reply->copies = 0;
	if (lie->how == TWICE)
		reply->copies = 2;
	reply->hang_up = lie->how == HANG_UP;
}

/* Call what sends a request of this type. */
static int
call(unsigned int type, struct vuc_error *why)
{
	const struct vuc_vmm_dma m = {
		.argsz = sizeof(m), .size = 4096, .flags = 3, .fd = fake.memory};
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 4};
	const struct vuc_vmm_region *region;
	struct vuc_vmm_io_fds *io = NULL;
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};
	struct vuc_queue *queue;
	int rc;

	switch (type) {
	case VUC_SHM_REGION_INFO:
		return vuc_vmm_region(dev, 0, &region, why);
	case VUC_SHM_IRQ_INFO:
		return vuc_vmm_irq(dev, 2, &irq, why);
	case VUC_SHM_OPEN_QUEUE:
		return vuc_vmm_open_queue(dev, NULL, &queue, why);
	case VUC_SHM_DMA:
		rc = vuc_vmm_dma_map(dev, &m, 1, why);
		return rc != 0 ? rc : vuc_vmm_dma_commit(dev, why);
	case VUC_SHM_SET_IRQS:
		return vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_TRIGGER, why);
	case VUC_SHM_IO_FDS:
		rc = vuc_vmm_io_fds(dev, 0, &io, why);
		vuc_vmm_io_fds_free(io);
		return rc;
	default:
		return vuc_vmm_reset(dev, why);
	}
}

/* All later calls say why, whatever they are. */
static void
expect_ended(const struct vuc_error *first)
{
	for (unsigned int type = VUC_SHM_REGION_INFO; type <= VUC_SHM_RESET; type++) {
		struct vuc_error why = {""};

		CU_ASSERT_EQUAL(call(type, &why), -ECONNRESET);
		CU_ASSERT_STRING_EQUAL(why.text, first->text);
	}
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_GONE);
}

/* In the first reply of two, or in the second. */
static int
lie_to_list(const struct lie *lie)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_list *list;
	int rc;

	fake_opts(&opts);
	fake_twist(VUC_SHM_LIST, (unsigned int)(lie - lies) % 2, twist, (void *)(uintptr_t)lie);
	rc = vuc_vmm_list(&opts, &list, &err);
	CU_ASSERT_PTR_NULL(list);
	return rc;
}

/* Returns what the call that is lied to returns. */
static int
lie_to_call(const struct lie *lie)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_queue *queue;
	int rc;

	if (lie->type == VUC_SHM_LIST)
		return lie_to_list(lie);
	if (lie->type == VUC_SHM_HELLO || lie->type == VUC_SHM_ATTACH) {
		fake_twist(lie->type, 0, twist, (void *)(uintptr_t)lie);
		fake_opts(&opts);
		opts.timeout_ms = lie->how == SILENCE ? 500 : opts.timeout_ms;
		rc = vuc_vmm_attach(&opts, &dev, &err);
		CU_ASSERT_PTR_NULL(dev);
		return rc;
	}
	fake_attach(lie->how == SILENCE ? 500 : 0);
	if (lie->type == VUC_SHM_OPEN_QUEUE)
		CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
	fake_twist(lie->type, 0, twist, (void *)(uintptr_t)lie);
	rc = call(lie->type, &err);
	/* A reply too many is not seen before the next call. */
	return lie->how == TWICE ? call(VUC_SHM_RESET, &err) : rc;
}

static void
lie_tell(const struct lie *lie)
{
	char pattern[sizeof(err.text)];

	vuc_tap_row("lie %td", lie - lies);
	fake_start();
	/* What is said of a list has no more behind it. */
	snprintf(
		pattern, sizeof(pattern), "*%s%s", lie->text, lie->type == VUC_SHM_LIST ? "" : "*");
	CU_ASSERT(fake_failed(lie_to_call(lie), lie->rc != 0 ? lie->rc : -EPROTO, pattern));
	if (dev != NULL && lie->how != REFUSE)
		expect_ended(&err);
	fake_stop();
}

/* Types of requests whose replies are tested together. */
static const struct chapter {
	const char *name;
	unsigned int first, last;
} chapters[] = {
	{"attaching", VUC_SHM_HELLO, VUC_SHM_ATTACH},
	{"regions and IRQ indexes", VUC_SHM_REGION_INFO, VUC_SHM_IRQ_INFO},
	{"queues", VUC_SHM_OPEN_QUEUE, VUC_SHM_CLOSE_QUEUE},
	{"DMA and interrupts", VUC_SHM_DMA, VUC_SHM_SET_IRQS},
	{"descriptors of regions", VUC_SHM_IO_FDS, VUC_SHM_IO_FDS},
	{"any reply", VUC_SHM_RESET, VUC_SHM_DETACH},
	{"lists that cannot be", VUC_SHM_LIST, VUC_SHM_LIST},
};

static void
lies_tell(const void *arg)
{
	const struct chapter *chapter = arg;

	for (size_t i = 0; i < NR(lies); i++) {
		if (lies[i].type >= chapter->first && lies[i].type <= chapter->last)
			lie_tell(&lies[i]);
	}
}

const struct tap_suite tap_suite = {"vmm", .rows = TAP_ROWS(chapters, lies_tell)};

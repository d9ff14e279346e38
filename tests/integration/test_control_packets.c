/* SPDX-License-Identifier: BSD-3-Clause */

/* Every field of every request, at its bounds and past them: taken, refused, or the end of the
 * connection, and in what words. */

#include <sys/eventfd.h>
#include <sys/resource.h>

#include "rig.h"

#define LAST_PAGE (-(uint64_t)PAGE) /* of the address space */

/* Requests that are right as they are. */
enum base {
	HELLO,
	LIST,
	ATTACH,
	REGION_INFO,
	IRQ_INFO,
	OPEN_QUEUE,
	CLOSE_QUEUE, /* the one that is open */
	DMA_NONE,    /* no entries */
	DMA_MAP,
	DMA_UNMAP, /* of what is mapped */
	DMA_UNMAP_ALL,
	IRQ_TRIGGER, /* MSI-X vectors 0 and 1 */
	IRQ_SOME,    /* vector 1 */
	IRQ_EVENT,   /* for vector 1 */
	IRQ_DISABLE,
	IO_FDS,
	RESET,
	DETACH,
};

#define HEADER(field, value) RIG_CHANGE(vuc_shm_header, field, (uint64_t)(value))
#define HELLO_(field, value) RIG_CHANGE(vuc_shm_hello, field, value)
#define INDEX(field, value)  RIG_CHANGE(vuc_shm_index, field, value)
#define QUEUE(field, value)  RIG_CHANGE(vuc_shm_open_queue, field, value)
#define DMA(field, value)    RIG_CHANGE(vuc_shm_dma, field, value)
#define ENTRY(field, value)  RIG_CHANGE(vuc_shm_dma, entries[0].field, (uint64_t)(value))
#define IRQS(field, value)   RIG_CHANGE(vuc_shm_set_irqs, field, value)
#define WHICH(n, value)      RIG_CHANGE(vuc_shm_set_irqs, which[n], value)

/* What a row changes beside fields: bytes at the end, and descriptors. */
struct row {
	enum base base;
	struct rig_change change[3];
	int bytes;
	int fds;
	int verdict;      /* status of the reply, or SHM_GONE */
	const char *text; /* in the reason, or in the log */
};

#define ENDS(words)    .verdict = SHM_GONE, .text = words /* the connection */
#define REFUSED(words) .verdict = -EINVAL, .text = words

static const struct row rows[] = {
	/* The header, which is the same for all. */
	{RESET, {HEADER(type, 0)}, ENDS("unknown type 0")},
	{RESET, {HEADER(type, 13)}, ENDS("unknown type 13")},
	{RESET, {HEADER(flags, 1)}, ENDS("RESET: flags 0x1")},
	{RESET, {HEADER(flags, 0x8000)}, ENDS("RESET: flags 0x8000")},
	{RESET, {HEADER(size, 15)}, ENDS("size 15, received 16 bytes")},
	{RESET, {HEADER(size, 17)}, ENDS("size 17, received 16 bytes")},
	{RESET, {HEADER(status, 1)}, ENDS("RESET: status 1")},
	{RESET, {HEADER(status, -1)}, ENDS("RESET: status -1")},
	{RESET, {HEADER(sequence, 2)}, ENDS("sequence 2 after 2")},
	{RESET, {HEADER(sequence, 4)}, ENDS("sequence 4 after 2")},

	/* Lengths and descriptors of those that are always the same, of which the hostile suites
	 * have all. */
	{HELLO, .bytes = -1, ENDS("HELLO: 95 bytes")},
	{ATTACH, .bytes = 1, ENDS("ATTACH: 81 bytes")},
	{IO_FDS, .fds = 1, ENDS("IO_FDS: 1 unexpected descriptors")},
	{RESET, .bytes = -1, ENDS("a packet of 15 bytes")},
	{RESET, .bytes = 1, ENDS("RESET: 17 bytes")},
	{RESET, .fds = 1, ENDS("RESET: 1 unexpected descriptors")},
	{RESET, .fds = VUC_SHM_MAX_FDS, ENDS("RESET: 16 unexpected descriptors")},
	{RESET, .fds = VUC_SHM_MAX_FDS + 1, ENDS("more than 16 descr")},
	{DETACH, .bytes = 1, ENDS("DETACH: 17 bytes")},
	{DETACH, .fds = 1, ENDS("DETACH: 1 unexpected descriptors")},
	{RESET},
	{DETACH},

	{HELLO},
	{HELLO, {HELLO_(magic, VUC_SHM_MAGIC - 1)}, ENDS("HELLO: magic 0x314d4853435555ff")},
	{HELLO, {HELLO_(magic, VUC_SHM_MAGIC + 1)}, ENDS("HELLO: magic 0x314d485343555601")},
	{HELLO, {HELLO_(version_min, 0)}, ENDS("versions 0 to 2")},
	{HELLO, {HELLO_(version_min, 3)}, ENDS("versions 3 to 2")},
	{HELLO, {HELLO_(version_max, 0)}, ENDS("versions 2 to 0")},
	{HELLO, {HELLO_(version_max, UINT16_MAX)}},
	{HELLO, {HELLO_(version_min, 3), HELLO_(version_max, 4)}, .verdict = -EPROTONOSUPPORT,
		.text = "the VMM supports versions 3 to 4 of the protocol, the daemon version 2"},
	{HELLO, {HELLO_(version_min, 1), HELLO_(version_max, 1)}, .verdict = -EPROTONOSUPPORT,
		.text = "the VMM supports versions 1 to 1 of the protocol, the daemon version 2"},
	{HELLO, {HELLO_(reserved, 1)}, ENDS("HELLO: reserved is 0x1")},
	{HELLO, {HELLO_(name, 'x')}, ENDS("HELLO: unterminated name")},
	{HELLO, {HELLO_(name, 'x'), HELLO_(name[VUC_SHM_NAME_SIZE - 1], 0)}},

	{LIST},
	{LIST, {RIG_CHANGE(vuc_shm_list, first, UINT32_MAX)}},
	{LIST, {RIG_CHANGE(vuc_shm_list, reserved, 1)}, ENDS("LIST: reserved is 0x1")},
	{LIST, .bytes = -1, ENDS("LIST: 23 bytes")},
	{LIST, .bytes = 1, ENDS("LIST: 25 bytes")},
	{LIST, .fds = 1, ENDS("LIST: 1 unexpected descriptors")},

	{ATTACH},
	{ATTACH, {RIG_CHANGE(vuc_shm_attach, name[0], 0)}, .verdict = -ENOENT,
		.text = "there is no device "},
	{ATTACH, {RIG_CHANGE(vuc_shm_attach, name, 'x')}, ENDS("ATTACH: unterminated name")},
	{ATTACH,
		{RIG_CHANGE(vuc_shm_attach, name, 'x'),
			RIG_CHANGE(vuc_shm_attach, name[VUC_SHM_NAME_SIZE - 1], 0)},
		.verdict = -ENOENT, .text = "there is no device xxx"},

	{REGION_INFO, {INDEX(index, VFIO_PCI_NUM_REGIONS - 1)}},
	{REGION_INFO, {INDEX(index, UINT32_MAX)}, REFUSED("there is no region 4294967295")},
	{REGION_INFO, {INDEX(reserved, 1)}, ENDS("REGION_INFO: reserved")},
	{IRQ_INFO, {INDEX(index, VFIO_PCI_NUM_IRQS - 1)}},
	{IRQ_INFO, {INDEX(index, VFIO_PCI_NUM_IRQS)}, REFUSED("there is no IRQ index 5")},
	{IRQ_INFO, {INDEX(index, UINT32_MAX)}, REFUSED("there is no IRQ index 4294967295")},
	{IRQ_INFO, {INDEX(reserved, 1)}, ENDS("IRQ_INFO: reserved")},
	{IO_FDS, {INDEX(index, UINT32_MAX)}, .verdict = -EINVAL},
	{IO_FDS, {INDEX(reserved, 1)}, ENDS("IO_FDS: reserved")},

	{OPEN_QUEUE, {QUEUE(depth, 0)}, REFUSED("a queue of depth 0")},
	{OPEN_QUEUE, {QUEUE(depth, 1)}},
	{OPEN_QUEUE, {QUEUE(depth, 4096), QUEUE(max_data, 65536)}, .verdict = -ENOSPC},
	{OPEN_QUEUE, {QUEUE(depth, 3)}, REFUSED("a queue of depth 3")},
	{OPEN_QUEUE, {QUEUE(depth, VUC_SHM_MAX_DEPTH)}},
	{OPEN_QUEUE, {QUEUE(depth, VUC_SHM_MAX_DEPTH + 1)}, REFUSED("a queue of depth 4097")},
	{OPEN_QUEUE, {QUEUE(depth, VUC_SHM_MAX_DEPTH * 2)}, REFUSED("a queue of depth 8192")},
	{OPEN_QUEUE, {QUEUE(depth, UINT64_C(1) << 31)}, REFUSED("a queue of depth 2147483648")},
	{OPEN_QUEUE, {QUEUE(max_data, 0)}, REFUSED("with 0 bytes")},
	{OPEN_QUEUE, {QUEUE(max_data, VUC_SHM_SLOT_SIZE - 1)}, REFUSED("with 63 bytes")},
	{OPEN_QUEUE, {QUEUE(max_data, VUC_SHM_SLOT_SIZE)}},
	{OPEN_QUEUE, {QUEUE(max_data, VUC_SHM_SLOT_SIZE + 1)}, REFUSED("with 65 bytes")},
	{OPEN_QUEUE, {QUEUE(max_data, VUC_SHM_MAX_DATA)}},
	{OPEN_QUEUE, {QUEUE(max_data, VUC_SHM_MAX_DATA + VUC_SHM_SLOT_SIZE)},
		REFUSED("with 1048640 bytes")},

	{CLOSE_QUEUE},
	{CLOSE_QUEUE, {INDEX(index, 1)}, REFUSED("there is no queue 1")},
	{CLOSE_QUEUE, {INDEX(index, VUC_SHM_MAX_QUEUES - 1)}, REFUSED("there is no queue 63")},
	{CLOSE_QUEUE, {INDEX(index, VUC_SHM_MAX_QUEUES)}, REFUSED("there is no queue 64")},
	{CLOSE_QUEUE, {INDEX(index, UINT32_MAX)}, REFUSED("there is no queue 4294967295")},
	{CLOSE_QUEUE, {INDEX(reserved, 1)}, ENDS("CLOSE_QUEUE: reserved")},

	{DMA_NONE},
	{DMA_NONE, .bytes = -1, ENDS("DMA: 31 bytes")},
	{DMA_NONE, .bytes = 1, ENDS("DMA: 0 entries in 33 bytes")},
	{DMA_NONE, {DMA(nr, 1)}, ENDS("DMA: 1 entries in 32 bytes")},
	{DMA_NONE, {DMA(nr, UINT32_MAX)}, ENDS("4294967295 entries")},
	{DMA_NONE, {DMA(nr, VUC_SHM_MAX_DMA)}, .bytes = VUC_SHM_MAX_DMA * 40,
		ENDS("DMA: entry 0: unknown op 0")},
	{DMA_NONE, {DMA(nr, VUC_SHM_MAX_DMA + 1)}, .bytes = (VUC_SHM_MAX_DMA + 1) * 40,
		ENDS("DMA: 2632 bytes")},
	{DMA_NONE, {DMA(nr_fds, 1)}, ENDS("nr_fds 1, received 0 descr")},
	{DMA_NONE, {DMA(nr_fds, 1)}, .fds = 1, ENDS("1 descriptors, but those used are 0x0")},
	{DMA_NONE, {DMA(nr_fds, UINT32_MAX)}, ENDS("nr_fds 4294967295")},
	{DMA_NONE, {DMA(flags, 0)}},
	{DMA_NONE, {DMA(flags, 2)}, ENDS("DMA: flags 0x2")},
	{DMA_NONE, {DMA(reserved, 1)}, ENDS("reserved 0x1")},

	{DMA_MAP},
	{DMA_MAP, .fds = 1, ENDS("nr_fds 1, received 2 descriptors")},
	{DMA_MAP, {DMA(nr_fds, 2)}, .fds = 1, ENDS("2 descriptors, but those used are 0x1")},
	{DMA_MAP, .fds = -1, ENDS("nr_fds 1, received 0 descriptors")},
	{DMA_MAP, {ENTRY(op, 0)}, ENDS("entry 0: unknown op 0")},
	{DMA_MAP, {ENTRY(op, 4)}, ENDS("entry 0: unknown op 4")},
	{DMA_MAP, {ENTRY(reserved, 1)}, ENDS("a reserved field")},
	{DMA_MAP, {ENTRY(pad, 1)}, ENDS("a reserved field")},
	{DMA_MAP, {ENTRY(flags, 0)}, .verdict = -EINVAL},
	{DMA_MAP, {ENTRY(flags, 1)}},
	{DMA_MAP, {ENTRY(flags, 2)}},
	{DMA_MAP, {ENTRY(flags, 4)}, ENDS("entry 0: unknown flags 0x4")},
	{DMA_MAP, {ENTRY(iova, 1)}, .verdict = -EINVAL},
	{DMA_MAP, {ENTRY(iova, LAST_PAGE - PAGE)}},
	{DMA_MAP, {ENTRY(iova, LAST_PAGE)}, REFUSED("of the address space")},
	{DMA_MAP, {ENTRY(size, 0)}, .verdict = -EINVAL},
	{DMA_MAP, {ENTRY(size, 1)}, .verdict = -EINVAL},
	{DMA_MAP, {ENTRY(size, 2 * PAGE)}},
	{DMA_MAP, {ENTRY(size, 3 * PAGE)}, REFUSED("beyond the end")},
	{DMA_MAP, {ENTRY(size, UINT64_MAX)}, REFUSED("beyond the end")},
	{DMA_MAP, {ENTRY(offset, PAGE)}},
	{DMA_MAP, {ENTRY(offset, 2 * PAGE)}, REFUSED("beyond the end")},
	{DMA_MAP, {ENTRY(offset, LAST_PAGE)}, REFUSED("beyond the end")},
	{DMA_MAP, {ENTRY(offset, UINT64_MAX)}, REFUSED("beyond the end")},
	{DMA_MAP, {ENTRY(fd_index, -1)}, ENDS("fd_index -1 of 1")},
	{DMA_MAP, {ENTRY(fd_index, 1)}, ENDS("fd_index 1 of 1")},
	{DMA_MAP, {ENTRY(fd_index, INT32_MAX)}, ENDS("fd_index 2147483647")},

	{DMA_UNMAP},
	{DMA_UNMAP, {ENTRY(flags, 1)}, ENDS("entry 0: flags 0x1")},
	{DMA_UNMAP, {ENTRY(offset, PAGE)}, ENDS("offset 0x1000")},
	{DMA_UNMAP, {ENTRY(fd_index, 0)}, ENDS("fd_index 0 of an unmap")},
	{DMA_UNMAP, {ENTRY(reserved, 1)}, ENDS("a reserved field")},
	{DMA_UNMAP, {ENTRY(size, 0)}, .verdict = -EINVAL},
	{DMA_UNMAP, {ENTRY(iova, 8 * PAGE)}, .verdict = -ENOENT},
	{DMA_UNMAP, {ENTRY(flags, VUC_SHM_DMA_IF_MAPPED)}},
	{DMA_UNMAP, {ENTRY(flags, VUC_SHM_DMA_IF_MAPPED), ENTRY(iova, 8 * PAGE)}},
	{DMA_UNMAP, {ENTRY(flags, VUC_SHM_DMA_IF_MAPPED), ENTRY(size, 0)}, .verdict = -EINVAL},
	{DMA_UNMAP_ALL},
	{DMA_UNMAP_ALL, {ENTRY(iova, 1)}, ENDS("a range of UNMAP_ALL")},
	{DMA_UNMAP_ALL, {ENTRY(size, 1)}, ENDS("a range of UNMAP_ALL")},
	{DMA_UNMAP_ALL, {ENTRY(flags, 1)}, ENDS("entry 0: flags 0x1")},
	{DMA_UNMAP_ALL, {ENTRY(flags, VUC_SHM_DMA_IF_MAPPED)}, ENDS("entry 0: flags 0x4")},
	{DMA_UNMAP_ALL, {ENTRY(pad, 1)}, ENDS("a reserved field")},

	{IRQ_EVENT},
	{IRQ_EVENT, {IRQS(index, VFIO_PCI_NUM_IRQS)}, REFUSED("there is no IRQ index 5")},
	{IRQ_EVENT, {IRQS(index, UINT32_MAX)}, REFUSED("there is no IRQ index 4294967295")},
	{IRQ_EVENT, {IRQS(start, 2046)}, .verdict = -EINVAL},
	{IRQ_EVENT, {IRQS(start, UINT32_MAX)}, .verdict = -EINVAL},
	{IRQ_EVENT, {IRQS(count, 1)}, ENDS("1 interrupts in 34 bytes")},
	{IRQ_EVENT, {IRQS(count, 3)}, ENDS("3 interrupts in 34 bytes")},
	{IRQ_EVENT, {IRQS(action, VUC_SHM_IRQ_DISABLE + 1)}, ENDS("unknown action 4")},
	{IRQ_EVENT, {IRQS(data, VUC_SHM_IRQ_EVENT + 1)}, ENDS("unknown action 0 with data 3")},
	{IRQ_EVENT, {WHICH(1, 2)}, ENDS("neither 0 nor 1")},
	{IRQ_EVENT, {WHICH(1, 255)}, ENDS("neither 0 nor 1")},
	{IRQ_EVENT, {WHICH(0, 1)}, ENDS("1 descriptors, expected 2")},
	{IRQ_EVENT, {WHICH(0, 1)}, .fds = 1},
	{IRQ_EVENT, .fds = 1, ENDS("2 descriptors, expected 1")},
	{IRQ_EVENT, .fds = -1, ENDS("0 descriptors, expected 1")},
	{IRQ_EVENT, .bytes = 1, ENDS("2 interrupts in 35 bytes")},
	{IRQ_SOME},
	{IRQ_SOME, {WHICH(0, 2)}, ENDS("neither 0 nor 1")},
	{IRQ_SOME, .fds = 1, ENDS("1 descriptors, expected 0")},
	{IRQ_SOME, .bytes = -1, ENDS("2 interrupts in 33 bytes")},
	{IRQ_TRIGGER},
	{IRQ_TRIGGER, {IRQS(start, REFDEV_MSIX_VECTORS - 1)}, .verdict = -EINVAL},
	{IRQ_TRIGGER, {IRQS(count, 0)}, ENDS("SET_IRQS: count 0")},
	{IRQ_TRIGGER, {IRQS(count, VUC_SHM_MAX_IRQS)}, .verdict = -EINVAL},
	{IRQ_TRIGGER, {IRQS(count, VUC_SHM_MAX_IRQS + 1)}, ENDS("SET_IRQS: count 2049")},
	{IRQ_TRIGGER, {IRQS(count, UINT32_MAX)}, ENDS("SET_IRQS: count 4294967295")},
	{IRQ_TRIGGER, .bytes = 1, ENDS("2 interrupts in 33 bytes")},
	{IRQ_TRIGGER, .bytes = -1, ENDS("SET_IRQS: 31 bytes")},
	{IRQ_TRIGGER, .bytes = VUC_SHM_MAX_IRQS + 1, ENDS("SET_IRQS: 2081 bytes")},
	{IRQ_TRIGGER, .fds = 1, ENDS("1 descriptors, expected 0")},
	{IRQ_DISABLE},
	{IRQ_DISABLE, {IRQS(start, 1)}, ENDS("start 1, count 0, data 0 of")},
	{IRQ_DISABLE, {IRQS(count, 1)}, ENDS("start 0, count 1, data 0 of")},
	{IRQ_DISABLE, {IRQS(data, 1)}, ENDS("start 0, count 0, data 1 of")},
	{IRQ_DISABLE, {IRQS(data, 2)}, ENDS("start 0, count 0, data 2 of")},
	{IRQ_DISABLE, {IRQS(index, VFIO_PCI_NUM_IRQS)}, REFUSED("there is no IRQ index 5")},
};

#define ROWS_AT_ONCE 20u

static enum vuc_shm_type
type_of(enum base base)
{
	static const enum vuc_shm_type types[] = {
		[HELLO] = VUC_SHM_HELLO,
		[LIST] = VUC_SHM_LIST,
		[ATTACH] = VUC_SHM_ATTACH,
		[REGION_INFO] = VUC_SHM_REGION_INFO,
		[IRQ_INFO] = VUC_SHM_IRQ_INFO,
		[OPEN_QUEUE] = VUC_SHM_OPEN_QUEUE,
		[CLOSE_QUEUE] = VUC_SHM_CLOSE_QUEUE,
		[DMA_NONE] = VUC_SHM_DMA,
		[DMA_MAP] = VUC_SHM_DMA,
		[DMA_UNMAP] = VUC_SHM_DMA,
		[DMA_UNMAP_ALL] = VUC_SHM_DMA,
		[IRQ_TRIGGER] = VUC_SHM_SET_IRQS,
		[IRQ_SOME] = VUC_SHM_SET_IRQS,
		[IRQ_EVENT] = VUC_SHM_SET_IRQS,
		[IRQ_DISABLE] = VUC_SHM_SET_IRQS,
		[IO_FDS] = VUC_SHM_IO_FDS,
		[RESET] = VUC_SHM_RESET,
		[DETACH] = VUC_SHM_DETACH,
	};

	return types[base];
}

/* A right request with so many descriptors, all of which are fd. */
static struct shm_request
make(enum base base, int fd, unsigned int *nr_fds)
{
	struct shm_request r = shm_request(type_of(base), RIG_NAME, fd);
	struct vuc_shm_dma *dma = &r.packet.dma;
	struct vuc_shm_dma_entry *e = &dma->entries[0];
	struct vuc_shm_set_irqs *irqs = &r.packet.set_irqs;

	*nr_fds = base == DMA_MAP || base == IRQ_EVENT;
	if (base == DMA_NONE) {
		*e = (struct vuc_shm_dma_entry){.op = 0};
		dma->nr = dma->nr_fds = 0;
		r.len = sizeof(*dma);
	} else if (base == DMA_UNMAP || base == DMA_UNMAP_ALL) {
		*e = (struct vuc_shm_dma_entry){
			.op = VUC_SHM_DMA_UNMAP, .size = PAGE, .fd_index = -1};
		if (base == DMA_UNMAP_ALL) {
			e->op = VUC_SHM_DMA_UNMAP_ALL;
			e->size = 0;
		}
		dma->nr_fds = 0;
	} else if (base == IRQ_SOME) {
		irqs->data = VUC_SHM_IRQ_SOME;
	} else if (base == IRQ_TRIGGER || base == IRQ_DISABLE) {
		irqs->data = VUC_SHM_IRQ_ALL;
		irqs->which[1] = 0;
		r.len = sizeof(*irqs);
		if (base == IRQ_DISABLE) {
			irqs->action = VUC_SHM_IRQ_DISABLE;
			irqs->count = 0;
		}
	}
	return r;
}

/* As far as the request needs it. */
static void
reach(struct shm_client *c, enum base base)
{
	struct shm_queue q;

	rig_reach(c, type_of(base));
	if (base == CLOSE_QUEUE) {
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(c, 4, 64, &q), 0);
		shm_forget_queue(&q);
	}
	if (base == DMA_UNMAP)
		CU_ASSERT_EQUAL_FATAL(shm_dma_map(c, 0, PAGE, 0, VUC_SHM_DMA_READ, rig.memory), 0);
}

static int
packet_ask(struct shm_client *c, const struct row *row)
{
	int fd = type_of(row->base) == VUC_SHM_DMA ? rig.memory : rig.irq;
	int fds[VUC_SHM_MAX_FDS + 1];
	unsigned int nr_fds;
	struct shm_request r = make(row->base, fd, &nr_fds);

	for (unsigned int i = 0; i <= VUC_SHM_MAX_FDS; i++)
		fds[i] = fd;
	r.len = (size_t)((long)r.len + row->bytes);
	nr_fds = (unsigned int)((int)nr_fds + row->fds);
	shm_header(c, &r.packet.header, r.type, r.len);
	for (size_t i = 0; i < NR(row->change); i++)
		rig_change(&r.packet, &row->change[i]);
	CU_ASSERT_EQUAL(shm_send(c, &r.packet, r.len, fds, nr_fds), 0);
	if (shm_receive(c, RIG_WAIT_MS) != 0)
		return SHM_GONE;
	return c->reply.header.status;
}

static void
check_row(const struct row *row)
{
	const char *said = client.reply.failure.reason;
	int got;

	vuc_tap_row("row %zu: %s", (size_t)(row - rows), row->text != NULL ? row->text : "");
	reach(&client, row->base);
	got = packet_ask(&client, row);
	CU_ASSERT_EQUAL(got, row->verdict);
	if (row->text != NULL)
		CU_ASSERT_TRUE(got == SHM_GONE ? rig_has_logged(row->text)
					       : strstr(said, row->text) != NULL);
	if (got < 0 && got != row->verdict)
		printf("# %s\n", said);
	shm_close(&client);
	CU_ASSERT_TRUE_FATAL(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	rig_forget_log();
}

static const struct rig_opts two_pages = {.memory = 2 * PAGE};

/* Lines about VMMs are limited, so a daemon carries out some of the rows only. */
static void
test_fields(void)
{
	for (size_t i = 0; i < NR(rows); i++) {
		if (i % ROWS_AT_ONCE == 0)
			rig_start(&two_pages);
		check_row(&rows[i]);
	}
}

static int
lowest_free_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return fd;
}

/* A message whose descriptors find no room in the daemon ends its connection, and no other one. */
static void
test_no_room(void)
{
	static const struct row row = {DMA_MAP, .verdict = SHM_GONE,
		.text = "file descriptors were lost: the daemon is at its limit (RLIMIT_NOFILE)"};
	struct rlimit before, limit;

	rig_start(&two_pages);
	reach(&other_client, ATTACH);
	reach(&client, row.base);
	/* Answered once the daemon is done with whatever came before. */
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, 0), 0);
	/* The daemon is in this process; all descriptors below the lowest free one are in use. */
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)lowest_free_fd();
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CU_ASSERT_EQUAL(packet_ask(&client, &row), SHM_GONE);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
	CU_ASSERT_TRUE(rig_has_logged(row.text));
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(shm_attach(&other_client, RIG_NAME), 0);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"every field", test_fields},
		{"no room for descriptors", test_no_room},
	}};

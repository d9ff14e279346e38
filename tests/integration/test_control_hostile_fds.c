/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that send descriptors where none belong, too few, too many, and of anything. */

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "hostile.h"

#define KERNEL_MAX 253 /* descriptors of a message that the kernel takes */
#define FLOODS     200u

/* ---- how many ---- */

static void
fill_with(int *fds, int nr, int fd)
{
	for (int i = 0; i < nr; i++)
		fds[i] = fd;
}

/* Messages that have none, with some: one, as many as others may have, and more. */
static void
test_surplus(void)
{
	static const enum vuc_shm_type types[] = {VUC_SHM_HELLO, VUC_SHM_ATTACH,
		VUC_SHM_REGION_INFO, VUC_SHM_IRQ_INFO, VUC_SHM_OPEN_QUEUE, VUC_SHM_IO_FDS,
		VUC_SHM_CLOSE_QUEUE, VUC_SHM_RESET, VUC_SHM_DETACH};
	static const unsigned int numbers[] = {1, VUC_SHM_MAX_FDS, VUC_SHM_MAX_FDS + 1, KERNEL_MAX};
	int fds[KERNEL_MAX];

	hostile_start(NULL);
	fill_with(fds, KERNEL_MAX, rig.irq);
	for (size_t i = 0; i < NR(types); i++) {
		struct shm_request r = shm_request(types[i], RIG_NAME, -1);

		for (size_t n = 0; n < NR(numbers); n++) {
			rig_reach(&client, types[i]);
			CU_ASSERT_EQUAL(
				shm_call(&client, &r.packet, r.type, r.len, fds, numbers[n]),
				SHM_GONE);
			shm_close(&client);
		}
	}
}

/* How many a DMA message says, has, and uses. */
struct numbers {
	uint32_t said;
	unsigned int sent;
	int32_t used[2]; /* by its two entries */
};

static const struct numbers wrong_numbers[] = {
	{1, 0, {0, 0}},
	{0, 1, {0, 0}},
	{2, 1, {0, 1}},
	{1, 2, {0, 1}},
	{1, 1, {0, 1}},
	{1, 1, {0, -1}},
	{2, 2, {0, 0}},
	{2, 2, {1, 2}},
	{1, 1, {INT32_MIN, 0}},
	{1, 1, {INT32_MAX, 0}},
	{3, 3, {0, 2}},
	{17, 17, {0, 16}},
	{UINT32_MAX, 1, {0, 0}},
};

static void
test_dma_numbers(void)
{
	int fds[VUC_SHM_MAX_FDS + 1];

	hostile_start(NULL);
	fill_with(fds, VUC_SHM_MAX_FDS + 1, rig.memory);
	for (size_t i = 0; i < NR(wrong_numbers); i++) {
		const struct numbers *n = &wrong_numbers[i];
		union shm_packet p = {.bytes = {0}};

		p.dma.nr = 2;
		p.dma.nr_fds = n->said;
		for (unsigned int k = 0; k < 2; k++)
			p.dma.entries[k] = (struct vuc_shm_dma_entry){
				.op = VUC_SHM_DMA_MAP,
				.flags = VUC_SHM_DMA_READ,
				.iova = (uint64_t)k * PAGE,
				.size = PAGE,
				.fd_index = n->used[k],
			};
		rig_attach(&client, RIG_NAME);
		CU_ASSERT_EQUAL(shm_call(&client, &p, VUC_SHM_DMA,
					sizeof(p.dma) + 2 * sizeof(p.dma.entries[0]), fds, n->sent),
			SHM_GONE);
		shm_close(&client);
	}
}

static void
test_irq_numbers(void)
{
	static const struct {
		uint16_t data;
		uint8_t ones;
		unsigned int sent;
	} wrong[] = {
		{VUC_SHM_IRQ_EVENT, 1, 0},
		{VUC_SHM_IRQ_EVENT, 0, 1},
		{VUC_SHM_IRQ_EVENT, 2, 1},
		{VUC_SHM_IRQ_EVENT, 1, 2},
		{VUC_SHM_IRQ_EVENT, 8, VUC_SHM_MAX_FDS},
		{VUC_SHM_IRQ_SOME, 1, 1},
		{VUC_SHM_IRQ_ALL, 0, 1},
	};
	int fds[VUC_SHM_MAX_FDS];

	hostile_start(NULL);
	fill_with(fds, VUC_SHM_MAX_FDS, rig.irq);
	for (size_t i = 0; i < NR(wrong); i++) {
		const struct vuc_shm_set_irqs what = {
			.index = MSIX, .count = 8, .data = wrong[i].data};
		uint8_t which[8] = {0};

		memset(which, 1, wrong[i].ones);
		rig_attach(&client, RIG_NAME);
		CU_ASSERT_EQUAL(shm_set_irqs(&client, &what,
					wrong[i].data != VUC_SHM_IRQ_ALL ? which : NULL, fds,
					wrong[i].sent),
			SHM_GONE);
		shm_close(&client);
	}
}

/* Descriptors with every packet that there is, right or wrong: none of them stays. */
static void
test_flood(void)
{
	int fds[VUC_SHM_MAX_FDS], pipes[2];
	uint8_t bytes[64];
	uint64_t state = 7;

	hostile_start(NULL);
	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	fill_with(fds, VUC_SHM_MAX_FDS, pipes[1]);
	for (unsigned int i = 0; i < FLOODS; i++) {
		CU_ASSERT_EQUAL_FATAL(shm_connect(&client, rig.path), 0);
		hostile_fill(&state, bytes, sizeof(bytes));
		while (shm_send(&client, bytes, hostile_below(&state, sizeof(bytes)), fds,
			       VUC_SHM_MAX_FDS) == 0 &&
			hostile_below(&state, 4) != 0)
			continue;
		shm_close(&client);
	}
	close(pipes[1]);
	/* Nobody has the other end any more, once all connections are over. */
	CU_ASSERT_EQUAL(read(pipes[0], bytes, 1), 0);
	close(pipes[0]);
}

/* ---- of what ---- */

enum thing {
	PIPE,
	FOLDER,
	PATH,
	DEVICE,
	PROGRAM,
	SOCKET,
	CONNECTION, /* the VMM's own: a descriptor that comes by itself */
	EPOLL,
	SHORT_MEMORY,
	NO_MEMORY,
	EVENTFD,
	KICK,
	NR_THINGS,
	FIRST_EVENTFD = EVENTFD,
};

static int
thing_open(enum thing thing)
{
	int pipes[2] = {-1, -1};

	switch (thing) {
	case FOLDER:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case PATH:
		return open("/dev/null", O_PATH | O_CLOEXEC);
	case DEVICE:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case PROGRAM:
		return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	case SOCKET:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case CONNECTION:
		return dup(client.fd);
	case EPOLL:
		return epoll_create1(EPOLL_CLOEXEC);
	case SHORT_MEMORY:
		return rig_memory(MIB - PAGE, F_SEAL_SHRINK);
	case NO_MEMORY:
		return rig_memory(0, F_SEAL_SHRINK);
	case EVENTFD:
		return eventfd(0, EFD_CLOEXEC);
	case KICK:
		return dup(client.attach_fds[VUC_SHM_FD_KICK]);
	default:
		CU_ASSERT_EQUAL(pipe2(pipes, O_CLOEXEC), 0);
		close(pipes[1]);
		return pipes[0];
	}
}

static void
expect_refused(enum thing thing, int rc, const char *reason)
{
	bool refused = rc == -EINVAL && strstr(client.reply.failure.reason, reason) != NULL;

	if (!refused)
		printf("# thing %d: %d, %.239s\n", thing, rc,
			rc < 0 ? client.reply.failure.reason : "");
	CU_ASSERT_TRUE(refused);
}

/* Whatever it is, it is refused, and the connection goes on. */
static void
test_no_memory(void)
{
	static const enum vuc_dma_policy policies[] = {VUC_DMA_SHARED, VUC_DMA_MESSAGE};

	for (unsigned int way = 0; way < 2; way++) {
		hostile_start_attached(
			&(struct rig_opts){.dma = policies[way], .reset = VUC_CONTROL_RESET_TRUST});
		for (enum thing i = 0; i < NR_THINGS; i++) {
			bool memory = i == SHORT_MEMORY || i == NO_MEMORY;
			int fd = thing_open(i);

			CU_ASSERT_FATAL(fd >= 0);
			expect_refused(i, shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd),
				memory ? "beyond the end of the file" : "is not memory");
			close(fd);
		}
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).dma_maps, 0);
	}
}

static void
test_no_eventfd(void)
{
	hostile_start_attached(NULL);
	for (enum thing i = 0; i < FIRST_EVENTFD; i++) {
		int fd = thing_open(i);

		CU_ASSERT_FATAL(fd >= 0);
		expect_refused(i, shm_assign_irqs(&client, &fd, 1),
			"IRQ index 2: a descriptor is not an eventfd");
		close(fd);
	}
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), 0);
}

/* ---- and then ---- */

/* A new eventfd for the same interrupt, over and over: the ones before are let go. */
static void
test_eventfds_replaced(void)
{
	int fds[8];

	hostile_start_attached(NULL);
	for (unsigned int i = 0; i < FLOODS; i++) {
		for (unsigned int k = 0; k < 8; k++)
			fds[k] = eventfd(0, EFD_CLOEXEC);
		CU_ASSERT_EQUAL(shm_assign_irqs(&client, fds, 8), 0);
		for (unsigned int k = 0; k < 8; k++)
			close(fds[k]);
	}
}

/* Eventfds whose counter is full, and that would block whoever writes them: the server that raises
 * their interrupts has another device, which goes on. */
static void
test_full_eventfds(void)
{
	const uint64_t full = UINT64_MAX - 1;
	int fds[8], fd;
	struct shm_queue *q;

	hostile_start_attached(NULL);
	fd = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_EQUAL(write(fd, &full, sizeof(full)), sizeof(full));
	fill_with(fds, 8, fd);
	q = rig_open_queue(&client, 4, 64);
	CU_ASSERT_EQUAL(shm_assign_irqs(&client, fds, 8), 0);
	for (uint32_t vector = 0; vector < 8; vector++)
		rig_write(q, REFDEV_REG_IRQ_TRIGGER, vector, 4);
	hostile_neighbour_goes_on();
	close(fd);
}

const struct tap_suite tap_suite = {NULL, NULL, hostile_stop,
	{
		{"no_memory", test_no_memory},
		{"surplus", test_surplus},
		{"dma_numbers", test_dma_numbers},
		{"irq_numbers", test_irq_numbers},
		{"flood", test_flood},
		{"no_eventfd", test_no_eventfd},
		{"eventfds_replaced", test_eventfds_replaced},
		{"full_eventfds", test_full_eventfds},
	}};

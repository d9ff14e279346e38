/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that send descriptors where none belong, too few, too many, and of anything. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "hostile.h"
#include "refdev_regs.h"

#define BAR0       VFIO_PCI_BAR0_REGION_INDEX
#define MSIX       VFIO_PCI_MSIX_IRQ_INDEX
#define PAGE       4096u
#define MIB        (1024u * 1024u)
#define READ_WRITE (VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE)
#define KERNEL_MAX 253 /* descriptors of a message that the kernel takes */
#define FLOODS     200u

static struct hostile hostile;
static struct shm_client client;

static void
begin(enum vuc_dma_policy policy)
{
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.open.dma = policy;
	hostile_start(&hostile, &opts);
}

static void
end(void)
{
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

static void
attach(void)
{
	rig_attach(&hostile.rig, &client, RIG_NAME);
}

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
	static const enum vuc_shm_type types[] = {VUC_SHM_REGION_INFO, VUC_SHM_IRQ_INFO,
		VUC_SHM_IO_FDS, VUC_SHM_CLOSE_QUEUE, VUC_SHM_RESET, VUC_SHM_DETACH};
	static const unsigned int numbers[] = {1, VUC_SHM_MAX_FDS, VUC_SHM_MAX_FDS + 1, KERNEL_MAX};
	struct vuc_shm_index index = {.index = 0};
	int fds[KERNEL_MAX], fd;

	begin(VUC_DMA_SHARED);
	fd = eventfd(0, EFD_CLOEXEC);
	fill_with(fds, KERNEL_MAX, fd);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t size = types[i] == VUC_SHM_RESET || types[i] == VUC_SHM_DETACH
			? sizeof(struct vuc_shm_plain)
			: sizeof(index);

		for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
			attach();
			CU_ASSERT_EQUAL(shm_call(&client, &index, types[i], size, fds, numbers[n]),
				SHM_GONE);
			shm_close(&client);
		}
	}
	close(fd);
	end();
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
	int fds[VUC_SHM_MAX_FDS + 1], fd;

	begin(VUC_DMA_SHARED);
	fd = rig_memory(MIB, true);
	fill_with(fds, VUC_SHM_MAX_FDS + 1, fd);
	for (size_t i = 0; i < sizeof(wrong_numbers) / sizeof(wrong_numbers[0]); i++) {
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
		attach();
		CU_ASSERT_EQUAL(shm_call(&client, &p, VUC_SHM_DMA,
					sizeof(p.dma) + 2 * sizeof(p.dma.entries[0]), fds, n->sent),
			SHM_GONE);
		shm_close(&client);
	}
	close(fd);
	end();
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
	int fds[VUC_SHM_MAX_FDS], fd;

	begin(VUC_DMA_SHARED);
	fd = eventfd(0, EFD_CLOEXEC);
	fill_with(fds, VUC_SHM_MAX_FDS, fd);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const struct vuc_shm_set_irqs what = {
			.index = MSIX, .count = 8, .data = wrong[i].data};
		uint8_t which[8] = {0};

		memset(which, 1, wrong[i].ones);
		attach();
		CU_ASSERT_EQUAL(shm_set_irqs(&client, &what,
					wrong[i].data != VUC_SHM_IRQ_ALL ? which : NULL, fds,
					wrong[i].sent),
			SHM_GONE);
		shm_close(&client);
	}
	close(fd);
	end();
}

/* Descriptors with every packet that there is, right or wrong: none of them stays. */
static void
test_flood(void)
{
	int fds[VUC_SHM_MAX_FDS], pipes[2];
	uint8_t bytes[64];
	uint64_t state = 7;

	begin(VUC_DMA_SHARED);
	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	fill_with(fds, VUC_SHM_MAX_FDS, pipes[1]);
	for (unsigned int i = 0; i < FLOODS; i++) {
		CU_ASSERT_EQUAL_FATAL(shm_connect(&client, hostile.rig.path), 0);
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
	end();
}

/* ---- of what ---- */

static int
of_pipe(void)
{
	int pipes[2];

	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	close(pipes[1]);
	return pipes[0];
}

static int
of_folder(void)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int
of_path(void)
{
	return open("/dev/null", O_PATH | O_CLOEXEC);
}

static int
of_device(void)
{
	return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

static int
of_file(void)
{
	return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static int
of_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* The VMM's own connection: a descriptor that comes by itself. */
static int
of_connection(void)
{
	return dup(client.fd);
}

static int
of_epoll(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

static int
of_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

static int
of_short_memory(void)
{
	return rig_memory(MIB - PAGE, true);
}

static int
of_no_memory(void)
{
	return rig_memory(0, true);
}

static int
of_kick(void)
{
	return dup(client.attach_fds[VUC_SHM_FD_KICK]);
}

static int (*const no_memory[])(void) = {
	of_pipe,
	of_folder,
	of_path,
	of_device,
	of_file,
	of_socket,
	of_connection,
	of_epoll,
	of_eventfd,
	of_short_memory,
	of_no_memory,
	of_kick,
};

static int (*const no_eventfd[])(void) = {
	of_pipe,
	of_folder,
	of_path,
	of_device,
	of_file,
	of_socket,
	of_connection,
	of_epoll,
	of_short_memory,
};

/* Whatever it is, it is refused, and the connection goes on. */
static void
check_no_memory(enum vuc_dma_policy policy)
{
	begin(policy);
	attach();
	for (size_t i = 0; i < sizeof(no_memory) / sizeof(no_memory[0]); i++) {
		int fd = no_memory[i]();

		CU_ASSERT_FATAL(fd >= 0);
		CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, fd), -EINVAL);
		close(fd);
	}
	CU_ASSERT_EQUAL(rig_look(&hostile.rig, RIG_NAME).dma_maps, 0);
	shm_close(&client);
	end();
}

static void
test_no_memory(void)
{
	check_no_memory(VUC_DMA_SHARED);
	check_no_memory(VUC_DMA_MESSAGE);
}

static void
test_no_eventfd(void)
{
	const struct vuc_shm_set_irqs what = {.index = MSIX, .count = 1, .data = VUC_SHM_IRQ_EVENT};
	static const uint8_t which[] = {1};

	begin(VUC_DMA_SHARED);
	attach();
	for (size_t i = 0; i < sizeof(no_eventfd) / sizeof(no_eventfd[0]); i++) {
		int fd = no_eventfd[i]();

		CU_ASSERT_FATAL(fd >= 0);
		CU_ASSERT_EQUAL(shm_set_irqs(&client, &what, which, &fd, 1), -EINVAL);
		close(fd);
	}
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), 0);
	shm_close(&client);
	end();
}

/* ---- and then ---- */

/* A new eventfd for the same interrupt, over and over: the ones before are let go. */
static void
test_eventfds_replaced(void)
{
	const struct vuc_shm_set_irqs what = {.index = MSIX, .count = 8, .data = VUC_SHM_IRQ_EVENT};
	static const uint8_t which[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	int fds[8];

	begin(VUC_DMA_SHARED);
	attach();
	for (unsigned int i = 0; i < FLOODS; i++) {
		for (unsigned int k = 0; k < 8; k++)
			fds[k] = eventfd(0, EFD_CLOEXEC);
		CU_ASSERT_EQUAL(shm_set_irqs(&client, &what, which, fds, 8), 0);
		for (unsigned int k = 0; k < 8; k++)
			close(fds[k]);
	}
	shm_close(&client);
	end();
}

/* Eventfds whose counter is full, and that would block whoever writes them: the server that raises
 * their interrupts has another device, which goes on. */
static void
test_full_eventfds(void)
{
	const struct vuc_shm_set_irqs what = {.index = MSIX, .count = 8, .data = VUC_SHM_IRQ_EVENT};
	static const uint8_t which[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	const uint64_t full = UINT64_MAX - 1;
	int fds[8], fd;
	struct shm_queue q;

	begin(VUC_DMA_SHARED);
	attach();
	fd = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_EQUAL(write(fd, &full, sizeof(full)), sizeof(full));
	fill_with(fds, 8, fd);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_set_irqs(&client, &what, which, fds, 8), 0);
	for (uint32_t vector = 0; vector < 8; vector++)
		CU_ASSERT_EQUAL(shm_write(&q, BAR0, REFDEV_REG_IRQ_TRIGGER, &vector, 4), 0);
	hostile_neighbour_goes_on(&hostile);
	shm_forget_queue(&q);
	shm_close(&client);
	close(fd);
	end();
}

static CU_TestInfo tests[] = {
	{"surplus", test_surplus},
	{"dma_numbers", test_dma_numbers},
	{"irq_numbers", test_irq_numbers},
	{"flood", test_flood},
	{"no_memory", test_no_memory},
	{"no_eventfd", test_no_eventfd},
	{"eventfds_replaced", test_eventfds_replaced},
	{"full_eventfds", test_full_eventfds},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* What a VMM that keeps the rules gets from the control plane: each message, and what it does. */

#include "rig.h"

/* Posted writes of a page each, more than the socket of a server that does not read takes. */
#define NR_POSTED 256u

static const struct vuc_shm_request post_page = {
	.op = VUC_SHM_WRITE_POSTED, .region = BAR2, .count = 4096};

static void
test_hello(void)
{
	rig_start(NULL);
	rig_greet(&client);
	CU_ASSERT_EQUAL(client.len, sizeof(client.reply.hello_reply));
	CU_ASSERT_EQUAL(client.reply.hello_reply.version, VUC_SHM_VERSION);
	CU_ASSERT_EQUAL(client.reply.hello_reply.max_queues, VUC_SHM_MAX_QUEUES);
	CU_ASSERT_EQUAL(client.reply.hello_reply.max_depth, VUC_SHM_MAX_DEPTH);
	CU_ASSERT_EQUAL(client.reply.hello_reply.max_data, VUC_SHM_MAX_DATA);
	CU_ASSERT_EQUAL(client.reply.hello_reply.max_dma_maps, 4096);
	CU_ASSERT_EQUAL(client.reply.hello_reply.pad, 0);
	CU_ASSERT_EQUAL(vuc_control_connections(rig.control), 1);
}

static void
test_attach(void)
{
	const struct vuc_shm_attach_reply *r = &client.reply.attach_reply;
	struct vuc_control_device d;

	rig_start_attached(NULL);
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
	d = rig_look(RIG_NAME);
	CU_ASSERT_EQUAL(d.state, VUC_CONTROL_ATTACHED);
	CU_ASSERT_EQUAL(d.vmm_pid, getpid());
	CU_ASSERT_EQUAL(d.vmm_uid, getuid());
	CU_ASSERT_STRING_EQUAL(d.vmm_name, "shm-client");
	CU_ASSERT_STRING_EQUAL(d.socket, rig.sockets[0]);
	CU_ASSERT_STRING_EQUAL(d.poller, "rig");
	CU_ASSERT_EQUAL(d.attaches, 1);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	CU_ASSERT_TRUE(shm_is_ended(&client));
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).vmm_pid, 0);
}

/* One has it, the other one has to wait; refusals do not end a connection. */
static void
test_exclusive(void)
{
	char reason[128];

	rig_start_attached(NULL);
	rig_greet(&other_client);
	CU_ASSERT_EQUAL(shm_attach(&other_client, RIG_NAME), -EBUSY);
	snprintf(reason, sizeof(reason), "device disk0 is in use by VMM shm-client (pid %d)",
		(int)getpid());
	CU_ASSERT_STRING_EQUAL(other_client.reply.failure.reason, reason);
	CU_ASSERT_EQUAL(shm_attach(&other_client, "nothing"), -ENOENT);
	CU_ASSERT_STRING_EQUAL(other_client.reply.failure.reason, "there is no device nothing");
	CU_ASSERT_EQUAL(shm_attach(&other_client, RIG_SECOND), 0);
	shm_close(&other_client);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	CU_ASSERT_EQUAL(shm_start(&other_client, rig.path, RIG_NAME), 0);
}

static void
test_queue(void)
{
	struct shm_queue q;
	uint32_t id;

	rig_start_attached(NULL);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(q.index, 0);
	CU_ASSERT_EQUAL(q.depth, 4);
	CU_ASSERT_EQUAL(q.max_data, 64);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).queues, 1);
	for (unsigned int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(rig_read(&q, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	rig_write(&q, REFDEV_REG_SCRATCH, 0x1122334455667788, 8);
	CU_ASSERT_EQUAL(rig_read(&q, REFDEV_REG_SCRATCH, 8), 0x1122334455667788);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_BAR0_SIZE, &id, 4), -EINVAL);
	CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_CLOSE_QUEUE, 0), -EINVAL);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).queues, 0);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).reads, 22);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).writes, 1);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).errors, 1);
}

/* As many as there may be, and no more; one that is closed makes room. */
static void
test_many_queues(void)
{
	struct shm_queue more;

	rig_start_attached(NULL);
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++)
		CU_ASSERT_EQUAL(rig_open_queue(&client, 2, 64)->index, i);
	CU_ASSERT_EQUAL(shm_open_queue(&client, 2, 64, &more), -ENOSPC);
	CU_ASSERT_EQUAL(shm_close_queue(&client.queues[7]), 0);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 2, 64, &client.queues[7]), 0);
	CU_ASSERT_EQUAL(client.queues[7].index, 7);
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++)
		CU_ASSERT_EQUAL(rig_read(&client.queues[i], REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
}

static void
test_regions(void)
{
	const struct vuc_shm_region_reply *r = &client.reply.region;
	uint32_t num;

	rig_start_attached(NULL);
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
}

static void
test_irq_info(void)
{
	const struct vuc_shm_irq_reply *r = &client.reply.irq;
	uint32_t num;

	rig_start_attached(NULL);
	num = client.reply.attach_reply.num_irqs;
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_IRQ_INFO, num), -EINVAL);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_IRQ_INFO, MSIX), 0);
	CU_ASSERT_EQUAL(client.len, sizeof(*r));
	CU_ASSERT_EQUAL(r->index, MSIX);
	CU_ASSERT_EQUAL(r->count, REFDEV_MSIX_VECTORS);
	CU_ASSERT_NOT_EQUAL(r->flags & VFIO_IRQ_INFO_EVENTFD, 0);
}

/* Entries up to the one that is refused are taken, and those behind it not looked at. */
static void
test_dma_batch(void)
{
	union shm_packet request = {.bytes = {0}};
	struct vuc_shm_dma_entry *e = request.dma.entries;

	rig_start_attached(NULL);
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
				sizeof(request.dma) + 4 * sizeof(e[0]), &rig.memory, 1),
		-EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(client.reply.failure.reason, "overlaps another mapping"));
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).dma_maps, 2);
	CU_ASSERT_EQUAL(shm_dma_unmap_all(&client), 0);
	CU_ASSERT_EQUAL(client.reply.dma_reply.mappings, 0);
}

/* A server that does not read, so that posted writes stay in their queue: a reset that is asked for
 * behind them reaches the device behind them. */
static void
test_reset_behind_posted_writes(void)
{
	const struct vuc_shm_request last = {.op = VUC_SHM_WRITE_POSTED,
		.region = BAR0,
		.offset = REFDEV_REG_SCRATCH,
		.count = 8};
	struct shm_queue *q;

	rig_start_attached(&(struct rig_opts){.posted_writes = VUC_POSTED_WRITES_ON + 1});
	rig_attach(&other_client, RIG_SECOND);
	q = rig_open_queue(&client, NR_POSTED, post_page.count);
	rig_signal_server(SIGSTOP);
	for (unsigned int i = 1; i < NR_POSTED; i++)
		shm_submit(q, &post_page);
	shm_submit(q, &last);
	CU_ASSERT_EQUAL(shm_send_plain(&client, VUC_SHM_RESET), 0);
	/* Time in which it could go out. */
	rig_pass_time(&other_client, 20);
	CU_ASSERT_NOT_EQUAL(shm_taken(q), NR_POSTED);
	rig_signal_server(SIGCONT);
	CU_ASSERT_EQUAL(shm_receive(&client, SHM_TIMEOUT_MS), 0);
	CU_ASSERT_EQUAL(client.reply.header.status, 0);
	CU_ASSERT_EQUAL(rig_read(q, REFDEV_REG_WRITES, 8), 0);
}

/* And one that goes on not reading: the reset ends with the connection, or at its deadline. */
static void
test_reset_of_stopped_server(void)
{
	static const struct rig_opts rows[] = {
		{.posted_writes = VUC_POSTED_WRITES_ON + 1, .timeout_ms = 1000},
		{.posted_writes = VUC_POSTED_WRITES_ON + 1, .long_timeout_ms = 1000},
	};
	struct shm_queue *q;

	for (unsigned int i = 0; i < 2; i++) {
		rig_start(&rows[i]);
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		rig_attach(&client, RIG_NAME);
		q = rig_open_queue(&client, NR_POSTED, post_page.count);
		rig_signal_server(SIGSTOP);
		for (unsigned int n = 0; n < NR_POSTED; n++)
			shm_submit(q, &post_page);
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), -ETIMEDOUT);
		rig_signal_server(SIGCONT);
	}
}

/* The page shows what the VMM has done, and not what others have. */
static void
test_counters(void)
{
	struct shm_queue *q = rig_start_with_queue(NULL);
	unsigned int ms = 0;
	uint32_t id;

	rig_attach(&other_client, RIG_SECOND);
	for (unsigned int i = 0; i < 3; i++)
		rig_read(q, REFDEV_REG_ID, 4);
	CU_ASSERT_EQUAL(shm_read(q, BAR0, REFDEV_BAR0_SIZE, &id, 4), -EINVAL);
	while (shm_state(&client).reads < 4 && rig_wait(&ms))
		continue;
	CU_ASSERT_EQUAL(shm_state(&client).reads, 4);
	CU_ASSERT_EQUAL(shm_state(&client).errors, 1);
	CU_ASSERT_EQUAL(shm_state(&client).sequence % 2, 0);
	CU_ASSERT_EQUAL(shm_state(&other_client).reads, 0);
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
	CU_ASSERT_EQUAL(rig_look(d->name).state, d->state);
}

static void
test_list(void)
{
	struct names names = {.nr = 0};
	struct vuc_control_device d;

	rig_start(NULL);
	vuc_control_list(rig.control, keep_name, &names);
	CU_ASSERT_EQUAL_FATAL(names.nr, 2);
	CU_ASSERT_STRING_EQUAL(names.text[0], RIG_NAME);
	CU_ASSERT_STRING_EQUAL(names.text[1], RIG_SECOND);
	CU_ASSERT_EQUAL(vuc_control_look(rig.control, "nothing", &d), -ENOENT);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).generation, 1);
	CU_ASSERT_STRING_EQUAL(rig_look(RIG_NAME).reason, "");
}

const struct tap_suite tap_suite = {NULL, NULL, rig_stop_attached,
	{
		{"hello", test_hello},
		{"reset_behind_posted_writes", test_reset_behind_posted_writes},
		{"reset_of_stopped_server", test_reset_of_stopped_server},
		{"list", test_list},
		{"attach", test_attach},
		{"exclusive", test_exclusive},
		{"queue", test_queue},
		{"many_queues", test_many_queues},
		{"regions", test_regions},
		{"irq_info", test_irq_info},
		{"dma_batch", test_dma_batch},
		{"counters", test_counters},
	}};

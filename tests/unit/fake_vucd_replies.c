/* SPDX-License-Identifier: BSD-3-Clause */

/* What a daemon that keeps to <vuc/shm.h> answers, and what a VMM that does asks. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <linux/vfio.h>

#include "fake_vucd.h"

#define PAGE 4096u

static void
reply_add_fd(struct fake_reply *reply, int fd)
{
	CU_ASSERT_FATAL(fd >= 0 && reply->nr_fds < FAKE_MAX_FDS);
	reply->fds[reply->nr_fds++] = fd;
}

void
fake_refuse(struct fake_reply *reply, void *arg)
{
	struct vuc_shm_failure *f = &reply->packet->failure;

	while (reply->nr_fds > 0)
		close(reply->fds[--reply->nr_fds]);
	memset(f->reason, 0, sizeof(f->reason));
	strcpy(f->reason, "because");
	f->header.status = *(const int *)arg;
	f->header.size = sizeof(*f);
	reply->size = sizeof(*f);
}

void
fake_keep_silent(struct fake_reply *reply, void *arg)
{
	(void)arg;
	reply->copies = 0;
	reply->hang_up = false;
}

void
fake_end(struct fake_reply *reply, void *arg)
{
	(void)arg;
	reply->copies = 0;
	reply->hang_up = true;
}

static size_t
reply_attach(struct fake_reply *reply)
{
	struct vuc_shm_attach_reply *r = &reply->packet->attach_reply;

	r->generation = fake.state->generation;
	r->pgsizes = PAGE;
	r->flags = VUC_SHM_DMA_MESSAGE;
	r->device_flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	r->num_regions = FAKE_REGIONS;
	r->num_irqs = FAKE_IRQS;
	r->max_dma_maps = 900;
	r->max_data = 8192;
	for (unsigned int i = 0; i < 5; i++)
		reply_add_fd(reply, fcntl(fake.fds[i], F_DUPFD_CLOEXEC, 0));
	return sizeof(*r);
}

static size_t
reply_region(uint32_t index, struct fake_reply *reply)
{
	struct vuc_shm_region_reply *r = &reply->packet->region_reply;

	r->index = index;
	r->flags = VFIO_REGION_INFO_FLAG_READ;
	r->size = index == 1 ? 0 : index == 2 ? 256 : FAKE_REGION;
	if (index != 0)
		return sizeof(*r);
	r->flags |= VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP;
	r->type = 7;
	r->subtype = 9;
	r->nr_areas = 2;
	r->nr_fds = 1;
	r->areas[0] = (struct vuc_shm_area){.size = PAGE, .file_offset = PAGE};
	r->areas[1] = (struct vuc_shm_area){.offset = FAKE_REGION - PAGE, .size = PAGE};
	reply_add_fd(reply, fake_memory(2 * PAGE));
	return sizeof(*r) + 2 * sizeof(r->areas[0]);
}

static void *
reply_add_memory(struct fake_reply *reply, size_t size)
{
	int fd = fake_memory(size);

	reply_add_fd(reply, fd);
	return fake_map(fd, size);
}

static size_t
reply_open_queue(const struct vuc_shm_open_queue *request, struct fake_reply *reply)
{
	struct vuc_shm_queue_reply *r = &reply->packet->queue_reply;
	size_t body = (size_t)request->depth * (VUC_SHM_SLOT_SIZE + request->max_data);
	struct fake_queue *q = fake.queues;

	while (q->requests != NULL)
		q++;
	if (q - fake.queues == 8) {
		fake_refuse(reply, &(int){-ENOSPC});
		return reply->size;
	}
	q->depth = r->depth = request->depth;
	q->max_data = r->max_data = request->max_data;
	q->requests_size = r->requests_size = sizeof(struct vuc_shm_front) + body;
	q->completions_size = r->completions_size = sizeof(struct vuc_shm_back) + body;
	q->requests = reply_add_memory(reply, q->requests_size);
	q->completions = reply_add_memory(reply, q->completions_size);
	r->index = (uint32_t)(q - fake.queues);
	return sizeof(*r);
}

void
fake_free_queue(struct fake_queue *q)
{
	if (q->requests == NULL)
		return;
	munmap(q->requests, q->requests_size);
	munmap(q->completions, q->completions_size);
	*q = (struct fake_queue){0};
}

static size_t
reply_close_queue(uint32_t index)
{
	struct fake_queue *q = &fake.queues[index < 8 ? index : 8];

	fake.violations += q->requests == NULL;
	fake_forget_backs();
	fake_free_queue(q);
	return sizeof(struct vuc_shm_plain);
}

static size_t
reply_io_fds(struct fake_reply *reply)
{
	struct vuc_shm_io_reply *r = &reply->packet->io_reply;

	r->nr = 3;
	r->nr_fds = 2;
	r->sub_regions[0] = (struct vuc_shm_io_sub_region){
		.flags = 1, .size = 4, .datamatch = 5, .shadow_fd_index = -1};
	r->sub_regions[1] = (struct vuc_shm_io_sub_region){
		.type = 2, .offset = 8, .shadow_offset = 16, .shadow_fd_index = 1};
	r->sub_regions[2] = (struct vuc_shm_io_sub_region){
		.type = 1, .offset = 64, .user_data = 77, .fd_index = -1, .shadow_fd_index = -1};
	reply_add_fd(reply, eventfd(0, EFD_CLOEXEC));
	reply_add_fd(reply, fake_memory(PAGE));
	return sizeof(*r) + 3 * sizeof(r->sub_regions[0]);
}

/* "dev0", "dev1" and so on, each third in use, each second connected. */
static size_t
reply_list(uint32_t first, struct vuc_shm_list_reply *r)
{
	uint32_t left = first < FAKE_LISTED ? FAKE_LISTED - first : 0;

	r->nr = left < VUC_SHM_MAX_LIST ? left : VUC_SHM_MAX_LIST;
	r->more = left - r->nr;
	for (uint32_t i = 0; i < r->nr; i++) {
		struct vuc_shm_listed *d = &r->devices[i];

		snprintf(d->name, sizeof(d->name), "dev%u", first + i);
		d->flags = ((first + i) % 3 == 0 ? VUC_SHM_LISTED_IN_USE : 0) |
			((first + i) % 2 == 0 ? VUC_SHM_LISTED_CONNECTED : 0);
	}
	return sizeof(*r) + r->nr * sizeof(r->devices[0]);
}

size_t
fake_make_reply(const union fake_packet *request, struct fake_reply *reply)
{
	union fake_packet *p = reply->packet;

	switch (request->header.type) {
	case VUC_SHM_HELLO:
		p->hello_reply = (struct vuc_shm_hello_reply){
			.version = VUC_SHM_VERSION,
			.max_queues = 8,
			.max_depth = 256,
			.max_data = 65536,
			.max_dma_maps = 1000,
		};
		return sizeof(p->hello_reply);
	case VUC_SHM_ATTACH:
		if (strcmp(request->attach.name, FAKE_DEVICE) == 0)
			return reply_attach(reply);
		fake_refuse(reply, &(int){-ENOENT});
		return reply->size;
	case VUC_SHM_REGION_INFO:
		return reply_region(request->index.index, reply);
	case VUC_SHM_IRQ_INFO:
		p->irq_reply.index = request->index.index;
		p->irq_reply.flags = VFIO_IRQ_INFO_EVENTFD;
		p->irq_reply.count = request->index.index == 1 ? 0 : 2048 + 64;
		return sizeof(p->irq_reply);
	case VUC_SHM_OPEN_QUEUE:
		return reply_open_queue(&request->open_queue, reply);
	case VUC_SHM_CLOSE_QUEUE:
		return reply_close_queue(request->index.index);
	case VUC_SHM_DMA:
		for (uint32_t i = 0; i < request->dma.nr; i++)
			fake.mappings += request->dma.entries[i].op == VUC_SHM_DMA_MAP;
		p->dma_reply.mappings = fake.mappings;
		return sizeof(p->dma_reply);
	case VUC_SHM_SET_IRQS:
		p->irqs_reply.done = request->set_irqs.count;
		return sizeof(p->irqs_reply);
	case VUC_SHM_IO_FDS:
		return reply_io_fds(reply);
	case VUC_SHM_LIST:
		return reply_list(request->list.first, &p->list_reply);
	default:
		reply->hang_up = request->header.type == VUC_SHM_DETACH;
		return sizeof(struct vuc_shm_plain);
	}
}

/* ---- what a VMM may ask ---- */

static bool
is_name(const char *name)
{
	return memchr(name, '\0', VUC_SHM_NAME_SIZE) != NULL;
}

static bool
is_dma(const struct vuc_shm_dma *r, size_t size, unsigned int nr_fds)
{
	uint32_t used = 0;

	if (r->nr > VUC_SHM_MAX_DMA || size != sizeof(*r) + r->nr * sizeof(r->entries[0]) ||
		r->nr_fds != nr_fds || nr_fds > VUC_SHM_MAX_FDS || r->reserved != 0 ||
		(r->flags & ~VUC_SHM_DMA_COMMIT) != 0)
		return false;
	for (uint32_t i = 0; i < r->nr; i++) {
		const struct vuc_shm_dma_entry *e = &r->entries[i];

		if (e->op != VUC_SHM_DMA_MAP && (e->flags & ~VUC_SHM_DMA_IF_MAPPED) != 0)
			return false;
		if (e->reserved != 0 || e->pad != 0 || e->fd_index >= (int32_t)nr_fds ||
			(e->op == VUC_SHM_DMA_MAP) != (e->fd_index >= 0))
			return false;
		used |= e->fd_index >= 0 ? UINT32_C(1) << e->fd_index : 0;
	}
	return used == (UINT32_C(1) << nr_fds) - 1;
}

static bool
is_irqs(const struct vuc_shm_set_irqs *r, size_t size, unsigned int nr_fds)
{
	unsigned int ones = 0;

	if (r->count > VUC_SHM_MAX_IRQS ||
		size != sizeof(*r) + (r->data != VUC_SHM_IRQ_ALL ? r->count : 0))
		return false;
	if (r->action == VUC_SHM_IRQ_DISABLE && (r->start != 0 || r->count != 0))
		return false;
	for (size_t i = 0; i < size - sizeof(*r); i++) {
		if (r->which[i] > 1)
			return false;
		ones += r->which[i];
	}
	return nr_fds == (r->data == VUC_SHM_IRQ_EVENT ? ones : 0) && nr_fds <= VUC_SHM_MAX_FDS;
}

bool
fake_is_allowed(const struct fake_request *r)
{
	static const size_t sizes[] = {
		[VUC_SHM_HELLO] = sizeof(struct vuc_shm_hello),
		[VUC_SHM_ATTACH] = sizeof(struct vuc_shm_attach),
		[VUC_SHM_REGION_INFO] = sizeof(struct vuc_shm_index),
		[VUC_SHM_IRQ_INFO] = sizeof(struct vuc_shm_index),
		[VUC_SHM_OPEN_QUEUE] = sizeof(struct vuc_shm_open_queue),
		[VUC_SHM_CLOSE_QUEUE] = sizeof(struct vuc_shm_index),
		[VUC_SHM_IO_FDS] = sizeof(struct vuc_shm_index),
		[VUC_SHM_RESET] = sizeof(struct vuc_shm_plain),
		[VUC_SHM_DETACH] = sizeof(struct vuc_shm_plain),
		[VUC_SHM_LIST] = sizeof(struct vuc_shm_list),
	};
	const union fake_packet *p = r->packet;
	const struct vuc_shm_header *h = &p->header;

	if (h->size != r->size || h->flags != 0 || h->status != 0 ||
		h->sequence != fake.sequence + 1 || h->type > VUC_SHM_LIST)
		return false;
	if (h->type == VUC_SHM_DMA)
		return is_dma(&p->dma, r->size, r->nr_fds);
	if (h->type == VUC_SHM_SET_IRQS)
		return is_irqs(&p->set_irqs, r->size, r->nr_fds);
	if (r->nr_fds != 0 || r->size != sizes[h->type])
		return false;
	if (h->type == VUC_SHM_HELLO)
		return p->hello.magic == VUC_SHM_MAGIC && p->hello.version_min == VUC_SHM_VERSION &&
			p->hello.version_max == VUC_SHM_VERSION && p->hello.reserved == 0 &&
			is_name(p->hello.name);
	if (h->type == VUC_SHM_ATTACH)
		return is_name(p->attach.name);
	if (h->type == VUC_SHM_LIST)
		return p->list.reserved == 0;
	return h->type == VUC_SHM_OPEN_QUEUE || h->type >= VUC_SHM_RESET || p->index.reserved == 0;
}

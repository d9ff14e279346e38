/* SPDX-License-Identifier: BSD-3-Clause */

/* What a daemon that keeps to <vuc/shm.h> answers. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "fake_vucd.h"
#include "tap.h"

#define PAGE 4096u

static void
add_fd(struct fake_reply *reply, int fd)
{
	CU_ASSERT_FATAL(fd >= 0 && reply->nr_fds < FAKE_MAX_FDS);
	reply->fds[reply->nr_fds++] = fd;
}

static int
copy_fd(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void
fake_refuse(struct fake_vucd *d, struct fake_reply *reply, void *arg)
{
	struct vuc_shm_failure *f = &reply->packet->failure;

	(void)d;
	while (reply->nr_fds > 0)
		close(reply->fds[--reply->nr_fds]);
	memset(f->reason, 0, sizeof(f->reason));
	snprintf(f->reason, sizeof(f->reason), "because");
	f->header.status = *(const int *)arg;
	f->header.size = sizeof(*f);
	reply->size = sizeof(*f);
}

static size_t
hello(struct fake_reply *reply)
{
	struct vuc_shm_hello_reply *r = &reply->packet->hello_reply;

	r->version = 1;
	r->max_queues = 8;
	r->max_depth = 256;
	r->max_data = 65536;
	r->max_dma_maps = 1000;
	return sizeof(*r);
}

static size_t
attach(struct fake_vucd *d, struct fake_reply *reply)
{
	struct vuc_shm_attach_reply *r = &reply->packet->attach_reply;

	r->generation = d->state->generation;
	r->pgsizes = PAGE;
	r->flags = VUC_SHM_DMA_MESSAGE;
	r->device_flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	r->num_regions = FAKE_REGIONS;
	r->num_irqs = FAKE_IRQS;
	r->max_dma_maps = 900;
	r->max_data = 8192;
	add_fd(reply, copy_fd(d->state_fd));
	add_fd(reply, copy_fd(d->bell_fd));
	add_fd(reply, copy_fd(d->poller_fd));
	add_fd(reply, copy_fd(d->kick_fd));
	add_fd(reply, copy_fd(d->event_fd));
	return sizeof(*r);
}

static size_t
region_info(uint32_t index, struct fake_reply *reply)
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
	r->areas[0] = (struct vuc_shm_area){.offset = 0, .size = PAGE, .file_offset = PAGE};
	r->areas[1] =
		(struct vuc_shm_area){.offset = FAKE_REGION - PAGE, .size = PAGE, .file_offset = 0};
	add_fd(reply, fake_memory(2 * PAGE));
	return sizeof(*r) + 2 * sizeof(r->areas[0]);
}

static size_t
irq_info(uint32_t index, struct fake_reply *reply)
{
	struct vuc_shm_irq_reply *r = &reply->packet->irq_reply;

	r->index = index;
	r->flags = VFIO_IRQ_INFO_EVENTFD;
	r->count = index == 1 ? 0 : 2048 + 64;
	return sizeof(*r);
}

static void *
queue_memory(struct fake_reply *reply, size_t size)
{
	int fd = fake_memory(size);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CU_ASSERT_FATAL(p != MAP_FAILED);
	add_fd(reply, fd);
	return p;
}

static size_t
open_queue(struct fake_vucd *d, const struct vuc_shm_open_queue *request, struct fake_reply *reply)
{
	struct vuc_shm_queue_reply *r = &reply->packet->queue_reply;
	size_t body = (size_t)request->depth * (VUC_SHM_SLOT_SIZE + request->max_data);
	struct fake_queue *q;
	uint32_t i = 0;

	while (d->queues[i].requests != NULL && i < 8)
		i++;
	q = &d->queues[i];
	if (i == 8) {
		fake_refuse(d, reply, &(int){-ENOSPC});
		return reply->size;
	}
	q->depth = request->depth;
	q->max_data = request->max_data;
	q->requests_size = sizeof(struct vuc_shm_front) + body;
	q->completions_size = sizeof(struct vuc_shm_back) + body;
	q->requests = queue_memory(reply, q->requests_size);
	q->completions = queue_memory(reply, q->completions_size);
	r->index = i;
	r->depth = q->depth;
	r->max_data = q->max_data;
	r->requests_size = q->requests_size;
	r->completions_size = q->completions_size;
	return sizeof(*r);
}

static size_t
close_queue(struct fake_vucd *d, uint32_t index)
{
	struct fake_queue *q = &d->queues[index < 8 ? index : 8];

	if (q->requests == NULL)
		d->violations++;
	else {
		munmap(q->requests, q->requests_size);
		munmap(q->completions, q->completions_size);
	}
	*q = (struct fake_queue){0};
	return sizeof(struct vuc_shm_plain);
}

static size_t
dma(struct fake_vucd *d, const struct vuc_shm_dma *request, struct fake_reply *reply)
{
	for (uint32_t i = 0; i < request->nr; i++)
		d->mappings += request->entries[i].op == VUC_SHM_DMA_MAP;
	reply->packet->dma_reply.mappings = d->mappings;
	return sizeof(reply->packet->dma_reply);
}

static size_t
io_fds(struct fake_reply *reply)
{
	struct vuc_shm_io_reply *r = &reply->packet->io_reply;

	r->nr = 3;
	r->nr_fds = 2;
	r->sub_regions[0] = (struct vuc_shm_io_sub_region){.type = 0,
		.flags = 1,
		.offset = 0,
		.size = 4,
		.datamatch = 5,
		.shadow_fd_index = -1};
	r->sub_regions[1] = (struct vuc_shm_io_sub_region){
		.type = 2, .offset = 8, .shadow_offset = 16, .fd_index = 0, .shadow_fd_index = 1};
	r->sub_regions[2] = (struct vuc_shm_io_sub_region){
		.type = 1, .offset = 64, .user_data = 77, .fd_index = -1, .shadow_fd_index = -1};
	add_fd(reply, eventfd(0, EFD_CLOEXEC));
	add_fd(reply, fake_memory(PAGE));
	return sizeof(*r) + 3 * sizeof(r->sub_regions[0]);
}

static size_t
make(struct fake_vucd *d, const union fake_packet *request, struct fake_reply *reply)
{
	switch (request->header.type) {
	case VUC_SHM_HELLO:
		return hello(reply);
	case VUC_SHM_ATTACH:
		if (strcmp(request->attach.name, FAKE_DEVICE) == 0)
			return attach(d, reply);
		fake_refuse(d, reply, &(int){-ENOENT});
		return reply->size;
	case VUC_SHM_REGION_INFO:
		return region_info(request->index.index, reply);
	case VUC_SHM_IRQ_INFO:
		return irq_info(request->index.index, reply);
	case VUC_SHM_OPEN_QUEUE:
		return open_queue(d, &request->open_queue, reply);
	case VUC_SHM_CLOSE_QUEUE:
		return close_queue(d, request->index.index);
	case VUC_SHM_DMA:
		return dma(d, &request->dma, reply);
	case VUC_SHM_SET_IRQS:
		reply->packet->irqs_reply.done = request->set_irqs.count;
		return sizeof(reply->packet->irqs_reply);
	case VUC_SHM_IO_FDS:
		return io_fds(reply);
	case VUC_SHM_DETACH:
		reply->hang_up = true;
		return sizeof(struct vuc_shm_plain);
	default:
		return sizeof(struct vuc_shm_plain);
	}
}

void
fake_make_reply(struct fake_vucd *d, const union fake_packet *request, struct fake_reply *reply)
{
	struct vuc_shm_header *h = &reply->packet->header;

	reply->size = make(d, request, reply);
	h->type = request->header.type;
	h->flags = VUC_SHM_REPLY;
	h->size = (uint32_t)reply->size;
	h->sequence = request->header.sequence;
}

/* Whether these bytes end with a NUL. */
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
	return nr_fds == ones && nr_fds <= VUC_SHM_MAX_FDS;
}

bool
fake_is_allowed(const union fake_packet *request, size_t size, unsigned int nr_fds)
{
	const struct vuc_shm_hello *h = &request->hello;

	switch (request->header.type) {
	case VUC_SHM_HELLO:
		return size == sizeof(*h) && nr_fds == 0 && h->magic == VUC_SHM_MAGIC &&
			h->version_min == 1 && h->version_max == 1 && h->reserved == 0 &&
			is_name(h->name);
	case VUC_SHM_ATTACH:
		return size == sizeof(request->attach) && nr_fds == 0 &&
			is_name(request->attach.name);
	case VUC_SHM_REGION_INFO:
	case VUC_SHM_IRQ_INFO:
	case VUC_SHM_IO_FDS:
	case VUC_SHM_CLOSE_QUEUE:
		return size == sizeof(request->index) && nr_fds == 0 &&
			request->index.reserved == 0;
	case VUC_SHM_OPEN_QUEUE:
		return size == sizeof(request->open_queue) && nr_fds == 0;
	case VUC_SHM_DMA:
		return is_dma(&request->dma, size, nr_fds);
	case VUC_SHM_SET_IRQS:
		return is_irqs(&request->set_irqs, size, nr_fds);
	case VUC_SHM_RESET:
	case VUC_SHM_DETACH:
		return size == sizeof(struct vuc_shm_plain) && nr_fds == 0;
	default:
		return false;
	}
}

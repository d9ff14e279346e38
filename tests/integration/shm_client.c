/* SPDX-License-Identifier: BSD-3-Clause */
#include "shm_client.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "fds.h"

#define PAGE 4096u

void
shm_init(struct shm_client *c)
{
	*c = (struct shm_client){.fd = -1};
	for (unsigned int i = 0; i < VUC_SHM_ATTACH_FDS; i++)
		c->attach_fds[i] = -1;
}

int
shm_connect(struct shm_client *c, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc;

	shm_init(c);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	if (connect(c->fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	rc = -errno;
	shm_close(c);
	return rc;
}

void
shm_close(struct shm_client *c)
{
	if (c->state != NULL)
		munmap((void *)(uintptr_t)c->state, PAGE);
	if (c->bell != NULL)
		munmap(c->bell, PAGE);
	if (c->poller != NULL)
		munmap((void *)(uintptr_t)c->poller, PAGE);
	for (unsigned int i = 0; i < c->nr_queues; i++)
		shm_forget_queue(&c->queues[i]);
	vuc_fds_close(c->attach_fds, VUC_SHM_ATTACH_FDS);
	vuc_fds_close(c->fds, c->nr_fds);
	if (c->fd >= 0)
		close(c->fd);
	shm_init(c);
}

int
shm_send(struct shm_client *c, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	ssize_t n = vuc_fds_send(c->fd, bytes, len, fds, nr_fds, 0);

	return n < 0 ? (int)n : 0;
}

static bool
wait_readable(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) > 0;
}

int
shm_receive(struct shm_client *c, int timeout_ms)
{
	struct iovec part = {.iov_base = c->reply.bytes, .iov_len = sizeof(c->reply.bytes)};
	ssize_t n;
	int nr_fds;

	vuc_fds_close(c->fds, c->nr_fds);
	c->nr_fds = 0;
	c->len = 0;
	if (!wait_readable(c->fd, timeout_ms))
		return SHM_SILENT;
	n = vuc_fds_receive(c->fd, &part, 1, c->fds, VUC_SHM_MAX_FDS, &nr_fds, 0, NULL);
	if (n <= 0)
		return SHM_GONE;
	c->nr_fds = nr_fds > 0 ? (unsigned int)nr_fds : 0;
	c->len = (size_t)n;
	return 0;
}

bool
shm_is_ended(struct shm_client *c)
{
	int rc;

	do {
		rc = shm_receive(c, SHM_TIMEOUT_MS);
	} while (rc == 0);
	return rc == SHM_GONE;
}

void
shm_header(struct shm_client *c, struct vuc_shm_header *header, enum vuc_shm_type type, size_t size)
{
	*header = (struct vuc_shm_header){
		.type = (uint16_t)type,
		.size = (uint32_t)size,
		.sequence = ++c->sequence,
	};
}

struct shm_request
shm_request(enum vuc_shm_type type, const char *device, int fd)
{
	struct shm_request r = {.type = type, .len = sizeof(r.packet.plain), .fd = -1};
	union shm_packet *p = &r.packet;

	if (type == VUC_SHM_HELLO) {
		p->hello.magic = VUC_SHM_MAGIC;
		p->hello.version_min = p->hello.version_max = VUC_SHM_VERSION;
		r.len = sizeof(p->hello);
	} else if (type == VUC_SHM_ATTACH) {
		snprintf(p->attach.name, sizeof(p->attach.name), "%s", device);
		r.len = sizeof(p->attach);
	} else if (type == VUC_SHM_OPEN_QUEUE) {
		p->open_queue.depth = 4;
		p->open_queue.max_data = 64;
		r.len = sizeof(p->open_queue);
	} else if (type == VUC_SHM_DMA) {
		p->dma.nr = p->dma.nr_fds = 1;
		p->dma.flags = VUC_SHM_DMA_COMMIT;
		p->dma.entries[0].op = VUC_SHM_DMA_MAP;
		p->dma.entries[0].flags = VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE;
		p->dma.entries[0].size = PAGE;
		r.len = sizeof(p->dma) + sizeof(p->dma.entries[0]);
		r.fd = fd;
	} else if (type == VUC_SHM_SET_IRQS) {
		p->set_irqs.index = VFIO_PCI_MSIX_IRQ_INDEX;
		p->set_irqs.count = 2;
		p->set_irqs.data = VUC_SHM_IRQ_EVENT;
		p->set_irqs.which[1] = 1;
		r.len = sizeof(p->set_irqs) + 2;
		r.fd = fd;
	} else if (type == VUC_SHM_LIST) {
		r.len = sizeof(p->list);
	} else if (type == VUC_SHM_REGION_INFO || type == VUC_SHM_IRQ_INFO ||
		type == VUC_SHM_CLOSE_QUEUE || type == VUC_SHM_IO_FDS) {
		r.len = sizeof(p->index);
	}
	return r;
}

static bool
is_reply(const struct shm_client *c, enum vuc_shm_type type)
{
	const struct vuc_shm_header *h = &c->reply.header;

	if (c->len < sizeof(*h) || h->size != c->len || h->type != type ||
		h->flags != VUC_SHM_REPLY || h->sequence != c->sequence || h->status > 0)
		return false;
	return h->status == 0 || (c->len == sizeof(c->reply.failure) && c->nr_fds == 0);
}

int
shm_call(struct shm_client *c, void *request, enum vuc_shm_type type, size_t size, const int *fds,
	unsigned int nr_fds)
{
	int rc;

	shm_header(c, request, type, size);
	if (shm_send(c, request, size, fds, nr_fds) != 0)
		return SHM_GONE;
	rc = shm_receive(c, SHM_TIMEOUT_MS);
	if (rc != 0)
		return rc;
	return is_reply(c, type) ? c->reply.header.status : SHM_WRONG;
}

int
shm_hello(struct shm_client *c)
{
	struct vuc_shm_hello hello = {
		.magic = VUC_SHM_MAGIC,
		.version_min = VUC_SHM_VERSION,
		.version_max = VUC_SHM_VERSION,
		.name = "shm-client",
	};

	return shm_call(c, &hello, VUC_SHM_HELLO, sizeof(hello), NULL, 0);
}

static void *
map(int fd, size_t size, int prot)
{
	void *addr = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	return addr != MAP_FAILED ? addr : NULL;
}

int
shm_attach(struct shm_client *c, const char *device)
{
	struct vuc_shm_attach attach = {.name = {0}};
	int rc;

	snprintf(attach.name, sizeof(attach.name), "%s", device);
	rc = shm_call(c, &attach, VUC_SHM_ATTACH, sizeof(attach), NULL, 0);
	if (rc != 0)
		return rc;
	if (c->len != sizeof(c->reply.attach_reply) || c->nr_fds != VUC_SHM_ATTACH_FDS)
		return SHM_WRONG;
	memcpy(c->attach_fds, c->fds, sizeof(c->attach_fds));
	c->nr_fds = 0;
	c->state = map(c->attach_fds[VUC_SHM_FD_STATE], PAGE, PROT_READ);
	c->bell = map(c->attach_fds[VUC_SHM_FD_BELL], PAGE, PROT_READ | PROT_WRITE);
	c->poller = map(c->attach_fds[VUC_SHM_FD_POLLER], PAGE, PROT_READ);
	return c->state != NULL && c->bell != NULL && c->poller != NULL ? 0 : SHM_WRONG;
}

int
shm_start(struct shm_client *c, const char *path, const char *device)
{
	int rc = shm_connect(c, path);

	if (rc == 0)
		rc = shm_hello(c);
	return rc == 0 ? shm_attach(c, device) : rc;
}

int
shm_plain(struct shm_client *c, enum vuc_shm_type type)
{
	struct vuc_shm_plain plain = {0};

	return shm_call(c, &plain, type, sizeof(plain), NULL, 0);
}

int
shm_send_plain(struct shm_client *c, enum vuc_shm_type type)
{
	struct vuc_shm_plain plain;

	shm_header(c, &plain.header, type, sizeof(plain));
	return shm_send(c, &plain, sizeof(plain), NULL, 0);
}

int
shm_index(struct shm_client *c, enum vuc_shm_type type, uint32_t index)
{
	struct vuc_shm_index request = {.index = index};

	return shm_call(c, &request, type, sizeof(request), NULL, 0);
}

int
shm_open_queue(struct shm_client *c, uint32_t depth, uint32_t max_data, struct shm_queue *q)
{
	struct vuc_shm_open_queue request = {.depth = depth, .max_data = max_data};
	const struct vuc_shm_queue_reply *r = &c->reply.queue;
	int rc = shm_call(c, &request, VUC_SHM_OPEN_QUEUE, sizeof(request), NULL, 0);

	*q = (struct shm_queue){.client = c, .requests_fd = -1, .completions_fd = -1};
	if (rc != 0)
		return rc;
	if (c->len != sizeof(*r) || c->nr_fds != 2)
		return SHM_WRONG;
	q->index = r->index;
	q->depth = r->depth;
	q->max_data = r->max_data;
	q->requests_size = r->requests_size;
	q->completions_size = r->completions_size;
	q->requests_fd = c->fds[0];
	q->completions_fd = c->fds[1];
	c->nr_fds = 0;
	q->requests = map(q->requests_fd, q->requests_size, PROT_READ | PROT_WRITE);
	q->completions = map(q->completions_fd, q->completions_size, PROT_READ);
	return q->requests != NULL && q->completions != NULL ? 0 : SHM_WRONG;
}

void
shm_forget_queue(struct shm_queue *q)
{
	if (q->requests != NULL)
		munmap(q->requests, q->requests_size);
	if (q->completions != NULL)
		munmap((void *)(uintptr_t)q->completions, q->completions_size);
	vuc_fds_close((const int[]){q->requests_fd, q->completions_fd}, 2);
	q->requests_fd = -1;
	q->completions_fd = -1;
	q->requests = NULL;
	q->completions = NULL;
}

int
shm_close_queue(struct shm_queue *q)
{
	int rc = shm_index(q->client, VUC_SHM_CLOSE_QUEUE, q->index);

	shm_forget_queue(q);
	return rc;
}

int
shm_set_irqs(struct shm_client *c, const struct vuc_shm_set_irqs *what, const uint8_t *which,
	const int *fds, unsigned int nr_fds)
{
	union shm_packet request = {.bytes = {0}};
	size_t len = sizeof(*what) + (which != NULL ? what->count : 0);

	request.set_irqs = *what;
	if (which != NULL)
		memcpy(request.bytes + sizeof(*what), which, what->count);
	return shm_call(c, &request, VUC_SHM_SET_IRQS, len, fds, nr_fds);
}

int
shm_assign_irqs(struct shm_client *c, const int *fds, unsigned int nr)
{
	const struct vuc_shm_set_irqs what = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX, .count = nr, .data = VUC_SHM_IRQ_EVENT};
	uint8_t which[VUC_SHM_MAX_FDS];

	memset(which, 1, sizeof(which));
	return shm_set_irqs(c, &what, which, fds, nr);
}

int
shm_dma(struct shm_client *c, const struct vuc_shm_dma_entry *entry, uint32_t flags, int fd)
{
	union shm_packet request = {.bytes = {0}};

	request.dma.nr = 1;
	request.dma.nr_fds = entry->op == VUC_SHM_DMA_MAP;
	request.dma.flags = flags;
	request.dma.entries[0] = *entry;
	return shm_call(c, &request, VUC_SHM_DMA, sizeof(request.dma) + sizeof(*entry), &fd,
		request.dma.nr_fds);
}

int
shm_dma_map(
	struct shm_client *c, uint64_t iova, uint64_t size, uint64_t offset, uint32_t flags, int fd)
{
	const struct vuc_shm_dma_entry entry = {
		.op = VUC_SHM_DMA_MAP,
		.flags = flags,
		.iova = iova,
		.size = size,
		.offset = offset,
	};

	return shm_dma(c, &entry, VUC_SHM_DMA_COMMIT, fd);
}

int
shm_dma_unmap(struct shm_client *c, uint64_t iova, uint64_t size)
{
	const struct vuc_shm_dma_entry entry = {
		.op = VUC_SHM_DMA_UNMAP, .iova = iova, .size = size, .fd_index = -1};

	return shm_dma(c, &entry, VUC_SHM_DMA_COMMIT, -1);
}

int
shm_dma_unmap_all(struct shm_client *c)
{
	const struct vuc_shm_dma_entry entry = {.op = VUC_SHM_DMA_UNMAP_ALL, .fd_index = -1};

	return shm_dma(c, &entry, VUC_SHM_DMA_COMMIT, -1);
}

/* Every store here is followed by a load of what the daemon has written, in the one order of such
 * operations; docs/shm-abi.md has the argument. */
static void
ring(struct shm_queue *q)
{
	const struct vuc_shm_back *back = (const struct vuc_shm_back *)q->completions;
	const uint64_t one = 1;
	ssize_t n;

	if (__atomic_load_n(&back->bell, __ATOMIC_SEQ_CST) == 0)
		return;
	__atomic_fetch_or(&q->client->bell->rung, UINT64_C(1) << q->index, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&q->client->poller->sleeps, __ATOMIC_SEQ_CST) == 0)
		return;
	n = write(q->client->attach_fds[VUC_SHM_FD_KICK], &one, sizeof(one));
	(void)n;
}

void
shm_submit(struct shm_queue *q, const struct vuc_shm_request *request)
{
	uint32_t place = q->tail % q->depth;
	struct vuc_shm_request *slot = (struct vuc_shm_request *)(q->requests +
		sizeof(struct vuc_shm_front) + (size_t)place * VUC_SHM_SLOT_SIZE);

	memcpy(slot, request, offsetof(struct vuc_shm_request, tag));
	__atomic_store_n(&slot->tag, q->tail / q->depth + 1, __ATOMIC_SEQ_CST);
	q->tail++;
	ring(q);
}

uint32_t
shm_taken(const struct shm_queue *q)
{
	const struct vuc_shm_back *back = (const struct vuc_shm_back *)q->completions;

	return __atomic_load_n(&back->taken, __ATOMIC_ACQUIRE);
}

int
shm_complete(struct shm_queue *q, struct vuc_shm_completion *completion, int timeout_ms)
{
	const struct vuc_shm_back *back = (const struct vuc_shm_back *)q->completions;
	const struct vuc_shm_completion *slot = (const struct vuc_shm_completion *)(q->completions +
		sizeof(*back) + (size_t)(q->head % q->depth) * VUC_SHM_SLOT_SIZE);
	uint64_t deadline = vuc_clock_ms() + (uint64_t)timeout_ms;
	int closed;

	for (;;) {
		closed = __atomic_load_n(&back->closed, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&slot->tag, __ATOMIC_ACQUIRE) == q->head / q->depth + 1)
			break;
		if (closed != 0)
			return closed;
		if (vuc_clock_ms() >= deadline)
			return -ETIMEDOUT;
		sched_yield();
	}
	memcpy(completion, slot, sizeof(*completion));
	q->head++;
	return 0;
}

static int
access_now(struct shm_queue *q, const struct vuc_shm_request *request, void *data)
{
	struct vuc_shm_completion completion;
	int rc;

	shm_submit(q, request);
	rc = shm_complete(q, &completion, SHM_TIMEOUT_MS);
	if (rc != 0)
		return rc;
	if (completion.status == 0 && data != NULL)
		memcpy(data, completion.data, request->count);
	return completion.status;
}

int
shm_read(struct shm_queue *q, uint16_t region, uint64_t offset, void *data, uint32_t count)
{
	const struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = region, .offset = offset, .count = count};

	return count <= VUC_SHM_REQUEST_MAX ? access_now(q, &request, data) : -EINVAL;
}

int
shm_write(struct shm_queue *q, uint16_t region, uint64_t offset, const void *data, uint32_t count)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_WRITE, .region = region, .offset = offset, .count = count};

	if (count > VUC_SHM_REQUEST_MAX)
		return -EINVAL;
	memcpy(request.data, data, count);
	return access_now(q, &request, NULL);
}

/* Field by field, each behind the one before. */
static void
copy_state(struct vuc_shm_state *to, const struct vuc_shm_state *from)
{
	to->state = __atomic_load_n(&from->state, __ATOMIC_ACQUIRE);
	to->generation = __atomic_load_n(&from->generation, __ATOMIC_ACQUIRE);
	to->reads = __atomic_load_n(&from->reads, __ATOMIC_ACQUIRE);
	to->writes = __atomic_load_n(&from->writes, __ATOMIC_ACQUIRE);
	to->posted = __atomic_load_n(&from->posted, __ATOMIC_ACQUIRE);
	to->errors = __atomic_load_n(&from->errors, __ATOMIC_ACQUIRE);
	to->resets = __atomic_load_n(&from->resets, __ATOMIC_ACQUIRE);
	to->remaps = __atomic_load_n(&from->remaps, __ATOMIC_ACQUIRE);
	to->releases = __atomic_load_n(&from->releases, __ATOMIC_ACQUIRE);
}

struct vuc_shm_state
shm_state(const struct shm_client *c)
{
	struct vuc_shm_state state;

	do {
		state.sequence = __atomic_load_n(&c->state->sequence, __ATOMIC_ACQUIRE);
		copy_state(&state, c->state);
	} while ((state.sequence & 1) != 0 ||
		__atomic_load_n(&c->state->sequence, __ATOMIC_RELAXED) != state.sequence);
	return state;
}

bool
shm_becomes(const struct shm_client *c, enum vuc_shm_device_state state)
{
	uint64_t deadline = vuc_clock_ms() + SHM_TIMEOUT_MS, now, count;
	int fd = c->attach_fds[VUC_SHM_FD_EVENT];

	while (shm_state(c).state != (uint32_t)state) {
		now = vuc_clock_ms();
		if (now >= deadline || !wait_readable(fd, (int)(deadline - now)))
			return false;
		if (read(fd, &count, sizeof(count)) < 0)
			return false;
	}
	return true;
}

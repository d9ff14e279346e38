/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A VMM that does what the input says, with the control plane's sockets and with the memory that it
 * shares; fuzz_control_world.c has the daemon. The input is a script: an operation is one byte, the
 * index into the table at the end, and what its function takes. seeds_control.py writes the same
 * layout.
 *
 * Whatever happens, replies are of the form that they must have, and when the VMM has gone its
 * device is free, has no mappings, and no descriptor is left.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "fuzz_control.h"

#define MAX_STEPS 300u
#define MAX_RINGS 8u
#define PAGE      4096u

struct ring {
	uint8_t *requests;
	size_t requests_size;
	const uint8_t *completions;
	size_t completions_size;
	uint32_t depth;
};

struct vmm {
	struct input in;
	struct daemon_end end;
	int fd; /* -1: it has hung up */
	uint32_t sequence;
	uint16_t asked; /* type of the last request */
	struct vuc_shm_bell *bell;
	int kick_fd;
	unsigned int nr_rings;
	struct ring rings[MAX_RINGS];
};

union packet_bytes {
	struct vuc_shm_header header;
	struct vuc_shm_failure failure;
	struct vuc_shm_hello hello;
	struct vuc_shm_attach attach;
	struct vuc_shm_attach_reply attach_reply;
	struct vuc_shm_open_queue open_queue;
	struct vuc_shm_queue_reply queue;
	struct vuc_shm_index index;
	struct vuc_shm_dma dma;
	struct vuc_shm_set_irqs set_irqs;
	uint8_t bytes[VUC_SHM_MAX_PACKET + 64];
};

/* ---- replies ---- */

static void *
map(int fd, size_t size, int prot)
{
	void *addr = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	REQUIRE(addr != MAP_FAILED);
	return addr;
}

static void
take_attachment(struct vmm *m, const int *fds, unsigned int nr_fds)
{
	REQUIRE(nr_fds == VUC_SHM_ATTACH_FDS && m->bell == NULL);
	m->bell = map(fds[VUC_SHM_FD_BELL], PAGE, PROT_READ | PROT_WRITE);
	m->kick_fd = dup(fds[VUC_SHM_FD_KICK]);
	REQUIRE(m->kick_fd >= 0);
	REQUIRE(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fds[VUC_SHM_FD_STATE], 0) == MAP_FAILED);
}

static void
take_ring(struct vmm *m, const struct vuc_shm_queue_reply *r, const int *fds, unsigned int nr_fds)
{
	struct ring *ring = &m->rings[m->nr_rings];

	REQUIRE(nr_fds == 2 && r->index < VUC_SHM_MAX_QUEUES && r->reserved == 0);
	if (m->nr_rings == MAX_RINGS)
		return;
	m->nr_rings++;
	ring->depth = r->depth;
	ring->requests_size = r->requests_size;
	ring->completions_size = r->completions_size;
	ring->requests = map(fds[0], r->requests_size, PROT_READ | PROT_WRITE);
	ring->completions = map(fds[1], r->completions_size, PROT_READ);
}

static void
check_failure(const struct vuc_shm_failure *f, size_t len, unsigned int nr_fds)
{
	struct vuc_error err = {0};

	REQUIRE(len == sizeof(*f) && nr_fds == 0 && f->header.status >= -4095);
	REQUIRE(memchr(f->reason, '\0', sizeof(f->reason)) != NULL);
	memcpy(err.text, f->reason, sizeof(f->reason));
	REQUIRE(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
}

static void
check_reply(
	struct vmm *m, const union packet_bytes *p, size_t len, const int *fds, unsigned int nr_fds)
{
	const struct vuc_shm_header *h = &p->header;

	REQUIRE(len >= sizeof(*h) && h->size == len && len <= VUC_SHM_MAX_PACKET);
	REQUIRE(h->flags == VUC_SHM_REPLY && h->type == m->asked && h->sequence == m->sequence);
	REQUIRE(h->status <= 0);
	if (h->status < 0)
		check_failure(&p->failure, len, nr_fds);
	else if (h->type == VUC_SHM_ATTACH)
		take_attachment(m, fds, nr_fds);
	else if (h->type == VUC_SHM_OPEN_QUEUE)
		take_ring(m, &p->queue, fds, nr_fds);
}

/* Returns false when there is none. */
static bool
take_reply(struct vmm *m)
{
	union packet_bytes p;
	struct iovec part = {.iov_base = p.bytes, .iov_len = sizeof(p.bytes)};
	int fds[VUC_SHM_MAX_FDS], nr_fds;
	ssize_t n =
		vuc_fds_receive(m->fd, &part, 1, fds, VUC_SHM_MAX_FDS, &nr_fds, MSG_DONTWAIT, NULL);

	if (n <= 0)
		return false;
	REQUIRE(nr_fds >= 0);
	check_reply(m, &p, (size_t)n, fds, (unsigned int)nr_fds);
	vuc_fds_close(fds, (unsigned int)nr_fds);
	return true;
}

/* ---- packets ---- */

/* One half of the byte says how many, the other one of what. */
static unsigned int
choose_fds(struct vmm *m, uint8_t choice, int *fds)
{
	unsigned int nr = choice & 0xf;

	/* Fifteen stands for one too many. */
	if (nr == 0xf)
		nr = VUC_SHM_MAX_FDS + 1;
	for (unsigned int i = 0; i < nr; i++)
		fds[i] = daemon_fd(&m->end, (choice >> 4) + (i > 0 ? i : 0));
	return nr;
}

static void
send_bytes(struct vmm *m, const void *bytes, size_t len, uint8_t choice)
{
	int fds[VUC_SHM_MAX_FDS + 1];
	unsigned int nr = choose_fds(m, choice, fds);

	if (m->fd < 0)
		return;
	(void)vuc_fds_send(m->fd, bytes, len, fds, nr, MSG_DONTWAIT);
	daemon_step(&m->end);
	while (take_reply(m))
		continue;
}

/* With its header as it must be. */
static void
send_packet(struct vmm *m, union packet_bytes *p, enum vuc_shm_type type, size_t len, uint8_t fds)
{
	m->asked = (uint16_t)type;
	p->header = (struct vuc_shm_header){
		.type = (uint16_t)type, .size = (uint32_t)len, .sequence = ++m->sequence};
	send_bytes(m, p, len, fds);
}

static void
op_hello(struct vmm *m)
{
	union packet_bytes p = {.hello = {.magic = VUC_SHM_MAGIC, .name = "fuzz"}};

	p.hello.version_min = VUC_SHM_VERSION;
	p.hello.version_max = VUC_SHM_VERSION;
	send_packet(m, &p, VUC_SHM_HELLO, sizeof(p.hello), 0);
}

static void
op_attach(struct vmm *m)
{
	union packet_bytes p = {.bytes = {0}};

	strcpy(p.attach.name, take_u8(&m->in) % 2 == 0 ? DAEMON_SHARED : DAEMON_MESSAGE);
	send_packet(m, &p, VUC_SHM_ATTACH, sizeof(p.attach), 0);
}

static void
op_open_queue(struct vmm *m)
{
	union packet_bytes p = {.bytes = {0}};

	p.open_queue.depth = 1u << (take_u8(&m->in) % 8);
	p.open_queue.max_data = 64u * (1 + take_u8(&m->in) % 8);
	send_packet(m, &p, VUC_SHM_OPEN_QUEUE, sizeof(p.open_queue), 0);
}

static void
op_map(struct vmm *m)
{
	union packet_bytes p = {.bytes = {0}};
	uint8_t kind = take_u8(&m->in);

	p.dma.nr = 1;
	p.dma.nr_fds = 1;
	p.dma.flags = kind >> 7;
	p.dma.entries[0] = (struct vuc_shm_dma_entry){
		.op = VUC_SHM_DMA_MAP,
		.flags = 1 + take_u8(&m->in) % 3,
		.iova = (uint64_t)take_u8(&m->in) * PAGE,
		.size = (uint64_t)take_u8(&m->in) * PAGE,
	};
	send_packet(m, &p, VUC_SHM_DMA, sizeof(p.dma) + sizeof(p.dma.entries[0]),
		(uint8_t)(kind << 4 | 1));
}

/* Any type, any body, any descriptors. */
static void
op_packet(struct vmm *m)
{
	union packet_bytes p;
	uint8_t type = take_u8(&m->in), fds = take_u8(&m->in);
	size_t len = sizeof(p.header) + take_u8(&m->in);

	if (fds >= 0xf0)
		len = len * 16 < sizeof(p) ? len * 16 : sizeof(p);
	take(&m->in, p.bytes + sizeof(p.header), len - sizeof(p.header));
	send_packet(m, &p, type, len, fds);
}

/* Not even a header. */
static void
op_raw(struct vmm *m)
{
	uint8_t bytes[256], len = take_u8(&m->in);

	take(&m->in, bytes, len);
	if (len >= sizeof(struct vuc_shm_header)) {
		memcpy(&m->asked, bytes, sizeof(m->asked));
		memcpy(&m->sequence, bytes + offsetof(struct vuc_shm_header, sequence),
			sizeof(m->sequence));
	}
	send_bytes(m, bytes, len, 0);
}

static void
op_hang_up(struct vmm *m)
{
	if (m->fd >= 0)
		REQUIRE(close(m->fd) == 0);
	m->fd = -1;
	daemon_step(&m->end);
}

/* ---- memory ---- */

static struct ring *
choose_ring(struct vmm *m)
{
	uint8_t n = take_u8(&m->in);

	return m->nr_rings > 0 ? &m->rings[n % m->nr_rings] : NULL;
}

/* A request with its tag, where the daemon looks next. */
static void
op_request(struct vmm *m)
{
	const struct ring *ring = choose_ring(m);
	struct vuc_shm_request request = {.op = take_u8(&m->in), .region = take_u8(&m->in)};
	struct vuc_shm_request *slot;
	uint32_t place;

	request.id = take_u8(&m->in);
	request.count = take_u8(&m->in);
	take(&m->in, &request.offset, 2);
	take(&m->in, request.data, 8);
	if (ring == NULL)
		return;
	place = ((const struct vuc_shm_back *)(const void *)ring->completions)->taken;
	slot = (struct vuc_shm_request *)(void *)(ring->requests + sizeof(struct vuc_shm_front)) +
		place % ring->depth;
	memcpy(slot, &request, offsetof(struct vuc_shm_request, tag));
	__atomic_store_n(&slot->tag, place / ring->depth + 1, __ATOMIC_RELEASE);
	m->bell->rung = UINT64_MAX;
	daemon_poll(&m->end);
}

static void
op_word(struct vmm *m)
{
	const struct ring *ring = choose_ring(m);
	size_t word = take_u32(&m->in);
	uint32_t value = take_u32(&m->in);

	if (ring != NULL)
		__atomic_store_n(
			(uint32_t *)(void *)ring->requests + word % (ring->requests_size / 4),
			value, __ATOMIC_RELEASE);
}

static void
op_bell(struct vmm *m)
{
	uint64_t bits = take_u64(&m->in), count = take_u8(&m->in);

	if (m->bell == NULL)
		return;
	__atomic_store_n(&m->bell->rung, bits, __ATOMIC_RELEASE);
	(void)!write(m->kick_fd, &count, sizeof(count));
}

static void
op_poll(struct vmm *m)
{
	daemon_poll(&m->end);
	daemon_step(&m->end);
}

static void
op_truncate(struct vmm *m)
{
	daemon_truncate(take_u8(&m->in) * (size_t)PAGE);
}

/* ---- the script ---- */

static void (*const operations[])(struct vmm *m) = {
	op_hello,
	op_attach,
	op_open_queue,
	op_map,
	op_packet,
	op_raw,
	op_hang_up,
	op_request,
	op_word,
	op_bell,
	op_poll,
	op_truncate,
};

#define NR_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static void
leave(struct vmm *m)
{
	if (m->fd >= 0)
		REQUIRE(close(m->fd) == 0);
	daemon_end(&m->end);
	for (unsigned int i = 0; i < m->nr_rings; i++) {
		munmap(m->rings[i].requests, m->rings[i].requests_size);
		munmap((void *)(uintptr_t)m->rings[i].completions, m->rings[i].completions_size);
	}
	if (m->bell != NULL) {
		munmap(m->bell, PAGE);
		REQUIRE(close(m->kick_fd) == 0);
	}
	daemon_check_fds(&m->end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmm m = {.in = {.data = data, .size = size}};

	m.fd = daemon_begin(&m.end);
	for (unsigned int i = 0; i < MAX_STEPS && m.in.size > 0; i++)
		operations[take_u8(&m.in) % NR_OPERATIONS](&m);
	leave(&m);
	return 0;
}

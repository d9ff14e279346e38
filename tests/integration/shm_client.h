/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SHM_CLIENT_H
#define VUC_TESTS_SHM_CLIENT_H

/*
 * A VMM as <vuc/shm.h> describes it, written without any of the library: it can say whatever it
 * likes, right or wrong.
 *
 *	struct shm_client c;
 *
 *	CU_ASSERT_EQUAL_FATAL(shm_connect(&c, path), 0);
 *	CU_ASSERT_EQUAL_FATAL(shm_hello(&c), 0);
 *	CU_ASSERT_EQUAL_FATAL(shm_attach(&c, "disk0"), 0);
 *	...
 *	shm_close(&c);
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/shm.h>

#define SHM_TIMEOUT_MS 60000 /* until the daemon counts as hung */

/* What a call returns beside the reply's status, which is 0 or negative. */
#define SHM_GONE   1 /* the daemon closed the connection */
#define SHM_SILENT 2 /* it has said nothing in time */
#define SHM_WRONG  3 /* the reply is none that may come */

/* A packet of either side. */
union shm_packet {
	struct vuc_shm_header header;
	struct vuc_shm_failure failure;
	struct vuc_shm_plain plain;
	struct vuc_shm_hello hello;
	struct vuc_shm_hello_reply hello_reply;
	struct vuc_shm_attach attach;
	struct vuc_shm_attach_reply attach_reply;
	struct vuc_shm_index index;
	struct vuc_shm_region_reply region;
	struct vuc_shm_irq_reply irq;
	struct vuc_shm_open_queue open_queue;
	struct vuc_shm_queue_reply queue;
	struct vuc_shm_dma dma;
	struct vuc_shm_dma_reply dma_reply;
	struct vuc_shm_set_irqs set_irqs;
	struct vuc_shm_irqs_reply irqs_reply;
	struct vuc_shm_io_reply io;
	struct vuc_shm_list list;
	struct vuc_shm_list_reply list_reply;
	uint8_t bytes[VUC_SHM_MAX_PACKET + 64]; /* one can be too long */
};

/* A request with its descriptor, but without its header. */
struct shm_request {
	enum vuc_shm_type type;
	size_t len;
	int fd; /* or -1 */
	union shm_packet packet;
};

struct shm_queue {
	struct shm_client *client;
	uint32_t index;
	uint32_t depth;
	uint32_t max_data;
	size_t requests_size;
	size_t completions_size;
	int requests_fd;
	int completions_fd;
	uint8_t *requests;
	const uint8_t *completions;
	uint32_t tail; /* of requests */
	uint32_t head; /* of completions */
};

struct shm_client {
	int fd;
	uint32_t sequence; /* of the last request */

	/* Once attached. */
	int attach_fds[VUC_SHM_ATTACH_FDS];
	const struct vuc_shm_state *state;
	struct vuc_shm_bell *bell;
	const struct vuc_shm_poller *poller;

	/* The last packet that came. Its descriptors are closed by the next call, and those that
	 * are taken are set to -1. */
	size_t len;
	int fds[VUC_SHM_MAX_FDS];
	unsigned int nr_fds;
	union shm_packet reply;

	/* Queues that are forgotten by shm_close(), for whoever wants that. */
	unsigned int nr_queues;
	struct shm_queue queues[VUC_SHM_MAX_QUEUES];
};

/* Not connected: nothing to close. */
void shm_init(struct shm_client *c);

/* 0 or a negative errno. */
int shm_connect(struct shm_client *c, const char *path);

/* Hang up, and forget everything, if there is anything. */
void shm_close(struct shm_client *c);

/* Send any bytes with any descriptors: 0 or a negative errno. */
int shm_send(
	struct shm_client *c, const void *bytes, size_t len, const int *fds, unsigned int nr_fds);

/* Wait for a packet: 0, SHM_GONE or SHM_SILENT. */
int shm_receive(struct shm_client *c, int timeout_ms);

/* Whether the daemon ends the connection in time, whatever it says before. */
bool shm_is_ended(struct shm_client *c);

/* Fill the header of a request, which is the next one. */
void shm_header(
	struct shm_client *c, struct vuc_shm_header *header, enum vuc_shm_type type, size_t size);

/* One that is right in its state, for a device name, with a descriptor if it can have one: a map of
 * the first page of fd, or fd for the second MSI-X vector of two. Unknown types are headers alone.
 */
struct shm_request shm_request(enum vuc_shm_type type, const char *device, int fd);

/* Send a request with that header, and wait for its reply: its status; or SHM_*. */
int shm_call(struct shm_client *c, void *request, enum vuc_shm_type type, size_t size,
	const int *fds, unsigned int nr_fds);

/* The requests, one by one, each with the result of shm_call(). */
int shm_hello(struct shm_client *c);
int shm_attach(struct shm_client *c, const char *device);
int shm_plain(struct shm_client *c, enum vuc_shm_type type);
int shm_send_plain(struct shm_client *c, enum vuc_shm_type type); /* without a wait */
int shm_index(struct shm_client *c, enum vuc_shm_type type, uint32_t index);
int shm_open_queue(struct shm_client *c, uint32_t depth, uint32_t max_data, struct shm_queue *q);
int shm_close_queue(struct shm_queue *q);
int shm_set_irqs(struct shm_client *c, const struct vuc_shm_set_irqs *what, const uint8_t *which,
	const int *fds, unsigned int nr_fds);

/* Eventfds for the first MSI-X vectors. */
int shm_assign_irqs(struct shm_client *c, const int *fds, unsigned int nr);

/* One mapping of a file of its own, and a commit. */
int shm_dma_map(struct shm_client *c, uint64_t iova, uint64_t size, uint64_t offset, uint32_t flags,
	int fd);
int shm_dma_unmap(struct shm_client *c, uint64_t iova, uint64_t size);
int shm_dma_unmap_all(struct shm_client *c);

/* One entry, committed or not, with the descriptor of a map. */
int shm_dma(struct shm_client *c, const struct vuc_shm_dma_entry *entry, uint32_t flags, int fd);

/* Hello and attach, on a new connection. */
int shm_start(struct shm_client *c, const char *path, const char *device);

/* Unmap a queue's memory, and close its descriptors. */
void shm_forget_queue(struct shm_queue *q);

/* Put a request into the ring and ring the bell; there has to be room. */
void shm_submit(struct shm_queue *q, const struct vuc_shm_request *request);

/* How many requests the daemon has taken out of the ring. */
uint32_t shm_taken(const struct shm_queue *q);

/* Wait for the next completion: 0; -ETIMEDOUT; the error that closed the queue. */
int shm_complete(struct shm_queue *q, struct vuc_shm_completion *completion, int timeout_ms);

/* A read or a write of at most 32 bytes, awaited: its status; -ETIMEDOUT; the error that closed the
 * queue. */
int shm_read(struct shm_queue *q, uint16_t region, uint64_t offset, void *data, uint32_t count);
int shm_write(
	struct shm_queue *q, uint16_t region, uint64_t offset, const void *data, uint32_t count);

/* The state page as a whole. */
struct vuc_shm_state shm_state(const struct shm_client *c);

/* Wait until the page shows a state, by the eventfd: whether it does in time. */
bool shm_becomes(const struct shm_client *c, enum vuc_shm_device_state state);

#endif /* VUC_TESTS_SHM_CLIENT_H */

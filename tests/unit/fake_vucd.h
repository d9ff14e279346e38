/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAKE_VUCD_H
#define VUC_TESTS_FAKE_VUCD_H

/*
 * A daemon that keeps to <vuc/shm.h>, with one device that does nothing; it can be told to twist a
 * reply. It serves one VMM after the other, on a thread of its own.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/shm.h>
#include <vuc/vmm.h>

#define FAKE_DEVICE    "disk" /* the name of its device */
#define FAKE_REGIONS   3u
#define FAKE_IRQS      3u
#define FAKE_MAX_LOG   96u
#define FAKE_MAX_FDS   32u
#define FAKE_REGION    0x4000u /* bytes of region 0, whose first and last page can be mapped */
#define FAKE_TIMEOUT_S 20u     /* until the alarm ends a test that hangs */

/* A request as it came. */
struct fake_request {
	size_t size;
	unsigned int nr_fds;
	union fake_packet {
		struct vuc_shm_header header;
		struct vuc_shm_hello hello;
		struct vuc_shm_attach attach;
		struct vuc_shm_index index;
		struct vuc_shm_open_queue open_queue;
		struct vuc_shm_dma dma;
		struct vuc_shm_set_irqs set_irqs;
		struct vuc_shm_hello_reply hello_reply;
		struct vuc_shm_attach_reply attach_reply;
		struct vuc_shm_region_reply region_reply;
		struct vuc_shm_irq_reply irq_reply;
		struct vuc_shm_queue_reply queue_reply;
		struct vuc_shm_dma_reply dma_reply;
		struct vuc_shm_irqs_reply irqs_reply;
		struct vuc_shm_io_reply io_reply;
		struct vuc_shm_failure failure;
		uint8_t bytes[2 * VUC_SHM_MAX_PACKET];
	} * packet;
};

/* A reply as it is to go out. */
struct fake_reply {
	union fake_packet *packet;
	size_t size;
	unsigned int nr_fds;
	int fds[FAKE_MAX_FDS]; /* closed once they were sent */
	unsigned int copies;   /* 0: none is sent */
	bool hang_up;          /* instead of the next request */
};

/* Both parts of the memory of a queue. */
struct fake_queue {
	uint32_t depth;
	uint32_t max_data;
	void *requests;
	void *completions;
	size_t requests_size;
	size_t completions_size;
};

struct fake_vucd;

/* Changes a reply, or what the daemon does. */
typedef void (*fake_twist_fn)(struct fake_vucd *d, struct fake_reply *reply, void *arg);

struct fake_vucd {
	char dir[64];
	char path[96];
	int listener;
	int stop[2]; /* a pipe: closed when the daemon is to end */
	pthread_t thread;
	pthread_mutex_t lock; /* for all below, which both threads use */
	unsigned int twisted; /* enum vuc_shm_type whose replies are twisted, after so many */
	unsigned int after;
	fake_twist_fn twist;
	void *twist_arg;
	unsigned int nr_log;
	struct fake_request log[FAKE_MAX_LOG]; /* packets as they came */
	unsigned int violations;               /* requests that the VMM must not send */
	uint32_t sequence;
	int conn; /* -1: none */
	int state_fd;
	int bell_fd;
	int poller_fd;
	int kick_fd;
	int event_fd;
	struct vuc_shm_state *state;
	struct vuc_shm_bell *bell;
	struct vuc_shm_poller *poller;
	struct fake_queue queues[VUC_SHM_MAX_QUEUES];
	uint32_t mappings;
};

/* Start it; ends the running test when it cannot. An alarm goes off unless it is stopped in time.
 */
void fake_vucd_start(struct fake_vucd *d);

/* End it, and free all it has. Asserts that no request broke the rules. */
void fake_vucd_stop(struct fake_vucd *d);

/* Replies to requests of a type are twisted from now on, but for the first few; NULL: no more. */
void fake_vucd_twist(
	struct fake_vucd *d, unsigned int type, unsigned int after, fake_twist_fn twist, void *arg);

/* Publish a state, and signal it. */
void fake_vucd_publish(struct fake_vucd *d, const struct vuc_shm_state *state);

/* The connection is gone, as if the daemon had died. */
void fake_vucd_hang_up(struct fake_vucd *d);

/* How many requests of a type have come. */
unsigned int fake_vucd_count(struct fake_vucd *d, unsigned int type);

/* The n-th request of a type; it must be there, and stays valid. */
const struct fake_request *fake_vucd_request(
	struct fake_vucd *d, unsigned int type, unsigned int n);

/* A twist: the reply is a refusal with the errno that arg points to, and says "because". */
void fake_refuse(struct fake_vucd *d, struct fake_reply *reply, void *arg);

/* What a device is attached with. */
void fake_opts(const struct fake_vucd *d, struct vuc_vmm_attach_opts *opts);

/* Attach; ends the running test when it fails. */
struct vuc_vmm_device *fake_attach(const struct fake_vucd *d);

/* Memory of a size, which cannot shrink. Returns its descriptor. */
int fake_memory(size_t size);

/* Inside: the reply to a request that was checked. */
void fake_make_reply(
	struct fake_vucd *d, const union fake_packet *request, struct fake_reply *reply);
bool fake_is_allowed(const union fake_packet *request, size_t size, unsigned int nr_fds);

#endif /* VUC_TESTS_FAKE_VUCD_H */

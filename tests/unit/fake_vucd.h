/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAKE_VUCD_H
#define VUC_TESTS_FAKE_VUCD_H

/*
 * The daemon of the running test, which keeps to <vuc/shm.h>, with one device that does nothing; it
 * can be told to twist a reply. It serves one VMM after the other, on a thread of its own.
 */

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <vuc/shm.h>
#include <vuc/vmm.h>

#include "tap.h"

#define FAKE_DEVICE  "disk" /* the name of its device */
#define FAKE_REGIONS 3u
#define FAKE_IRQS    3u
#define FAKE_MAX_LOG 96u
#define FAKE_LISTED  130u /* devices that it lists */
#define FAKE_MAX_FDS 32u
#define FAKE_REGION  0x4000u /* bytes of region 0, whose first and last page can be mapped */

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
		struct vuc_shm_list list;
		struct vuc_shm_list_reply list_reply;
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

/* Changes a reply, or what the daemon does. */
typedef void (*fake_twist_fn)(struct fake_reply *reply, void *arg);

struct fake_vucd {
	char dir[64];
	char path[96];
	struct sockaddr_un address; /* of path */
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
	int conn;   /* -1: none */
	int fds[5]; /* those of ATTACH's reply: state, bell, poller, kick, event */
	struct vuc_shm_state *state;
	struct vuc_shm_bell *bell;
	struct vuc_shm_poller *poller;
	int memory; /* a descriptor of some */
	int kick_fd;
	int event_fd;
	struct fake_queue queues[VUC_SHM_MAX_QUEUES];
	uint32_t mappings;
	unsigned int fds_before;
	struct fake_server *server; /* of the queues; NULL: none */
};

extern struct fake_vucd fake;
extern struct vuc_vmm_device *dev; /* of the running test; NULL: none */
extern struct vuc_error err;       /* of its last call that takes one */

/* Before and after each test: the daemon alone, or with dev attached to it. In the end no request
 * has broken the rules and no descriptor is left. An alarm ends a test that hangs. */
void fake_start(void);
void fake_start_attached(void);
void fake_stop(void);

/* Replies to requests of a type are twisted from now on, but for the first few; NULL: no more. */
void fake_twist(unsigned int type, unsigned int after, fake_twist_fn twist, void *arg);

/* Twists: a refusal with the errno that arg points to, which says "because"; no reply; the end of
 * the connection instead of one. */
void fake_refuse(struct fake_reply *reply, void *arg);
void fake_keep_silent(struct fake_reply *reply, void *arg);
void fake_end(struct fake_reply *reply, void *arg);

/* Publish a state, and signal it. */
void fake_publish(const struct vuc_shm_state *state);

/* The connection is gone, as if the daemon had died. */
void fake_hang_up(void);

/* The daemon has died, and another one is there, which knows nothing; no request is logged. */
void fake_restart(void);

/* Serve all queues, on a thread of its own until fake_stop_queues(): a read gets bytes that are the
 * low byte of its offset. */
void fake_serve_queues(void);
void fake_stop_queues(void);

/* How many requests of a type have come; wait for so many. */
unsigned int fake_count(unsigned int type);
void fake_await(unsigned int type, unsigned int nr);

/* The n-th request of a type; it must be there, and stays valid. */
const struct fake_request *fake_request(unsigned int type, unsigned int n);

/* What a device is attached with. */
void fake_opts(struct vuc_vmm_attach_opts *opts);

/* Detach dev, if there is one, and attach it anew; timeout_ms 0: the default. */
void fake_attach(uint32_t timeout_ms);

/* Detach dev, if there is one. */
void fake_detach(void);

/* Have connections that nobody accepts, until connecting would wait. Returns how many. */
unsigned int fake_fill_backlog(int socks[8]);

/* Memory of a size, which cannot shrink. Returns its descriptor. */
int fake_memory(size_t size);
void *fake_map(int fd, size_t size);

/* A socket of this type, connected to the daemon if that is the daemon's. */
int fake_connect(int type);

/* What has become of a call that was started. Dispatch events until it has ended, returns them. */
struct fake_outcome {
	unsigned int calls;
	int status;
};
void fake_keep_outcome(void *arg, int status, const struct vuc_error *why);
uint32_t fake_run_until(const struct fake_outcome *o);

/* Whether the device's descriptor of events is readable by then; timeout_ms -1: it is awaited. */
bool fake_has_events(int timeout_ms);

/* Whether a call has returned this, and err says what fits the pattern, in which '*' is anything;
 * prints both when not. */
bool fake_failed(int rc, int wanted, const char *pattern);

/* Inside: make the reply to a request, whose size is returned; whether a VMM may make it. */
size_t fake_make_reply(const union fake_packet *request, struct fake_reply *reply);
bool fake_is_allowed(const struct fake_request *request);
void fake_free_queue(struct fake_queue *q);
void fake_forget_backs(void); /* with the daemon's lock held: their memory is going to be freed */

#endif /* VUC_TESTS_FAKE_VUCD_H */

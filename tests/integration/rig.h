/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_RIG_H
#define VUC_TESTS_RIG_H

/*
 * The one rig for tests inside one process: a reference server with two devices, a poller, and a
 * control plane that offers both to VMMs, or the poller alone. Everything here asserts that it
 * works. There is one rig at a time.
 *
 *	rig_start_attached(&(struct rig_opts){.dma = VUC_DMA_MESSAGE});
 *	...
 *
 * The end of a test stops the rig, and so does the start of the next one.
 */

#include <fcntl.h> /* F_SEAL_... */
#include <signal.h>

#include <vuc/control.h>
#include <vuc/poller.h>

#include "peer.h"
#include "process.h"
#include "shm_client.h"
#include "tempdir.h"

#define RIG_NAME   "disk0"
#define RIG_SECOND "disk1"
#define RIG_POLLER "rig"

#define MSIX    VFIO_PCI_MSIX_IRQ_INDEX
#define PAGE    4096u
#define MIB     (1024u * 1024u)
#define AN_HOUR 3600000u /* milliseconds */

#define READ_WRITE (VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE)

/* Until something that has to happen counts as not happening. */
#define RIG_WAIT_MS SHM_TIMEOUT_MS

struct rig {
	struct peer *peer;
	const char *sockets[2]; /* of the server's devices */
	struct vuc_poller *poller;
	struct vuc_control *control; /* NULL: the poller alone */
	struct vuc_device *dev[2];   /* of the poller alone */
	struct vuc_queue *queue[2];  /* to these, with opts->depth */
	char folder[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 16]; /* of the control plane's socket */
	int memory;                       /* of a VMM, which does not shrink */
	int irq;                          /* an eventfd that does not block */
};

extern struct rig rig;

/* Those of the running test, which rig_stop() closes. */
extern struct shm_client client, other_client;

/* What differs from the defaults, which zeros are. Of devices it concerns both. */
struct rig_opts {
	const char *server[8]; /* options of vuc-refdev */
	size_t memory;         /* bytes of the VMM; 1 MiB by default */
	unsigned int alone; /* so many devices are opened by the poller, without a control plane */
	uint32_t depth;     /* of a queue to each of these; 0: none */
	unsigned int idle;  /* enum vuc_idle + 1; it sleeps by default */
	int idle_loops;     /* 100 by default; -1: none */
	unsigned int cpu;   /* that the poller is bound to, plus 1; none by default */
	const char *near_socket; /* or, without one, where it is placed */
	const void *near_memory;

	/* Deadlines of servers. By default they are longer than any test waits: on a busy machine
	 * a server that is well may take seconds to answer. */
	uint32_t timeout_ms, long_timeout_ms;
	uint16_t max_requests;
	enum vuc_dma_policy dma;
	unsigned int posted_writes; /* enum vuc_posted_writes + 1 */
	vuc_trace_fn trace;
	void *trace_arg;

	enum vuc_control_reset reset;
	enum vuc_control_map map;
	uint32_t release_ms;
	uint32_t retry_min_ms, retry_max_ms; /* 5 and 50 by default */
	enum vuc_control_outage outage;      /* fail by default */
	uint32_t hold_ms;
	bool no_fence;
	uid_t user; /* who may have the devices */
	gid_t group;

	mode_t mode;
	unsigned int max_vmms, max_vmms_per_user, max_queues, max_dma_maps;
	uint64_t max_dma_message;
	bool no_dma_message; /* 0 of them */
	uint32_t handshake_timeout_ms;
	vuc_log_fn log;
};

/* NULL takes the defaults. A rig that runs is stopped before. */
void rig_start(const struct rig_opts *opts);

/* The same, and attach the client to RIG_NAME. */
void rig_start_attached(const struct rig_opts *opts);

/* The same, and open a queue of 4 requests of 64 bytes. */
struct shm_queue *rig_start_with_queue(const struct rig_opts *opts);

/* Stop all, and assert that there are as many descriptors and threads as before rig_start(). */
void rig_stop(void);

/* The same, when no connection is left but those of the two clients. */
void rig_stop_attached(void);

/* Only the control plane. */
void rig_stop_control(void);

/* Another poller, with the options of pollers, which may be NULL. */
struct vuc_poller *rig_start_poller(const char *name, const struct rig_opts *opts);

/* For pollers alone: open another device of a server, or another queue to one of the rig's, which
 * the test closes. */
struct vuc_device *rig_open_device(struct vuc_poller *p, struct peer *peer, unsigned int device);
struct vuc_queue *rig_open_device_queue(unsigned int device, uint32_t depth);

/* Close what the rig has opened before rig_stop(): a device with its queue; the poller with all. */
void rig_close_device(unsigned int device);
void rig_stop_poller(void);

/* Whether this is the loopback: the running test is skipped, and says why. */
bool rig_skips_loopback(const char *why);

/* Write a register, posted, and read it back, so many times. */
void rig_use_queue(struct vuc_queue *q, uint32_t rounds);

/* A vuc_done_fn that asserts success; arg is an atomic_uint, which counts. */
void rig_count_end(void *arg, int status, const struct vuc_error *err);

/* How the rig adds a device, at the socket of a server. */
struct rig_device {
	struct vuc_control_device_opts control;
	struct vuc_device_opts open;
};

void rig_device_opts(
	struct rig_device *d, const struct rig_opts *opts, const char *name, const char *socket);

/* Another device. */
void rig_add_device(const struct rig_opts *opts, const char *name, const char *socket);

/* A signal for the server. */
void rig_signal_server(int signal);

/* End the server without a warning; the client is told. */
void rig_lose_server(void);

/* Connect and say hello; attach as well; leave by word. */
void rig_greet(struct shm_client *c);
void rig_attach(struct shm_client *c, const char *device);
void rig_detach(struct shm_client *c);

/* Connect, and go as far as a request of this type needs. */
void rig_reach(struct shm_client *c, enum vuc_shm_type type);

/* A queue of it, which shm_close() forgets. */
struct shm_queue *rig_open_queue(struct shm_client *c, uint32_t depth, uint32_t max_data);

/* Let time pass that is the poller's: with so many queues that are opened and closed. */
void rig_pass_time(struct shm_client *c, unsigned int nr_queues);

/* A register of BAR0. */
uint64_t rig_read(struct shm_queue *q, uint64_t reg, uint32_t count);
void rig_write(struct shm_queue *q, uint64_t reg, uint64_t value, uint32_t count);

/* Let the device transfer len bytes from and to an address, and return the status that it shows;
 * UINT32_MAX when the queue has ended. */
uint32_t rig_transfer(struct shm_queue *q, uint32_t mode, uint64_t iova, uint32_t len);

/* All MSI-X vectors trigger the rig's eventfd. */
int rig_assign_irqs(struct shm_client *c);

/* Leave what a VMM can leave in a device: a mapping of the rig's memory, all MSI-X vectors to its
 * eventfd, a register. */
void rig_leave_traces(struct shm_client *c);

/* The device becomes free, and whoever attaches next finds nothing of that. Leaves by word. */
void rig_expect_new(void);

/* How a device is. */
struct vuc_control_device rig_look(const char *device);

/* Sleep for a millisecond, or return false: RIG_WAIT_MS are over. */
bool rig_wait(unsigned int *ms);

/* Wait until it is like that, or so many are connected: whether that happens in time. */
bool rig_becomes(const char *device, enum vuc_control_state state);
bool rig_has_connections(unsigned int nr);

/* A vuc_log_fn that keeps all lines. */
void rig_log(void *arg, enum vuc_log_level level, const char *line);

/* Whether a line was logged that contains text; whether one is, in time; forget those so far. */
bool rig_has_logged(const char *text);
unsigned int rig_count_logged(const char *text);
bool rig_logs(const char *text);
void rig_forget_log(void);

/* A field that is not as in a struct that is right; more than 8 bytes have the value in each. */
struct rig_change {
	size_t at;
	size_t size;
	uint64_t value;
};

#define RIG_CHANGE(type, field, value)                                                    \
	{                                                                                 \
		offsetof(struct type, field), sizeof(((struct type *)NULL)->field), value \
	}

void rig_change(void *of, const struct rig_change *change);

/* Memory that can be mapped for DMA, of a size, with seals. */
int rig_memory(size_t size, int seals);

#endif /* VUC_TESTS_RIG_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_RIG_H
#define VUC_TESTS_RIG_H

/*
 * The one rig for tests inside one process: a reference server with two devices, a poller, and a
 * control plane that offers both to VMMs, or the poller alone. Everything here asserts that it
 * works. There is one rig at a time.
 *
 *	rig_start(&(struct rig_opts){.dma = VUC_DMA_MESSAGE});
 *	rig_attach(&client, RIG_NAME);
 *	...
 *	rig_stop();
 */

#include <fcntl.h> /* F_SEAL_... */
#include <stddef.h>

#include <vuc/control.h>
#include <vuc/poller.h>

#include "peer.h"
#include "process.h"
#include "shm_client.h"
#include "tempdir.h"

#define RIG_NAME   "disk0"
#define RIG_SECOND "disk1"
#define RIG_POLLER "rig"

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
};

extern struct rig rig;

/* That of the running test, which rig_stop() closes. */
extern struct shm_client client;

/* What differs from the defaults, which zeros are. Of devices it concerns both. */
struct rig_opts {
	const char *server[8]; /* options of vuc-refdev */
	unsigned int alone; /* so many devices are opened by the poller, without a control plane */
	uint32_t depth;     /* of a queue to each of these; 0: none */
	unsigned int idle;  /* enum vuc_idle + 1; it sleeps by default */
	int idle_loops;     /* 100 by default; -1: none */
	unsigned int cpu;   /* that the poller is bound to, plus 1; none by default */

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
	bool keep_bar0;
	uint32_t release_ms;
	uint32_t retry_min_ms, retry_max_ms; /* 5 and 50 by default */
	enum vuc_control_outage outage;      /* fail by default */
	uint32_t hold_ms;
	enum vuc_control_after_hold after_hold;
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

/* NULL takes the defaults. */
void rig_start(const struct rig_opts *opts);

/* Stop all, and assert that there are as many descriptors and threads as before rig_start(). */
void rig_stop(void);

/* main() of a program that is run once for each transport. Those of the second list, which may be
 * NULL, find a rig with the default options, and the client attached to RIG_NAME. */
int rig_main(int argc, char **argv, CU_TestInfo *tests, CU_TestInfo *attached);

/* The same with other things done before and after each of the second list. */
int rig_main_with(int argc, char **argv, CU_TestInfo *tests, CU_TestInfo *prepared,
	CU_SetUpFunc set_up, CU_TearDownFunc tear_down);

/* Another poller. */
struct vuc_poller *rig_start_poller(const char *name);

/* For pollers alone: open another device of a server, or another queue to one of the rig's, which
 * the test closes. */
struct vuc_device *rig_open_device(struct vuc_poller *p, struct peer *peer, unsigned int device);
struct vuc_queue *rig_open_device_queue(unsigned int device, uint32_t depth);

/* Close what the rig has opened before rig_stop(): a device with its queue; the poller with all. */
void rig_close_device(unsigned int device);
void rig_stop_poller(void);

/* Write a register, posted, and read it back, so many times. */
void rig_use_queue(struct vuc_queue *q, uint32_t rounds);

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

/* Connect, say hello, attach. */
void rig_attach(struct shm_client *c, const char *device);

/* A queue of it, which shm_close() forgets. */
struct shm_queue *rig_open_queue(struct shm_client *c, uint32_t depth, uint32_t max_data);

/* A register of BAR0. */
uint64_t rig_read(struct shm_queue *q, uint64_t reg, uint32_t count);
void rig_write(struct shm_queue *q, uint64_t reg, uint64_t value, uint32_t count);

/* Let the device transfer len bytes from and to an address, and return the status that it shows;
 * UINT32_MAX when the queue has ended. */
uint32_t rig_transfer(struct shm_queue *q, uint32_t mode, uint64_t iova, uint32_t len);

/* Leave what a VMM can leave in a device: a mapping of the first MiB of memory, all MSI-X vectors
 * to an eventfd, a register. */
void rig_leave_traces(struct shm_client *c, int memory, int irq);

/* The device becomes free, and whoever attaches next finds nothing of that. Leaves by word. */
void rig_expect_new(int irq);

/* How a device is. */
struct vuc_control_device rig_look(const char *device);

/* Sleep for a millisecond, or return false: RIG_WAIT_MS are over. */
bool rig_wait(unsigned int *ms);

/* Wait until it is like that, or so many are connected: whether that happens in time. */
bool rig_becomes(const char *device, enum vuc_control_state state);
bool rig_has_connections(unsigned int nr);

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

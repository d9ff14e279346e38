/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef STORM_H
#define STORM_H

/*
 * A VMM with several vCPUs that work on a reference device all the time and check what they get,
 * while its server, vucd or the VMM itself is killed: see storm.c for what it can be told.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

#include "refdev_regs.h"

#define VCPUS      4u
#define SLOTS      16u   /* DMA mappings that come and go, a page each, with a gap behind it */
#define STORM_PAGE 4096u /* of memory */
#define STATUSES   256u  /* errno values that are counted */
#define TIMEOUT_MS 30000 /* for what must happen; a test waits longer */

/* MSI-X vectors: each vCPU has one, the others are assigned, removed and masked at random. */
#define FIRST_CHURN VCPUS
#define VECTORS     REFDEV_MSIX_VECTORS

/* Beside the MSI-X vectors. */
enum storm_event {
	STORM_INTX = VECTORS,
	STORM_ERR,
	STORM_REQ,
	STORM_EVENTFDS,
};

/* Like the events of <vuc/vmm.h>: the device was attached to, or attached to again. */
#define STORM_EVENT_ATTACHED (1u << 31)

/* What is done and counted, by the status that it had. */
enum storm_kind {
	STORM_READ,   /* of a register, and other reads of BAR0 */
	STORM_WRITE,  /* of a register */
	STORM_POST,   /* of a register */
	STORM_CONFIG, /* accesses of config space */
	STORM_BULK,   /* several reads of BAR2 at a time */
	STORM_RAISE,  /* of an interrupt that the vCPU then waits for */
	STORM_MAP,    /* commits of mappings and unmappings */
	STORM_IRQ,    /* eventfds and masks */
	STORM_KINDS,
};

struct storm;

/* A register that only one vCPU writes, with a value that rises. */
struct storm_cell {
	uint64_t written; /* last */
	uint64_t seen;    /* by the last read */
};

struct storm_vcpu {
	struct storm *storm;
	unsigned int id;
	pthread_t thread;
	struct vuc_queue *queue;
	struct storm_cell ram, posted, scratch;
	uint64_t random;
	_Atomic uint64_t rounds; /* in which everything had status 0 */
	_Atomic uint64_t lost;   /* writes that an outage has dropped */
	_Atomic uint64_t results[STORM_KINDS][STATUSES];
};

struct storm_slot {
	bool mapped;
	bool unknown; /* whether it is, after an error */
};

struct storm_vector {
	bool assigned;
	bool masked;
	bool unknown;
};

struct storm {
	const char *socket;
	const char *device;
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue; /* of the main thread, for checks */
	struct vuc_error err;
	struct storm_vcpu vcpus[VCPUS];
	int memory_fd;
	uint8_t *memory; /* SLOTS pages */
	int eventfds[STORM_EVENTFDS];
	int quit_fd; /* eventfd: readable when the vCPUs are to stop */
	bool running;

	/* What the main thread's line says behind its first word. */
	char name[16];
	unsigned int nr;

	/* Who has it may change and check maps and interrupts. */
	pthread_mutex_t churn;
	struct storm_slot slots[SLOTS];
	struct storm_vector vectors[VECTORS];
	unsigned int filled; /* slot, by storm_post_fill() */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t events[32]; /* how often each was reported; guarded by lock */
	bool quit;           /* likewise */
	unsigned int wrong;  /* results; likewise */
	char why[512];       /* of the first; likewise */
};

/* storm_vcpu.c: what the thread of a vCPU runs */
void *storm_vcpu_run(void *arg);

/* storm_vcpu.c: wait until the event was reported more than before times. @return whether it was,
 * and not told to stop */
bool storm_await_event(struct storm *s, uint32_t event, uint64_t before);
uint64_t storm_events(struct storm *s, uint32_t event);

/* storm_vcpu.c: something that must not happen; the first one is kept */
void storm_wrong(struct storm *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* storm_check.c: give the device of a new attachment all mappings and eventfds. Returns 0 or a
 * negative errno, with why in s->err. */
int storm_set_up(struct storm *s);

/* storm_check.c: unmap the slots of which nobody knows, after an error, whether they are mapped;
 * assign and unmask such vectors. Returns as storm_set_up(). */
int storm_settle(struct storm *s);

/* storm_vcpu.c: change some mappings and interrupts, counted as what v does */
void storm_churn(struct storm_vcpu *v);

/* storm_check.c: have the device fill a slot that it has, by writes that are posted; later, whether
 * it has done so */
int storm_post_fill(struct storm *s);
bool storm_is_filled(const struct storm *s);

/* storm_check.c: write the registers that a guest's driver writes once, by the main thread's queue
 */
int storm_configure(struct storm *s);

/*
 * storm_check.c: by the main thread's queue, see that the device has the mappings, eventfds and
 * masks that it should have, and no others: its DMA engine writes to each slot, each interrupt is
 * raised. configured: and its registers. Returns 0; -EILSEQ with what is wrong in s->err; or the
 * status of an access.
 */
int storm_check(struct storm *s, bool configured);

/* storm_check.c: how often an eventfd was signalled since the last call */
unsigned int storm_take_signal(struct storm *s, unsigned int i);

#endif /* STORM_H */

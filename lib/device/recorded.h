/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_RECORDED_H
#define VUC_DEVICE_RECORDED_H

/* The record as those files of the device see it that fill and replay it. */

#include <vuc/irq.h>

#include "msix.h"
#include "record.h"

#define RECORD_CONFIG_SIZE 4096u
#define RECORD_NVME_SIZE   0x24u /* from CC to ACQ */

/* When a register of config space is replayed; see record.h. */
enum record_order {
	RECORD_NEVER, /* it is read-only, or a write of it does something */
	RECORD_BARS,
	RECORD_MESSAGES, /* MSI and MSI-X */
	RECORD_DEVICE,   /* device control */
	RECORD_OTHERS,
	RECORD_COMMAND,
};

/* A register of config space that has its own width. */
struct record_register {
	uint16_t at;
	uint8_t width;
	enum record_order order;
	uint32_t writable;
	uint32_t cleared; /* by writing ones; or a one starts something. Never replayed */
};

#define RECORD_MAX_REGISTERS 128u

/* Bytes that a server has, as far as they are known, and what it took of them. */
struct record_config {
	uint8_t last[RECORD_CONFIG_SIZE];       /* read or written */
	uint8_t taken[RECORD_CONFIG_SIZE];      /* written */
	uint8_t is_known[RECORD_CONFIG_SIZE];   /* whether a byte of last is */
	uint8_t is_taken[RECORD_CONFIG_SIZE];   /* whether a byte of taken is */
	uint8_t width[RECORD_CONFIG_SIZE];      /* of the last write that began here; 0: none */
	uint8_t is_refused[RECORD_CONFIG_SIZE]; /* a register that begins here, by a restore */
	uint8_t owner[RECORD_CONFIG_SIZE];      /* the register that a byte belongs to, from 1 on */
	struct record_register registers[RECORD_MAX_REGISTERS];
	unsigned int nr_registers;
	uint32_t power;   /* where PMCSR is; 0: nowhere */
	uint32_t express; /* where device control is, if it can reset the device; 0: nowhere */
};

/* The MSI-X table, and whether a byte was written. */
struct record_table {
	struct msix_place place; /* size 0: there is none */
	uint8_t *taken;
	uint8_t *is_taken;
	bool is_refused;
};

/* Registers that define an NVMe controller's admin queues, as the client has written them. */
struct record_nvme {
	uint8_t regs[RECORD_NVME_SIZE];
	bool failed;   /* restored since then; CSTS reports it until CC is written */
	bool rung;     /* the admin submission queue's doorbell was written since CC.EN was set, */
	uint32_t tail; /* with this */
};

/* A write to be replayed. */
struct record_write {
	uint32_t region;
	uint32_t width;
	uint64_t offset;
	uint8_t value[8];
};

/* An eventfd for an action on an interrupt, or an interrupt that is masked explicitly. */
struct record_irq {
	uint32_t index;
	uint32_t kind; /* enum vuc_irq_action, or the next one */
	uint32_t vector;
	int fd; /* -1: it is masked */
};

#define RECORD_IRQ_MASKED ((uint32_t)VUC_IRQ_UNMASK + 1)
/* To be replayed only; the second one disables the index. */
#define RECORD_IRQ_UNMASKED (RECORD_IRQ_MASKED + 1)
#define RECORD_IRQ_NONE     (RECORD_IRQ_MASKED + 2)

struct device_record {
	struct vuc_device *dev;
	struct vuc_closer *closer;
	uint64_t remapped; /* see vuc_device_take_remapped() */
	bool resets;       /* a reset was recorded since a restore has sent one */
	uint64_t renewals; /* see vuc_device_record_renewals() */
	size_t maps_taken; /* most mappings that the server had at a time */
	unsigned int nr_irqs;
	struct record_irq irqs[VUC_RECORD_MAX_IRQS]; /* by index, kind and vector */
	struct record_config config;
	struct record_table table;
	struct record_nvme nvme;
	bool recovers_nvme;              /* if the device is an NVMe controller, */
	void (*nvme_enabled)(void *arg); /* and when that is enabled; or NULL */
	void *nvme_arg;
	uint8_t first[MSIX_CONFIG_SIZE]; /* config space at the start, to compare */
	size_t first_len;                /* 0: it is not known */
	struct vuc_request read;         /* of that */
	bool is_stopped;
	vuc_done_fn done; /* NULL: it was called */
	void *arg;
};

/* record_irq.c: the first of those that are not before this one; nr_irqs: there is none. */
unsigned int record_irq_find(
	const struct device_record *r, uint32_t index, uint32_t kind, uint32_t vector);

/* How many of the interrupts of a range whose descriptor is not -1 are new. fds NULL: of all. */
unsigned int record_irq_count_new(const struct device_record *r, const struct vuc_irq_range *range,
	uint32_t kind, const int *fds);

/* Takes over the descriptor, and closes the one before. There is room for it. */
void record_irq_set(
	struct device_record *r, uint32_t index, uint32_t kind, uint32_t vector, int fd);

/* Forget those of a range. */
void record_irq_clear(
	struct device_record *r, uint32_t index, uint32_t kind, uint32_t start, uint32_t count);

/* Forget all of an index, and all. */
void record_irq_clear_index(struct device_record *r, uint32_t index);
void record_irq_clear_all(struct device_record *r);

/* record_config.c: which registers there are, by the config space at the start. */
void record_find_registers(struct device_record *r);

/* The server has answered a read, or taken a write of one or more registers. */
void record_note_read(struct device_record *r, uint64_t offset, const void *data, size_t count);
void record_note_write(struct device_record *r, uint64_t offset, const void *data, size_t count);

/* The next write of an order, from *cursor on, which is 0 at first. Returns false: there is none.
 */
bool record_next_write(const struct device_record *r, enum record_order order, uint32_t *cursor,
	struct record_write *write);

/* Forget what a reset undoes. */
void record_forget_registers(struct device_record *r);

/* record_table.c: the same of the MSI-X table. -ENOMEM. */
int record_find_table(struct device_record *r);
void record_note_table(struct device_record *r, uint64_t offset, const void *data, size_t count);
bool record_next_entry(const struct device_record *r, uint32_t *cursor, struct record_write *write);

/* record_nvme.c: the same for an NVMe controller's registers, if it is to be recovered. */
void record_find_nvme(struct device_record *r);
void record_note_nvme(struct device_record *r, uint64_t offset, const void *data, size_t count);
void record_note_doorbell(
	struct device_record *r, uint32_t region, uint64_t offset, const void *data, size_t count);

/* record_nvme.c: the device is as after a reset, which its client has made or does not know of. */
void record_fail_nvme(struct device_record *r);
void record_forget_nvme(struct device_record *r);

/* record_nvme.c: turn what was read from the registers into what the client is to see. */
void record_overlay_nvme(const struct device_record *r, uint64_t offset, void *data, size_t count);

/* record_table.c: len bytes of config space are in r->first: find registers and table. -ENOMEM. */
int record_learn(struct device_record *r, size_t len, struct vuc_error *err);

/* Up to the next dword, and aligned: what is one register, unless the client says otherwise. */
static inline uint32_t
config_register_size(uint64_t offset, size_t left)
{
	uint32_t n = 4 - (uint32_t)(offset & 3);

	n = left < n ? (uint32_t)left : n;
	if (n > 1 && (offset & 1) != 0)
		return 1;
	return n == 3 ? 2 : n;
}

#endif /* VUC_DEVICE_RECORDED_H */

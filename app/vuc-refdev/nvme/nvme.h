/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_NVME_H
#define REFDEV_NVME_H

/*
 * An NVMe controller with one namespace, whose blocks are those of a file. It carries out one
 * command at a time, in steps that never wait: between them is an access to the client's memory,
 * which is done at once by the descriptors of its mappings, or goes on as the client answers
 * messages.
 */

#include "../device.h"
#include "spec.h"

/* Assigned to nobody. */
#define NVME_VENDOR_ID 0x7675u

/* What Identify Controller and CAP announce. */
#define NVME_PAGE           4096u
#define NVME_MAX_ENTRIES    1024u /* of a queue */
#define NVME_NR_IO_QUEUES   32u   /* of each kind */
#define NVME_NR_QUEUES      (NVME_NR_IO_QUEUES + 1)
#define NVME_VECTORS        NVME_NR_QUEUES
#define NVME_MDTS           8u /* a power of two of pages */
#define NVME_MAX_TRANSFER   (NVME_PAGE << NVME_MDTS)
#define NVME_BLOCK_SHIFT    9u
#define NVME_BLOCK          (1u << NVME_BLOCK_SHIFT)
#define NVME_MAX_EVENT_REQS 4u
#define NVME_NR_ERRORS      16u  /* entries of the error log */
#define NVME_TEMPERATURE    313u /* in kelvins, always */

/* BAR0. */
#define NVME_DOORBELLS 0x1000u /* of a page of its own, which can be mapped */
#define NVME_MSIX      0x2000u
#define NVME_MSIX_PBA  0x3000u
#define NVME_BAR0_SIZE 0x4000u

_Static_assert(NVME_VECTORS <= REFDEV_MAX_VECTORS, "there is a vector for each queue");

/* The buffer for what is read from the client's memory or written to it. */
#define NVME_BUFFER_DATA  0u
#define NVME_BUFFER_LIST  NVME_MAX_TRANSFER /* a page of a PRP list */
#define NVME_BUFFER_ENTRY (NVME_BUFFER_LIST + NVME_PAGE)
#define NVME_BUFFER_SIZE  (NVME_BUFFER_ENTRY + NVME_PAGE)

/* A queue of size 0 does not exist. */
struct nvme_sq {
	uint64_t base;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint32_t doorbell; /* the value seen last, right or wrong */
	uint16_t cq;
};

struct nvme_cq {
	uint64_t base;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint32_t doorbell;
	uint16_t phase;
	uint16_t vector;
	bool interrupts;
	bool signal;         /* an interrupt is due */
	unsigned int nr_sqs; /* that complete to it */
};

struct nvme_segment {
	uint64_t addr;
	uint32_t len;
};

/* An access to the client's memory: segments one after another, in the buffer side by side. */
struct nvme_access {
	const struct nvme_segment *segments;
	struct nvme_segment one; /* the list, where there is one segment */
	unsigned int nr;
	unsigned int current;
	uint32_t at; /* of the current segment in the buffer */
	bool write;
	int error; /* the first one, negative */
};

/* What goes on when the access has ended, with 0 or a negative errno. */
typedef void nvme_step(struct refdev *dev, int error);

/* The command that is carried out. */
struct nvme_job {
	nvme_step *step; /* NULL: there is none */
	struct nvme_command command;
	uint16_t sq;
	struct nvme_completion completion;
	nvme_step *completed; /* what follows the completion, or NULL */
	/* A transfer of data: */
	nvme_step *moved; /* what follows it; NULL: the command has succeeded */
	bool to_client;
	uint32_t left; /* bytes without a segment */
	uint64_t list; /* the part of the PRP list that is being read */
	struct nvme_segment segments[(1u << NVME_MDTS) + 1];
	unsigned int nr_segments;
};

struct nvme_error_entry { /* of the error log, in the order of the specification */
	uint64_t count;
	uint16_t sq;
	uint16_t cid;
	uint16_t status;
	uint16_t parameter;
	uint64_t lba;
	uint32_t nsid;
	uint8_t reserved[36];
};

_Static_assert(sizeof(struct nvme_error_entry) == 64, "as the specification has it");

struct nvme_event {
	bool pending;
	bool masked; /* until its log page is read */
	uint8_t info;
	uint8_t log;
};

struct nvme_features {
	uint32_t arbitration;
	uint32_t over; /* temperature thresholds */
	uint32_t under;
	uint32_t error_recovery;
	uint32_t write_cache;
	uint32_t coalescing;
	uint32_t vectors[NVME_VECTORS];
	uint32_t atomicity;
	uint32_t events;
};

/* What a controller knows since power-on. */
struct nvme_statistics {
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t reads;
	uint64_t writes;
	uint64_t errors;
};

struct nvme_namespace {
	int fd;
	uint64_t blocks;
	uint8_t id[NVME_NGUID_SIZE]; /* of the file */
};

struct refdev_nvme {
	struct nvme_namespace ns;
	struct refdev_memory buffer;
	uint32_t cc;
	uint32_t csts;
	uint32_t aqa;
	uint32_t intms;
	uint64_t asq;
	uint64_t acq;
	struct nvme_sq sqs[NVME_NR_QUEUES]; /* 0: the admin queue's */
	struct nvme_cq cqs[NVME_NR_QUEUES];
	uint16_t next_sq; /* whose turn it is */
	struct nvme_job job;
	struct nvme_access access;
	struct nvme_features features;
	struct nvme_event events[NVME_NR_EVENT_TYPES];
	uint16_t event_requests[NVME_MAX_EVENT_REQS]; /* command ids */
	unsigned int nr_event_requests;
	struct nvme_error_entry errors[NVME_NR_ERRORS]; /* error n at n - 1 modulo their number */
	struct nvme_statistics statistics;
	uint64_t active_ns; /* when there was something to do last, by vuc_clock_ns() */
	bool more;          /* the last poll has left work behind */
};

static inline struct refdev_nvme *
refdev_nvme_of(const struct refdev *dev)
{
	return dev->state;
}

/* ---- queue.c: doorbells, completions, error log and events ---- */

/* Look at the doorbells. */
void refdev_nvme_doorbells_read(struct refdev *dev);
/* A doorbell is written by message: 0, or -EINVAL for what is no doorbell. */
int refdev_nvme_doorbell_write(struct refdev *dev, uint32_t offset, uint32_t value);
/* Forget the value of a queue's doorbell. */
void refdev_nvme_sq_open(struct refdev *dev, uint16_t id, const struct nvme_sq *sq);
void refdev_nvme_cq_open(struct refdev *dev, uint16_t id, const struct nvme_cq *cq);
/* The level of INTx follows the completion queues. */
void refdev_nvme_intx_update(struct refdev *dev);
/* End the command: post its completion. */
void refdev_nvme_job_complete(struct refdev *dev, uint16_t status);
/* End the command without a completion. */
void refdev_nvme_job_end(struct refdev *dev);
/* Post the completion of an admin command that was kept; then something else follows. */
void refdev_nvme_kept_complete(
	struct refdev *dev, uint16_t cid, uint16_t status, uint32_t result, nvme_step *completed);
bool refdev_nvme_cq_has_room(const struct nvme_cq *cq, uint32_t entries);
/* The controller can't go on. */
void refdev_nvme_fatal(struct refdev *dev);
/* Raise the interrupts of all completions since the last poll. */
void refdev_nvme_interrupts_raise(struct refdev *dev);
void refdev_nvme_error_log(
	struct refdev *dev, uint16_t sq, const struct nvme_command *cmd, uint16_t status);
void refdev_nvme_event_raise(
	struct refdev *dev, enum nvme_event_type type, uint8_t info, enum nvme_log log);

/* ---- run.c: commands; of struct refdev_model ---- */

void refdev_nvme_poll(struct refdev *dev);
int64_t refdev_nvme_poll_ns(const struct refdev *dev);

/* ---- access.c: the client's memory ---- */

/* Access this much at an address, and at a place in the buffer; step follows. */
void refdev_nvme_access_start(
	struct refdev *dev, struct nvme_segment segment, uint32_t at, bool write, nvme_step *step);
/* The same with the segments of the command. */
void refdev_nvme_access_segments(struct refdev *dev, uint32_t at, bool write, nvme_step *step);
/* Of struct refdev_model. */
void refdev_nvme_transferred(struct refdev *dev);

/* ---- data.c ---- */

/*
 * Move the data of the command between its PRPs and the start of the buffer; moved follows, or
 * NULL: the command has succeeded. Errors end the command.
 */
void refdev_nvme_data_move(struct refdev *dev, uint32_t len, bool to_client, nvme_step *moved);

/* ---- Commands. They end by a completion, now or later. ---- */

typedef void nvme_handler(struct refdev *dev, const struct nvme_command *cmd);

nvme_handler refdev_nvme_admin_run, refdev_nvme_io_run, refdev_nvme_identify,
	refdev_nvme_features_get, refdev_nvme_features_set, refdev_nvme_log_get,
	refdev_nvme_event_request;

void refdev_nvme_features_reset(struct refdev *dev);

/* ---- log.c: log pages and asynchronous events ---- */

/* The temperature may have passed a threshold. */
void refdev_nvme_health_check(struct refdev *dev);
/* Complete a request for an event that has happened; false: there is none of them. */
bool refdev_nvme_event_complete(struct refdev *dev);

/* ---- storage.c: the file. Functions return 0 or a negative errno. ---- */

int refdev_nvme_storage_open(
	struct nvme_namespace *ns, const char *path, uint64_t size, struct vuc_error *err);
void refdev_nvme_storage_close(struct nvme_namespace *ns);
int refdev_nvme_storage_read(
	const struct nvme_namespace *ns, uint64_t lba, uint8_t *bytes, uint32_t len);
int refdev_nvme_storage_write(
	const struct nvme_namespace *ns, uint64_t lba, const uint8_t *bytes, uint32_t len);
/* Blocks read as 0 from now on. */
int refdev_nvme_storage_zero(const struct nvme_namespace *ns, uint64_t lba, uint32_t blocks);
/* Nobody needs what blocks have any more. */
int refdev_nvme_storage_discard(const struct nvme_namespace *ns, uint64_t lba, uint32_t blocks);
int refdev_nvme_storage_flush(const struct nvme_namespace *ns);

#endif /* REFDEV_NVME_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_DRIVER_H
#define NVME_DRIVER_H

/*
 * A small NVMe driver, over libvuc or libvuc-vmm: an admin queue and one other, one command at a
 * time. What fails in it is a failed assertion of the running test.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/vfio.h>

#include <vuc/device.h>
#include <vuc/vmm.h>

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

/* Registers, and bits of them, by the names of the NVMe specification. */
#define NVME_CAP       0x00u
#define NVME_VS        0x08u
#define NVME_CC        0x14u
#define NVME_CSTS      0x1cu
#define NVME_AQA       0x24u
#define NVME_ASQ       0x28u
#define NVME_ACQ       0x30u
#define NVME_DOORBELLS 0x1000u
#define NVME_CSTS_RDY  (1u << 0)
#define NVME_CSTS_CFS  (1u << 1)

/* Opcodes of the admin queue, and of others. */
#define NVME_DELETE_IO_SQ 0x00u
#define NVME_CREATE_IO_SQ 0x01u
#define NVME_DELETE_IO_CQ 0x04u
#define NVME_CREATE_IO_CQ 0x05u
#define NVME_IDENTIFY     0x06u
#define NVME_ASYNC_EVENT  0x0cu
#define NVME_WRITE        0x01u
#define NVME_READ         0x02u

#define NVME_PAGE     4096u
#define NVME_NR_PAGES 16u /* of memory for the controller; the first four are the queues */
#define NVME_ENTRIES  16u /* of each queue */

#define NVME_EVENT_CID 0x7abcu /* of the event request, and of no other command */

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp[2];
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12[4];
};

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	_Atomic uint16_t status; /* bit 0: the phase */
};

struct nvme_queue {
	uint32_t id;
	struct nvme_command *sq;
	struct nvme_completion *cq;
	uint32_t tail;
	uint32_t head;
	uint16_t phase;
	uint16_t next_cid;
};

struct nvme {
	struct vuc_device *dev;     /* NULL: it could not be opened, or vmm */
	struct vuc_vmm_device *vmm; /* instead of dev */
	uint8_t *doorbells;         /* with vmm: their page, NULL: they are written by messages */
	int fd;                     /* of the memory */
	uint8_t *memory;
	int interrupt;   /* eventfd of MSI-X vector 0, which both queues have */
	uint32_t events; /* VUC_VMM_EVENT_* since it was enabled */
	uint32_t remaps;
	uint64_t lost_ms; /* time of the last loss */
	uint64_t cap;
	struct nvme_queue admin;
	struct nvme_queue io;
};

void nvme_open(struct nvme *n, const char *path, const char *transport);
void nvme_attach(struct nvme *n, const char *socket, const char *device);
void nvme_close(struct nvme *n);
uint8_t *nvme_page(const struct nvme *n, unsigned int page);
uint64_t nvme_iova(unsigned int page);
uint32_t nvme_get32(const struct nvme *n, uint32_t region, uint64_t offset);
void nvme_set32(const struct nvme *n, uint64_t offset, uint32_t value);
void nvme_set_up(struct nvme *n);
void nvme_tear_down(struct nvme *n);

/* These return false if it has not happened: in time, or because the server is another one. */
bool nvme_enable(struct nvme *n);
bool nvme_disable(struct nvme *n);
bool nvme_create_io_queue(struct nvme *n);
bool nvme_execute(struct nvme *n, struct nvme_queue *q, struct nvme_command cmd);

/* An admin command that is completed with this status. */
bool nvme_fail(struct nvme *n, struct nvme_command cmd, uint16_t status);

/* Have an event request outstanding; and wait for its end, which the tests' servers leave to vucd.
 * nvme_await_event() returns false if none has come in time. */
void nvme_request_event(struct nvme *n);
bool nvme_await_event(struct nvme *n, uint32_t *result);

#endif /* NVME_DRIVER_H */

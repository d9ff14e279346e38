/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_NVME_SPEC_H
#define REFDEV_NVME_SPEC_H

/* Values of the NVM Express Base Specification, revision 1.4, by its names. */

#include <stdint.h>

/* Registers (section 3.1). */
#define NVME_CAP   0x00u
#define NVME_VS    0x08u
#define NVME_INTMS 0x0cu
#define NVME_INTMC 0x10u
#define NVME_CC    0x14u
#define NVME_CSTS  0x1cu
#define NVME_AQA   0x24u
#define NVME_ASQ   0x28u
#define NVME_ACQ   0x30u

#define NVME_VERSION 0x00010400u

#define NVME_CC_EN        (1u << 0)
#define NVME_CC_CSS(cc)   ((cc) >> 4 & 7u)
#define NVME_CC_MPS(cc)   ((cc) >> 7 & 15u)
#define NVME_CC_AMS(cc)   ((cc) >> 11 & 7u)
#define NVME_CC_SHN(cc)   ((cc) >> 14 & 3u)
#define NVME_CC_IOSQES(c) ((c) >> 16 & 15u)
#define NVME_CC_IOCQES(c) ((c) >> 20 & 15u)
#define NVME_CC_WRITABLE  0x00fffff1u

#define NVME_CSTS_RDY       (1u << 0)
#define NVME_CSTS_CFS       (1u << 1)
#define NVME_CSTS_SHST_DONE (2u << 2)

/* Commands and their completions (sections 4.2 and 4.6). */
struct nvme_command {
	uint8_t opcode;
	uint8_t flags; /* fused operation, and how data is described: 0 for PRPs */
	uint16_t cid;
	uint32_t nsid;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp[2];
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status; /* bit 0: the phase */
};

_Static_assert(sizeof(struct nvme_command) == 64, "as CC.IOSQES says");
_Static_assert(sizeof(struct nvme_completion) == 16, "as CC.IOCQES says");

#define NVME_NSID_ALL UINT32_MAX

/* Opcodes. */
enum nvme_admin_opcode {
	NVME_DELETE_IO_SQ = 0x00,
	NVME_CREATE_IO_SQ = 0x01,
	NVME_GET_LOG_PAGE = 0x02,
	NVME_DELETE_IO_CQ = 0x04,
	NVME_CREATE_IO_CQ = 0x05,
	NVME_IDENTIFY = 0x06,
	NVME_ABORT = 0x08,
	NVME_SET_FEATURES = 0x09,
	NVME_GET_FEATURES = 0x0a,
	NVME_ASYNC_EVENT_REQUEST = 0x0c,
};

enum nvme_io_opcode {
	NVME_FLUSH = 0x00,
	NVME_WRITE = 0x01,
	NVME_READ = 0x02,
	NVME_WRITE_ZEROES = 0x08,
	NVME_DATASET_MANAGEMENT = 0x09,
};

/* Status (section 4.6.1): status code type and code, and whether it is of no use to retry. */
#define NVME_DNR         0x4000u
#define NVME_GENERIC(sc) (0x0000u | (sc))
#define NVME_COMMAND(sc) (0x0100u | (sc))
#define NVME_MEDIA(sc)   (0x0200u | (sc))

enum nvme_status {
	NVME_SUCCESS = 0,
	NVME_INVALID_OPCODE = NVME_DNR | NVME_GENERIC(0x01),
	NVME_INVALID_FIELD = NVME_DNR | NVME_GENERIC(0x02),
	NVME_DATA_TRANSFER_ERROR = NVME_GENERIC(0x04),
	NVME_INTERNAL_ERROR = NVME_GENERIC(0x06),
	NVME_ABORT_REQUESTED = NVME_GENERIC(0x07),
	NVME_INVALID_NAMESPACE = NVME_DNR | NVME_GENERIC(0x0b),
	NVME_SEQUENCE_ERROR = NVME_DNR | NVME_GENERIC(0x0c),
	NVME_INVALID_PRP_OFFSET = NVME_DNR | NVME_GENERIC(0x13),
	NVME_LBA_OUT_OF_RANGE = NVME_DNR | NVME_GENERIC(0x80),
	NVME_CAPACITY_EXCEEDED = NVME_GENERIC(0x81),
	NVME_INVALID_CQ = NVME_DNR | NVME_COMMAND(0x00),
	NVME_INVALID_QUEUE_ID = NVME_DNR | NVME_COMMAND(0x01),
	NVME_INVALID_QUEUE_SIZE = NVME_DNR | NVME_COMMAND(0x02),
	NVME_TOO_MANY_EVENT_REQUESTS = NVME_DNR | NVME_COMMAND(0x05),
	NVME_INVALID_VECTOR = NVME_DNR | NVME_COMMAND(0x08),
	NVME_INVALID_LOG_PAGE = NVME_DNR | NVME_COMMAND(0x09),
	NVME_INVALID_QUEUE_DELETION = NVME_DNR | NVME_COMMAND(0x0c),
	NVME_FEATURE_NOT_SAVEABLE = NVME_DNR | NVME_COMMAND(0x0d),
	NVME_FEATURE_NOT_OF_NAMESPACE = NVME_DNR | NVME_COMMAND(0x0f),
	NVME_WRITE_FAULT = NVME_MEDIA(0x80),
	NVME_READ_ERROR = NVME_MEDIA(0x81),
};

/* Identify: which structure, and where it has what (section 5.15). */
#define NVME_IDENTIFY_SIZE          4096u
#define NVME_IDENTIFY_NAMESPACE     0u
#define NVME_IDENTIFY_CONTROLLER    1u
#define NVME_IDENTIFY_ACTIVE_LIST   2u
#define NVME_IDENTIFY_DESCRIPTORS   3u
#define NVME_DESCRIPTOR_TYPE_NGUID  2u
#define NVME_DESCRIPTOR_HEADER_SIZE 4u
#define NVME_NGUID_SIZE             16u

/* Features (section 5.21.1). */
enum nvme_feature {
	NVME_ARBITRATION = 0x01,
	NVME_POWER_MANAGEMENT = 0x02,
	NVME_TEMPERATURE_THRESHOLD = 0x04,
	NVME_ERROR_RECOVERY = 0x05,
	NVME_VOLATILE_WRITE_CACHE = 0x06,
	NVME_NUMBER_OF_QUEUES = 0x07,
	NVME_INTERRUPT_COALESCING = 0x08,
	NVME_INTERRUPT_VECTOR = 0x09,
	NVME_WRITE_ATOMICITY = 0x0a,
	NVME_ASYNC_EVENT_CONFIG = 0x0b,
};

/* Log pages (section 5.14.1). */
enum nvme_log {
	NVME_LOG_ERROR = 1,
	NVME_LOG_HEALTH = 2,
	NVME_LOG_FIRMWARE = 3,
};

/* Asynchronous events (section 5.2.1). */
enum nvme_event_type {
	NVME_EVENT_ERROR = 0,
	NVME_EVENT_HEALTH = 1,
	NVME_NR_EVENT_TYPES,
};

#define NVME_INVALID_DOORBELL       0u /* information of NVME_EVENT_ERROR */
#define NVME_INVALID_DOORBELL_VALUE 1u
#define NVME_ABOVE_TEMPERATURE      1u /* of NVME_EVENT_HEALTH */
#define NVME_WARNING_TEMPERATURE    (1u << 1)
#define NVME_FIRMWARE_NOTICES       (1u << 9) /* bit of OAES and of the feature */

#endif /* REFDEV_NVME_SPEC_H */

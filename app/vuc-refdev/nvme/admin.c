/* SPDX-License-Identifier: BSD-3-Clause */

/* The admin commands, and those of them that are about queues and commands. */

#include "nvme.h"

#define PHYSICALLY_CONTIGUOUS (1u << 0)
#define INTERRUPTS_ENABLED    (1u << 1)

static uint16_t
queue_id(const struct nvme_command *cmd)
{
	return (uint16_t)cmd->cdw10;
}

/* Entries of the queue that is to be created. */
static uint32_t
queue_size(const struct nvme_command *cmd)
{
	return (cmd->cdw10 >> 16) + 1;
}

/* What the creation of both kinds of queues checks. entry: the power of two that CC has, and
 * wanted.
 */
static uint16_t
queue_check(const struct nvme_command *cmd, uint32_t entry, uint32_t wanted)
{
	if (queue_size(cmd) < 2 || queue_size(cmd) > NVME_MAX_ENTRIES || entry != wanted)
		return NVME_INVALID_QUEUE_SIZE;
	if ((cmd->cdw11 & PHYSICALLY_CONTIGUOUS) == 0)
		return NVME_INVALID_FIELD;
	return cmd->prp[0] % NVME_PAGE != 0 ? NVME_INVALID_PRP_OFFSET : NVME_SUCCESS;
}

static bool
is_io_queue(uint16_t id)
{
	return id >= 1 && id <= NVME_NR_IO_QUEUES;
}

static uint16_t
cq_create(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint16_t id = queue_id(cmd), vector = (uint16_t)(cmd->cdw11 >> 16), status;

	if (!is_io_queue(id) || nvme->cqs[id].size > 0)
		return NVME_INVALID_QUEUE_ID;
	status = queue_check(cmd, NVME_CC_IOCQES(nvme->cc), 4);
	if (status != NVME_SUCCESS)
		return status;
	if (vector >= NVME_VECTORS)
		return NVME_INVALID_VECTOR;
	refdev_nvme_cq_open(dev, id,
		&(struct nvme_cq){
			.base = cmd->prp[0],
			.size = queue_size(cmd),
			.vector = vector,
			.interrupts = (cmd->cdw11 & INTERRUPTS_ENABLED) != 0,
		});
	return NVME_SUCCESS;
}

static uint16_t
sq_create(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint16_t id = queue_id(cmd), cq = (uint16_t)(cmd->cdw11 >> 16), status;

	if (!is_io_queue(id) || nvme->sqs[id].size > 0)
		return NVME_INVALID_QUEUE_ID;
	if (!is_io_queue(cq) || nvme->cqs[cq].size == 0)
		return NVME_INVALID_CQ;
	status = queue_check(cmd, NVME_CC_IOSQES(nvme->cc), 6);
	if (status != NVME_SUCCESS)
		return status;
	refdev_nvme_sq_open(
		dev, id, &(struct nvme_sq){.base = cmd->prp[0], .size = queue_size(cmd), .cq = cq});
	return NVME_SUCCESS;
}

/* Commands that it has and that were not taken are never completed. */
static uint16_t
sq_delete(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint16_t id = queue_id(cmd);

	if (!is_io_queue(id) || nvme->sqs[id].size == 0)
		return NVME_INVALID_QUEUE_ID;
	nvme->cqs[nvme->sqs[id].cq].nr_sqs--;
	nvme->sqs[id].size = 0;
	return NVME_SUCCESS;
}

static uint16_t
cq_delete(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint16_t id = queue_id(cmd);

	if (!is_io_queue(id) || nvme->cqs[id].size == 0)
		return NVME_INVALID_QUEUE_ID;
	if (nvme->cqs[id].nr_sqs > 0)
		return NVME_INVALID_QUEUE_DELETION;
	nvme->cqs[id] = (struct nvme_cq){0};
	return NVME_SUCCESS;
}

#define NOT_ABORTED 1u

/* The command that aborted another one is completed behind it. */
static void
abort_finish(struct refdev *dev, int error)
{
	(void)error;
	refdev_nvme_of(dev)->job.completion = (struct nvme_completion){0};
	refdev_nvme_job_complete(dev, NVME_SUCCESS);
}

/* One command is carried out at a time, so that what can be aborted is what waits for an event. */
static void
abort_run(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint16_t sq = (uint16_t)cmd->cdw10, cid = (uint16_t)(cmd->cdw10 >> 16);

	nvme->job.completion.result = NOT_ABORTED;
	for (unsigned int i = 0; i < nvme->nr_event_requests && sq == 0; i++) {
		if (nvme->event_requests[i] != cid || !refdev_nvme_cq_has_room(&nvme->cqs[0], 2))
			continue;
		nvme->event_requests[i] = nvme->event_requests[--nvme->nr_event_requests];
		refdev_nvme_kept_complete(dev, cid, NVME_ABORT_REQUESTED, 0, abort_finish);
		return;
	}
	refdev_nvme_job_complete(dev, NVME_SUCCESS);
}

void
refdev_nvme_admin_run(struct refdev *dev, const struct nvme_command *cmd)
{
	switch (cmd->opcode) {
	case NVME_DELETE_IO_SQ:
		refdev_nvme_job_complete(dev, sq_delete(dev, cmd));
		break;
	case NVME_CREATE_IO_SQ:
		refdev_nvme_job_complete(dev, sq_create(dev, cmd));
		break;
	case NVME_DELETE_IO_CQ:
		refdev_nvme_job_complete(dev, cq_delete(dev, cmd));
		break;
	case NVME_CREATE_IO_CQ:
		refdev_nvme_job_complete(dev, cq_create(dev, cmd));
		break;
	case NVME_GET_LOG_PAGE:
		refdev_nvme_log_get(dev, cmd);
		break;
	case NVME_IDENTIFY:
		refdev_nvme_identify(dev, cmd);
		break;
	case NVME_ABORT:
		abort_run(dev, cmd);
		break;
	case NVME_SET_FEATURES:
		refdev_nvme_features_set(dev, cmd);
		break;
	case NVME_GET_FEATURES:
		refdev_nvme_features_get(dev, cmd);
		break;
	case NVME_ASYNC_EVENT_REQUEST:
		refdev_nvme_event_request(dev, cmd);
		break;
	default:
		refdev_nvme_job_complete(dev, NVME_INVALID_OPCODE);
		break;
	}
}

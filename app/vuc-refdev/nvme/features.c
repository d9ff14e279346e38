/* SPDX-License-Identifier: BSD-3-Clause */

/* Get Features and Set Features (section 5.21 of the specification). Nothing is saved. */

#include "nvme.h"

#define SAVE        (1u << 31)
#define SELECT(cmd) ((cmd)->cdw10 >> 8 & 7u)

/* Of a temperature threshold: which sensor (0: all of them together), and which side. */
#define SENSOR(value) ((value) >> 16 & 15u)
#define SIDE(value)   ((value) >> 20 & 3u)

#define COALESCING_OFF (1u << 16)

void
refdev_nvme_features_reset(struct refdev *dev)
{
	struct nvme_features *features = &refdev_nvme_of(dev)->features;

	*features = (struct nvme_features){.over = NVME_TEMPERATURE + 30, .write_cache = 1};
	for (uint32_t i = 0; i < NVME_VECTORS; i++)
		features->vectors[i] = i;
}

static uint32_t *
threshold_of(struct nvme_features *features, uint32_t value)
{
	if (SENSOR(value) != 0 || SIDE(value) > 1)
		return NULL;
	return SIDE(value) == 0 ? &features->over : &features->under;
}

static uint32_t *
vector_of(struct nvme_features *features, uint32_t value)
{
	uint16_t vector = (uint16_t)value;

	return vector < NVME_VECTORS ? &features->vectors[vector] : NULL;
}

/* Where a feature is kept, and the bits of it; NULL: there is none. */
static uint32_t *
feature_find(struct nvme_features *features, const struct nvme_command *cmd, uint32_t *bits)
{
	*bits = UINT32_MAX;
	switch (cmd->cdw10 & 0xff) {
	case NVME_ARBITRATION:
		return &features->arbitration;
	case NVME_TEMPERATURE_THRESHOLD:
		*bits = 0xffff;
		return threshold_of(features, cmd->cdw11);
	case NVME_ERROR_RECOVERY:
		*bits = 0xffff;
		return &features->error_recovery;
	case NVME_VOLATILE_WRITE_CACHE:
		*bits = 1;
		return &features->write_cache;
	case NVME_INTERRUPT_COALESCING:
		*bits = 0xffff;
		return &features->coalescing;
	case NVME_INTERRUPT_VECTOR:
		*bits = 0xffff | COALESCING_OFF;
		return vector_of(features, cmd->cdw11);
	case NVME_WRITE_ATOMICITY:
		*bits = 1;
		return &features->atomicity;
	case NVME_ASYNC_EVENT_CONFIG:
		*bits = 0xff | NVME_FIRMWARE_NOTICES;
		return &features->events;
	default:
		return NULL;
	}
}

#define QUEUES ((NVME_NR_IO_QUEUES - 1) << 16 | (NVME_NR_IO_QUEUES - 1)) /* 0's based */

static bool
has_io_queues(const struct refdev_nvme *nvme)
{
	for (uint32_t id = 1; id < NVME_NR_QUEUES; id++)
		if (nvme->cqs[id].size > 0)
			return true;
	return false;
}

/* The controller grants all its queues, however many the client asks for. */
static uint16_t
queues_set(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	if ((cmd->cdw11 & 0xffff) == 0xffff || cmd->cdw11 >> 16 == 0xffff)
		return NVME_INVALID_FIELD;
	if (has_io_queues(nvme))
		return NVME_SEQUENCE_ERROR;
	nvme->job.completion.result = QUEUES;
	return NVME_SUCCESS;
}

static uint16_t
feature_set(struct refdev *dev, const struct nvme_command *cmd)
{
	uint32_t bits, *value, id = cmd->cdw10 & 0xff;

	if (cmd->cdw10 & SAVE)
		return NVME_FEATURE_NOT_SAVEABLE;
	if (id == NVME_NUMBER_OF_QUEUES)
		return queues_set(dev, cmd);
	if (id == NVME_POWER_MANAGEMENT) /* there is one state */
		return (cmd->cdw11 & 0x1f) == 0 ? NVME_SUCCESS : NVME_INVALID_FIELD;
	value = feature_find(&refdev_nvme_of(dev)->features, cmd, &bits);
	if (value == NULL)
		return NVME_INVALID_FIELD;
	if (id == NVME_ERROR_RECOVERY && cmd->nsid != 1 && cmd->nsid != NVME_NSID_ALL)
		return NVME_INVALID_NAMESPACE;
	if (id != NVME_ERROR_RECOVERY && cmd->nsid != 0 && cmd->nsid != NVME_NSID_ALL)
		return NVME_FEATURE_NOT_OF_NAMESPACE;
	*value = cmd->cdw11 & bits;
	refdev_nvme_health_check(dev);
	return NVME_SUCCESS;
}

void
refdev_nvme_features_set(struct refdev *dev, const struct nvme_command *cmd)
{
	refdev_nvme_job_complete(dev, feature_set(dev, cmd));
}

static uint16_t
feature_get(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint32_t bits, *value, id = cmd->cdw10 & 0xff;

	if (SELECT(cmd) != 0)
		return NVME_INVALID_FIELD;
	if (id == NVME_POWER_MANAGEMENT)
		return NVME_SUCCESS;
	if (id == NVME_NUMBER_OF_QUEUES) {
		nvme->job.completion.result = QUEUES;
		return NVME_SUCCESS;
	}
	value = feature_find(&nvme->features, cmd, &bits);
	if (value == NULL)
		return NVME_INVALID_FIELD;
	nvme->job.completion.result = *value;
	return NVME_SUCCESS;
}

void
refdev_nvme_features_get(struct refdev *dev, const struct nvme_command *cmd)
{
	refdev_nvme_job_complete(dev, feature_get(dev, cmd));
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Log pages, and the asynchronous events that tell of them (sections 5.14 and 5.2 of the
 * specification). */

#include "nvme.h"

#define HEALTH_SIZE   512u
#define FIRMWARE_SIZE 512u

/* ---- Events ---- */

void
refdev_nvme_event_request(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	if (nvme->nr_event_requests == NVME_MAX_EVENT_REQS) {
		refdev_nvme_job_complete(dev, NVME_TOO_MANY_EVENT_REQUESTS);
		return;
	}
	nvme->event_requests[nvme->nr_event_requests++] = cmd->cid;
	refdev_nvme_job_end(dev);
}

bool
refdev_nvme_event_complete(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	if (nvme->nr_event_requests == 0 || !refdev_nvme_cq_has_room(&nvme->cqs[0], 1))
		return false;
	for (uint32_t type = 0; type < NVME_NR_EVENT_TYPES; type++) {
		struct nvme_event *event = &nvme->events[type];

		if (!event->pending)
			continue;
		event->pending = false;
		event->masked = true;
		refdev_nvme_kept_complete(dev, nvme->event_requests[--nvme->nr_event_requests],
			NVME_SUCCESS,
			type | (uint32_t)event->info << 8 | (uint32_t)event->log << 16, NULL);
		return true;
	}
	return false;
}

static bool
is_too_warm(const struct refdev_nvme *nvme)
{
	return NVME_TEMPERATURE >= nvme->features.over || NVME_TEMPERATURE <= nvme->features.under;
}

void
refdev_nvme_health_check(struct refdev *dev)
{
	const struct refdev_nvme *nvme = refdev_nvme_of(dev);

	if (is_too_warm(nvme) && (nvme->features.events & NVME_WARNING_TEMPERATURE) != 0)
		refdev_nvme_event_raise(
			dev, NVME_EVENT_HEALTH, NVME_ABOVE_TEMPERATURE, NVME_LOG_HEALTH);
}

/* ---- The pages ---- */

/* The newest error first. */
static uint32_t
errors_fill(const struct refdev_nvme *nvme, uint8_t *page)
{
	uint64_t count = nvme->statistics.errors;

	for (uint32_t i = 0; i < NVME_NR_ERRORS && i < count; i++)
		memcpy(page + i * sizeof(nvme->errors[0]),
			&nvme->errors[(count - 1 - i) % NVME_NR_ERRORS], sizeof(nvme->errors[0]));
	return sizeof(nvme->errors);
}

static void
counter_put(uint8_t *page, uint32_t offset, uint64_t value)
{
	memcpy(page + offset, &value, sizeof(value));
}

/* In thousands of 512 bytes, rounded up. */
static uint64_t
data_units(uint64_t bytes)
{
	return (bytes + 511999) / 512000;
}

static uint32_t
health_fill(const struct refdev_nvme *nvme, uint8_t *page)
{
	const struct nvme_statistics *statistics = &nvme->statistics;
	uint16_t temperature = NVME_TEMPERATURE;

	page[0] = is_too_warm(nvme) ? NVME_WARNING_TEMPERATURE : 0;
	memcpy(page + 1, &temperature, sizeof(temperature));
	page[3] = 100; /* percent of spare, and what is too little */
	page[4] = 10;
	counter_put(page, 32, data_units(statistics->bytes_read));
	counter_put(page, 48, data_units(statistics->bytes_written));
	counter_put(page, 64, statistics->reads);
	counter_put(page, 80, statistics->writes);
	counter_put(page, 112, 1); /* power cycles */
	counter_put(page, 176, statistics->errors);
	return HEALTH_SIZE;
}

/* What Identify Controller has in its place, in the slot that runs. */
static uint32_t
firmware_fill(uint8_t *page)
{
	page[0] = 1;
	memset(page + 8, ' ', 8);
	page[8] = '1';
	return FIRMWARE_SIZE;
}

/* Returns the size of the page; 0: there is none. */
static uint32_t
page_fill(const struct refdev_nvme *nvme, uint32_t log, uint8_t *page)
{
	switch (log) {
	case NVME_LOG_ERROR:
		return errors_fill(nvme, page);
	case NVME_LOG_HEALTH:
		return health_fill(nvme, page);
	case NVME_LOG_FIRMWARE:
		return firmware_fill(page);
	default:
		return 0;
	}
}

#define RETAIN_EVENT (1u << 15)

static void
events_unmask(struct refdev_nvme *nvme, uint32_t log)
{
	for (uint32_t type = 0; type < NVME_NR_EVENT_TYPES; type++)
		if (nvme->events[type].log == log)
			nvme->events[type].masked = false;
}

/* What is asked for behind the end of the page is 0. */
void
refdev_nvme_log_get(struct refdev *dev, const struct nvme_command *cmd)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint8_t page[sizeof(nvme->errors)] = {0}, *data = nvme->buffer.bytes + NVME_BUFFER_DATA;
	uint64_t offset = (uint64_t)cmd->cdw13 << 32 | cmd->cdw12;
	uint64_t len = (((uint64_t)(uint16_t)cmd->cdw11 << 16 | cmd->cdw10 >> 16) + 1) * 4;
	uint32_t log = cmd->cdw10 & 0xff, size = page_fill(nvme, log, page), n;

	if (size == 0) {
		refdev_nvme_job_complete(dev, NVME_INVALID_LOG_PAGE);
		return;
	}
	if (len > NVME_MAX_TRANSFER || offset % 4 != 0 || offset > size) {
		refdev_nvme_job_complete(dev, NVME_INVALID_FIELD);
		return;
	}
	n = size - (uint32_t)offset < len ? size - (uint32_t)offset : (uint32_t)len;
	memset(data, 0, len);
	memcpy(data, page + offset, n);
	if ((cmd->cdw10 & RETAIN_EVENT) == 0)
		events_unmask(nvme, log);
	refdev_nvme_data_move(dev, (uint32_t)len, true, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Commands: taken from the submission queues, and carried out one at a time, a step after the
 * other. */

#include "clock.h"
#include "nvme.h"

/* Work of one poll: steps of commands, and bytes of data. */
#define MAX_STEPS 256u
#define MAX_BYTES (4u * NVME_MAX_TRANSFER)

/* How often to look at doorbells that are mapped, and nobody tells of: while they are in use, and
 * when they have not been for a while. */
#define BUSY_POLL_NS 50000
#define IDLE_POLL_NS 1000000
#define BUSY_FOR_NS  20000000u

static void
command_taken(struct refdev *dev, int error)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	struct nvme_job *job = &nvme->job;
	struct nvme_sq *sq = &nvme->sqs[job->sq];

	if (error != 0) {
		refdev_nvme_fatal(dev);
		return;
	}
	memcpy(&job->command, nvme->buffer.bytes + NVME_BUFFER_ENTRY, sizeof(job->command));
	sq->head = (sq->head + 1) % sq->size;
	job->completion = (struct nvme_completion){0};
	if (job->command.flags != 0)
		refdev_nvme_job_complete(dev, NVME_INVALID_FIELD);
	else if (job->sq == 0)
		refdev_nvme_admin_run(dev, &job->command);
	else
		refdev_nvme_io_run(dev, &job->command);
}

static bool
sq_is_due(const struct refdev_nvme *nvme, const struct nvme_sq *sq)
{
	return sq->size > 0 && sq->head != sq->tail &&
		refdev_nvme_cq_has_room(&nvme->cqs[sq->cq], 1);
}

/* Begin with the next command, of each queue in turn. False: there is none. */
static bool
command_begin(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	for (uint32_t i = 0; i < NVME_NR_QUEUES; i++) {
		uint16_t id = (uint16_t)((nvme->next_sq + i) % NVME_NR_QUEUES);
		const struct nvme_sq *sq = &nvme->sqs[id];

		if (!sq_is_due(nvme, sq))
			continue;
		nvme->next_sq = (uint16_t)((id + 1) % NVME_NR_QUEUES);
		nvme->job.sq = id;
		refdev_nvme_access_start(dev,
			(struct nvme_segment){sq->base + sq->head * sizeof(struct nvme_command),
				sizeof(struct nvme_command)},
			NVME_BUFFER_ENTRY, false, command_taken);
		return true;
	}
	return false;
}

static bool
is_running(const struct refdev_nvme *nvme)
{
	return nvme->csts == NVME_CSTS_RDY; /* neither failed nor shut down */
}

/* Go on with the command, or begin with another one. False: answers have to come, or there is
 * nothing to do. */
static bool
job_step(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	nvme_step *step = nvme->job.step;

	if (!is_running(nvme) || dev->transfer.active)
		return false;
	if (step == NULL)
		return refdev_nvme_event_complete(dev) || command_begin(dev);
	step(dev, nvme->access.error);
	return true;
}

void
refdev_nvme_poll(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint64_t bytes = nvme->statistics.bytes_read + nvme->statistics.bytes_written;
	unsigned int steps = 0;

	nvme->more = false;
	if (!is_running(nvme))
		return;
	refdev_nvme_doorbells_read(dev);
	while (!nvme->more && job_step(dev)) {
		steps++;
		nvme->more = steps == MAX_STEPS ||
			nvme->statistics.bytes_read + nvme->statistics.bytes_written - bytes >=
				MAX_BYTES;
	}
	refdev_nvme_interrupts_raise(dev);
	if (steps > 0)
		nvme->active_ns = vuc_clock_ns();
}

/* Doorbells that nobody can have mapped come as messages. */
int64_t
refdev_nvme_poll_ns(const struct refdev *dev)
{
	const struct refdev_nvme *nvme = refdev_nvme_of(dev);

	if (!is_running(nvme))
		return -1;
	if (nvme->more && !dev->transfer.active)
		return 0;
	if (dev->client_max_msg_fds == 0)
		return -1;
	return vuc_clock_ns() - nvme->active_ns < BUSY_FOR_NS ? BUSY_POLL_NS : IDLE_POLL_NS;
}

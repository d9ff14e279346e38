/* SPDX-License-Identifier: BSD-3-Clause */

/* The life of a device: creation, clients, resets, and the events that its model waits for. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "device.h"
#include "fds.h"

#define MAX_CONTROL_MESSAGE 8192u

void
refdev_config_init(struct refdev_config *config)
{
	*config = (struct refdev_config){
		.minor = 2,
		.max_msg_fds = 8,
		.max_data_xfer_size = 1024 * 1024,
		.max_dma_maps = 65535,
		.pgsizes = 4096,
		.serial = 1,
		.features = REFDEV_F_ALL,
	};
}

static bool
config_is_valid(const struct refdev_config *config)
{
	return config->max_msg_fds <= REFDEV_MAX_MSG_FDS && config->max_data_xfer_size >= 1 &&
		config->max_data_xfer_size <= REFDEV_MAX_DATA_XFER_SIZE &&
		config->max_dma_maps >= 1 && config->pgsizes != 0 && (config->pgsizes & 4095) == 0;
}

size_t
refdev_max_message(const struct refdev *dev)
{
	return dev->max_message;
}

static int
regions_open(struct refdev *dev)
{
	const struct refdev_region *regions = dev->model->regions;
	int rc = 0;

	for (uint32_t i = 0; i < REFDEV_NR_REGIONS && rc == 0; i++)
		if (regions[i].mappable)
			rc = refdev_memory_open_region(dev, &dev->memory[i], i, regions[i].size);
	return rc;
}

static void
device_free(struct refdev *dev)
{
	dev->model->destroy(dev);
	for (uint32_t i = 0; i < REFDEV_NR_REGIONS; i++)
		refdev_memory_close(&dev->memory[i]);
	free(dev->dma.maps);
	free(dev);
}

struct refdev *
refdev_create(const struct refdev_config *config)
{
	struct refdev *dev;
	int rc;

	if (!config_is_valid(config)) {
		errno = EINVAL;
		return NULL;
	}
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return NULL;
	dev->model = config->nvme_file != NULL ? &refdev_nvme : &refdev_reference;
	dev->config = *config;
	if (dev->model->image_size == 0)
		dev->config.features &= ~REFDEV_F_MIGRATION;
	if (dev->model->io_fds == NULL)
		dev->config.features &= ~REFDEV_F_IO_FDS;
	/* With the data of a region, or a version with its JSON. */
	dev->max_message = sizeof(struct vfio_user_header) +
		sizeof(struct vfio_user_region_access) + config->max_data_xfer_size;
	if (dev->max_message < MAX_CONTROL_MESSAGE)
		dev->max_message = MAX_CONTROL_MESSAGE;
	dev->twin_fd = -1;
	memset(dev->event_fds, -1, sizeof(dev->event_fds));
	for (uint32_t i = 0; i < REFDEV_NR_REGIONS; i++)
		dev->memory[i].fd = -1;
	refdev_irq_init(dev);
	refdev_migration_reset(dev);
	rc = dev->model->create(dev);
	if (rc == 0)
		rc = regions_open(dev);
	if (rc == 0)
		return dev;
	device_free(dev);
	errno = -rc;
	return NULL;
}

void
refdev_destroy(struct refdev *dev)
{
	if (dev == NULL)
		return;
	refdev_disconnect(dev);
	device_free(dev);
}

void
refdev_disconnect(struct refdev *dev)
{
	for (uint32_t index = 0; index < REFDEV_NR_IRQ_INDEXES; index++)
		refdev_irq_release(dev, index);
	refdev_dma_release(dev);
	dev->model->disconnect(dev);
	dev->transfer.active = false;
	memset(&dev->outgoing, 0, sizeof(dev->outgoing));
	vuc_fds_close(dev->event_fds, REFDEV_MAX_EVENT_FDS);
	memset(dev->event_fds, -1, sizeof(dev->event_fds));
	refdev_dirty_stop(dev);
	refdev_migration_release(dev);
	if (dev->twin_fd >= 0)
		close(dev->twin_fd);
	dev->twin_fd = -1;
	dev->twin = false;
	dev->negotiated = false;
	if (dev->config.pretend_reset)
		refdev_reset(dev);
}

/* Interrupts first: what was pending must not be delivered because a reset unmasks it. */
void
refdev_reset(struct refdev *dev)
{
	refdev_irq_reset(dev);
	refdev_migration_reset(dev);
	refdev_commands_forget(dev);
	dev->model->reset(dev, false);
	refdev_irq_refresh(dev);
}

int
refdev_reset_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	(void)in;
	(void)out;
	if (dev->config.pretend_reset)
		dev->model->reset(dev, true);
	else
		refdev_reset(dev);
	return 0;
}

int
refdev_io_fds_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	return dev->model->io_fds(dev, in, out);
}

void
refdev_poll(struct refdev *dev)
{
	if (dev->model->poll != NULL)
		dev->model->poll(dev);
}

int64_t
refdev_poll_ns(const struct refdev *dev)
{
	return dev->model->poll_ns != NULL ? dev->model->poll_ns(dev) : -1;
}

const int *
refdev_event_fds(const struct refdev *dev)
{
	return dev->event_fds;
}

void
refdev_take_events(struct refdev *dev)
{
	for (unsigned int i = 0; i < REFDEV_MAX_EVENT_FDS; i++) {
		uint64_t times;

		if (dev->event_fds[i] >= 0 &&
			read(dev->event_fds[i], &times, sizeof(times)) == (ssize_t)sizeof(times))
			dev->model->take_event(dev, i);
	}
}

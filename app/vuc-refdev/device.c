/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

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
		.twin_socket = true,
		.write_multi = true,
		.migration = true,
		.dirty_log = true,
		.io_fds = true,
	};
}

static bool
config_is_valid(const struct refdev_config *config)
{
	return config->max_msg_fds <= REFDEV_MAX_MSG_FDS && config->max_data_xfer_size >= 1 &&
		config->max_data_xfer_size <= REFDEV_MAX_DATA_XFER_SIZE &&
		config->max_dma_maps >= 1 && config->pgsizes != 0 &&
		(config->pgsizes & (REFDEV_PAGE_SIZE - 1)) == 0;
}

static void
device_free(struct refdev *dev)
{
	refdev_memory_close(&dev->bar2);
	refdev_memory_close(&dev->bar4.memory);
	refdev_memory_close(&dev->engine.buffer);
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
	dev->config = *config;
	refdev_irq_init(dev);
	refdev_events_init(dev);
	refdev_migration_reset(dev);
	dev->twin_fd = -1;
	dev->engine.buffer.fd = -1;
	dev->bar2.fd = -1;
	dev->bar4.memory.fd = -1;
	rc = refdev_memory_open(&dev->bar2, "refdev-bar2", REFDEV_BAR2_SIZE);
	if (rc == 0)
		rc = refdev_memory_open(&dev->bar4.memory, "refdev-bar4", REFDEV_BAR4_SIZE);
	if (rc != 0) {
		device_free(dev);
		errno = -rc;
		return NULL;
	}
	refdev_config_space_reset(dev);
	refdev_bar0_reset(dev);
	return dev;
}

void
refdev_destroy(struct refdev *dev)
{
	if (dev == NULL)
		return;
	refdev_disconnect(dev);
	free(dev->dma.maps);
	device_free(dev);
}

static void
release_twin(struct refdev *dev)
{
	if (dev->twin_fd >= 0)
		close(dev->twin_fd);
	dev->twin_fd = -1;
	dev->twin = false;
}

void
refdev_disconnect(struct refdev *dev)
{
	for (uint32_t index = 0; index < REFDEV_NR_IRQ_INDEXES; index++)
		refdev_irq_release(dev, index);
	refdev_dma_release(dev);
	refdev_outgoing_release(dev);
	refdev_engine_cancel(dev, -ENOTCONN);
	refdev_dirty_stop(dev);
	refdev_migration_release(dev);
	refdev_events_release(dev);
	release_twin(dev);
	dev->negotiated = false;
	if (dev->config.pretend_reset)
		refdev_reset(dev);
}

/* Interrupts first: what was pending must not be delivered because a reset unmasks it. */
void
refdev_reset(struct refdev *dev)
{
	refdev_irq_reset(dev);
	refdev_outgoing_abandon(dev);
	refdev_engine_reset(dev);
	refdev_migration_reset(dev);
	refdev_config_space_reset(dev);
	refdev_bar0_reset(dev);
	memset(dev->bar2.bytes, 0, dev->bar2.size);
	refdev_bar4_reset(dev);
	refdev_irq_refresh(dev);
	dev->bar0.value[REFDEV_REG_RESETS / 4]++;
}

int
refdev_reset_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	(void)in;
	(void)out;
	if (dev->config.pretend_reset)
		REFDEV_REG(dev, RESETS)++;
	else
		refdev_reset(dev);
	return 0;
}

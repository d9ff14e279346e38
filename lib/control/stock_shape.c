/* SPDX-License-Identifier: BSD-3-Clause */

/* The device as a stock VMM sees it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "error.h"
#include "machine.h"
#include "record.h"
#include "stock.h"

/* Such a VMM takes one descriptor per region, so all areas must be in one file, at the same
 * distances. */
static bool
areas_are_one_file(const struct vmm_areas *areas)
{
	const struct device_area *first = &areas->found.areas[0];

	for (uint32_t i = 1; i < areas->found.nr; i++) {
		const struct device_area *a = &areas->found.areas[i];

		if (a->file_offset - a->offset != first->file_offset - first->offset)
			return false;
	}
	return areas->nr_fds == 1 && first->file_offset >= first->offset;
}

static int
shape_add_areas(struct front_region *to, const struct device_areas *found)
{
	struct vfio_user_sparse_area *areas = calloc(found->nr, sizeof(*areas));

	if (areas == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < found->nr; i++) {
		areas[i].offset = found->areas[i].offset;
		areas[i].size = found->areas[i].size;
	}
	to->areas = areas;
	to->nr_areas = found->nr;
	to->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	to->fd_offset = found->areas[0].file_offset - found->areas[0].offset;
	return 0;
}

static int
shape_add_region(
	struct control_vmm *v, struct front_region *to, uint32_t index, struct vuc_error *err)
{
	const uint32_t kept = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const struct vuc_region *r = vuc_device_region(v->link->dev, index);
	struct vmm_areas areas;
	int rc;

	to->size = r->size;
	to->flags = r->flags & kept;
	rc = vmm_find_areas(v, index, &areas, err);
	if (rc == 0 && areas_are_one_file(&areas) && shape_add_areas(to, &areas.found) != 0)
		rc = vuc_error_set(err, -ENOMEM, "no memory for the areas of a region");
	vmm_drop_areas(v, &areas);
	return rc;
}

static int
shape_add_irqs(struct control_vmm *v, struct front_shape *shape)
{
	struct front_irq *irqs = calloc(shape->nr_irqs + 1u, sizeof(*irqs));

	if (irqs == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < shape->nr_irqs; i++) {
		const struct vuc_irq *irq = vuc_device_irq(v->link->dev, i);

		irqs[i] = (struct front_irq){.flags = irq->flags, .count = irq->count};
	}
	shape->irqs = irqs;
	return 0;
}

static uint32_t
at_most(uint32_t value, uint32_t max)
{
	return value < max ? value : max;
}

/* A control_device_fn. -EAGAIN: the device is not away; ask the device itself. */
static int
shape_read_record(struct vuc_device *dev, void *arg)
{
	struct front_shape *shape = arg;

	if (!vuc_device_is_away(dev))
		return -EAGAIN;
	return vuc_device_record_read_config(dev, 0, shape->config, sizeof(shape->config));
}

/* With a deadline, in case the device is being lost. */
static int
shape_ask_config(struct control_vmm *v, struct vuc_queue *queue, struct front_shape *shape)
{
	const struct vuc_queue_request request = {
		.op = VUC_QUEUE_READ,
		.region = VFIO_PCI_CONFIG_REGION_INDEX,
		.count = sizeof(shape->config),
		.data = shape->config,
	};
	struct vuc_queue_result result;
	int rc = vuc_queue_submit(queue, &request, 1);

	if (rc != 1)
		return rc < 0 ? rc : -EAGAIN;
	rc = vuc_queue_wait(queue, (int)v->device->reply_ms);
	return rc == 0 && vuc_queue_poll(queue, &result, 1) == 1 ? result.status : rc;
}

static int
shape_read_config(struct control_vmm *v, struct vuc_queue *queue, struct front_shape *shape,
	struct vuc_error *err)
{
	int rc = vmm_call(v, shape_read_record, shape, NULL);

	if (rc == -EAGAIN)
		rc = shape_ask_config(v, queue, shape);
	return rc != 0 ? vuc_error_set(err, rc, "cannot read config space: %s", strerror(-rc)) : 0;
}

static int
shape_fill(struct control_vmm *v, struct vuc_queue *queue, struct front_shape *shape,
	struct vuc_error *err)
{
	struct front_region *regions = calloc(shape->nr_regions + 1u, sizeof(*regions));
	int rc = 0;

	shape->regions = regions;
	if (regions == NULL || shape_add_irqs(v, shape) != 0)
		return vuc_error_set(err, -ENOMEM, "no memory for a device's regions");
	for (uint32_t i = 0; rc == 0 && i < shape->nr_regions; i++)
		rc = shape_add_region(v, &regions[i], i, err);
	if (rc != 0 || shape->nr_regions <= VFIO_PCI_CONFIG_REGION_INDEX ||
		regions[VFIO_PCI_CONFIG_REGION_INDEX].size < sizeof(shape->config))
		return rc;
	return shape_read_config(v, queue, shape, err);
}

int
stock_shape_make(struct control_vmm *v, struct vuc_queue *queue, struct front_shape *shape,
	struct vuc_error *err)
{
	const struct vuc_device_info *info = vuc_device_info(v->link->dev);
	int rc;

	*shape = (struct front_shape){
		.flags = vmm_device_flags(v),
		.nr_regions = at_most(info->num_regions, FRONT_MAX_REGIONS),
		.nr_irqs = at_most(info->num_irqs, FRONT_MAX_IRQS),
	};
	rc = shape_fill(v, queue, shape, err);
	if (rc != 0)
		stock_shape_free(shape);
	return rc;
}

void
stock_shape_free(struct front_shape *shape)
{
	for (uint32_t i = 0; shape->regions != NULL && i < shape->nr_regions; i++)
		free((void *)(uintptr_t)shape->regions[i].areas);
	free((void *)(uintptr_t)shape->regions);
	free((void *)(uintptr_t)shape->irqs);
	*shape = (struct front_shape){0};
}

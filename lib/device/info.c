/* SPDX-License-Identifier: BSD-3-Clause */

/* What a device has: asked once when it is opened, checked, and kept. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "error.h"
#include "info.h"
#include "internal.h"

#define FIRST_ARGSZ 1024u /* enough for most regions' capabilities */

/* Most bytes of other replies: what lies behind the struct is of no use, but may be there. */
#define INFO_MAX FIRST_ARGSZ

static int
info_ask(struct vuc_device *dev, const struct vuc_session_request *req, struct device_reply *reply,
	struct vuc_error *err)
{
	int rc = device_ask(dev, req, reply);

	return rc != 0 ? vuc_error_set(err, rc, "%s", vuc_device_reason(dev)) : 0;
}

static int
learn_device(struct vuc_device *dev, struct vuc_error *err)
{
	uint8_t request[sizeof(struct vfio_user_device_info)];
	uint8_t body[sizeof(struct vfio_user_device_info)];
	struct device_reply reply = {.body = body, .size = sizeof(body)};
	struct vfio_user_device_info info;
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_INFO,
		.body = request,
		.len = vuc_wire_device_info_encode(request),
		.reply_max = INFO_MAX,
	};
	int rc = info_ask(dev, &req, &reply, err);

	if (rc == 0)
		rc = vuc_wire_device_info_decode(body, reply.len, &info, err);
	if (rc != 0)
		return rc;
	if (info.argsz < sizeof(info))
		device_warn(dev, DEVICE_FAULT_INFO,
			"VFIO_USER_DEVICE_GET_INFO: argsz %u, expected at least %zu", info.argsz,
			sizeof(info));
	if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0)
		device_warn(dev, DEVICE_FAULT_INFO,
			"VFIO_USER_DEVICE_GET_INFO: flags 0x%x lack VFIO_DEVICE_FLAGS_PCI",
			info.flags);
	dev->info.flags = info.flags;
	dev->info.num_regions = info.num_regions;
	dev->info.num_irqs = info.num_irqs;
	dev->regions = calloc(info.num_regions + 1, sizeof(*dev->regions));
	dev->irqs = calloc(info.num_irqs + 1, sizeof(*dev->irqs));
	dev->irq_sets = calloc(info.num_irqs + 1, sizeof(*dev->irq_sets));
	if (dev->regions == NULL || dev->irqs == NULL || dev->irq_sets == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %u regions and %u IRQ indexes",
			info.num_regions, info.num_irqs);
	return 0;
}

/* One descriptor serves all areas, or each has its own. */
static int
check_region_fds(
	const struct vuc_wire_region_info *info, unsigned int nr_fds, struct vuc_error *err)
{
	bool can_map = (info->info.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0;

	if (nr_fds == 0 || (can_map && nr_fds == 1) || (can_map && nr_fds == info->nr_areas))
		return 0;
	return vuc_error_set(err, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_INFO: region %u came with %u file descriptors, for "
		"flags 0x%x and %u sparse areas",
		info->info.index, nr_fds, info->info.flags, info->nr_areas);
}

static int
keep_areas(struct region *region, const struct vuc_wire_region_info *info)
{
	region->areas = calloc(info->nr_areas + 1, sizeof(*region->areas));
	if (region->areas == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < info->nr_areas; i++) {
		struct vfio_user_sparse_area area;

		vuc_wire_region_area(info, i, &area);
		region->areas[i].offset = area.offset;
		region->areas[i].size = area.size;
	}
	region->info.areas = region->areas;
	region->info.nr_areas = info->nr_areas;
	return 0;
}

static int
keep_region_fds(struct region *region, struct device_reply *reply)
{
	region->fds = calloc(reply->nr_fds + 1, sizeof(*region->fds));
	if (region->fds == NULL)
		return -ENOMEM;
	memcpy(region->fds, reply->fds, reply->nr_fds * sizeof(*region->fds));
	region->info.fds = region->fds;
	region->info.nr_fds = reply->nr_fds;
	reply->nr_fds = 0;
	return 0;
}

static int
keep_region(struct region *region, const struct vuc_wire_region_info *info,
	struct device_reply *reply, struct vuc_error *err)
{
	int rc = check_region_fds(info, reply->nr_fds, err);

	if (rc != 0)
		return rc;
	region->info.index = info->info.index;
	region->info.flags = info->info.flags;
	region->info.size = info->info.size;
	region->info.offset = info->info.offset;
	region->info.type = info->has_type ? info->type : 0;
	region->info.subtype = info->has_type ? info->subtype : 0;
	/* Sparse without an area: nothing of it can be mapped. */
	if (info->has_sparse && info->nr_areas == 0) {
		region->info.flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
		device_close_fds(reply);
	}
	if (keep_areas(region, info) != 0 || keep_region_fds(region, reply) != 0)
		return vuc_error_set(err, -ENOMEM, "no memory for region %u", info->info.index);
	return 0;
}

/* Regions and IRQ indexes that a server refused to tell of. */
struct refusals {
	uint32_t first; /* index */
	unsigned int nr;
	struct vuc_error why; /* of the first */
};

static void
add_refusal(struct refusals *refusals, uint32_t index, const struct vuc_error *why)
{
	if (refusals->nr++ > 0)
		return;
	refusals->first = index;
	refusals->why = *why;
}

static void
warn_of_refusals(struct vuc_device *dev, const struct refusals *refusals, enum device_fault fault,
	const char *what)
{
	char more[32] = "";

	if (refusals->nr == 0)
		return;
	if (refusals->nr > 1)
		snprintf(more, sizeof(more), " and %u more", refusals->nr - 1);
	device_warn(dev, fault, "%s %u%s: %s: taken for not there", what, refusals->first, more,
		refusals->why.text);
}

/* What else can be told by whoever asked for argsz bytes and got len. */
static void
warn_of_region(struct vuc_device *dev, const struct vuc_wire_region_info *info, size_t len)
{
	const struct vfio_user_region_info *r = &info->info;

	if (r->argsz != len && !info->truncated)
		device_warn(dev, DEVICE_FAULT_INFO,
			"VFIO_USER_DEVICE_GET_REGION_INFO: region %u: argsz %u, and a body of %zu "
			"bytes",
			r->index, r->argsz, len);
	if ((r->flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 && r->cap_offset == 0)
		device_warn(dev, DEVICE_FAULT_INFO,
			"VFIO_USER_DEVICE_GET_REGION_INFO: region %u: "
			"VFIO_REGION_INFO_FLAG_CAPS with cap_offset 0",
			r->index);
}

/* Say which one it was that the server did not tell of. */
static int
refuse_index(struct vuc_error *err, const char *what, uint32_t index, int rc)
{
	struct vuc_error why = *err;

	return vuc_error_set(err, rc, "%s %u: %s", what, index, why.text);
}

/* QEMU and Cloud Hypervisor do without all but BARs and config space. */
static bool
is_optional_region(uint32_t index)
{
	return index == VFIO_PCI_ROM_REGION_INDEX || index >= VFIO_PCI_VGA_REGION_INDEX;
}

/* Ask with room for argsz bytes. *needed is set when the server has more to say than that. */
static int
ask_region(struct vuc_device *dev, uint32_t index, uint32_t argsz, uint32_t *needed,
	struct refusals *refusals, struct vuc_error *err)
{
	uint8_t request[sizeof(struct vfio_user_region_info)];
	struct device_reply reply = {.body = malloc(argsz), .size = argsz};
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_REGION_INFO,
		.body = request,
		.len = vuc_wire_region_info_encode(request, index, argsz),
		.reply_max = argsz,
	};
	struct vuc_wire_region_info info;
	int rc;

	if (reply.body == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for the info of region %u", index);
	rc = info_ask(dev, &req, &reply, err);
	if (rc == 0)
		rc = vuc_wire_region_info_decode(reply.body, reply.len, index, argsz, &info, err);
	if (rc == 0)
		warn_of_region(dev, &info, reply.len);
	*needed = rc == 0 && info.truncated ? info.info.argsz : 0;
	if (rc == 0 && *needed == 0)
		rc = keep_region(&dev->regions[index], &info, &reply, err);
	device_close_fds(&reply);
	free(reply.body);
	if (!reply.refused)
		return rc;
	if (!is_optional_region(index))
		return refuse_index(err, "region", index, rc);
	dev->regions[index].info.index = index;
	add_refusal(refusals, index, err);
	return 0;
}

static int
learn_region(
	struct vuc_device *dev, uint32_t index, struct refusals *refusals, struct vuc_error *err)
{
	uint32_t needed = 0;
	int rc = ask_region(dev, index, FIRST_ARGSZ, &needed, refusals, err);

	if (rc == 0 && needed != 0) {
		uint32_t argsz = needed;

		rc = ask_region(dev, index, argsz, &needed, refusals, err);
		if (rc == 0 && needed != 0)
			return vuc_error_set(err, -EPROTO,
				"VFIO_USER_DEVICE_GET_REGION_INFO: region %u asked for an argsz of "
				"%u, and given that for %u",
				index, argsz, needed);
	}
	return rc;
}

static int
learn_irq(struct vuc_device *dev, uint32_t index, struct refusals *refusals, struct vuc_error *err)
{
	uint8_t request[sizeof(struct vfio_user_irq_info)];
	uint8_t body[sizeof(struct vfio_user_irq_info)];
	struct device_reply reply = {.body = body, .size = sizeof(body)};
	struct vfio_user_irq_info info;
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_IRQ_INFO,
		.body = request,
		.len = vuc_wire_irq_info_encode(request, index),
		.reply_max = INFO_MAX,
	};
	int rc = info_ask(dev, &req, &reply, err);

	dev->irqs[index].index = index;
	if (reply.refused) {
		add_refusal(refusals, index, err);
		return 0;
	}
	if (rc == 0)
		rc = vuc_wire_irq_info_decode(body, reply.len, index, &info, err);
	if (rc != 0)
		return rc;
	if (info.argsz < sizeof(info))
		device_warn(dev, DEVICE_FAULT_INFO,
			"VFIO_USER_DEVICE_GET_IRQ_INFO: index %u: argsz %u, expected at least %zu",
			index, info.argsz, sizeof(info));
	dev->irqs[index].flags = info.flags;
	dev->irqs[index].count = info.count;
	return 0;
}

/*
 * Which BARs are memory: writes to them are posted, writes to I/O BARs are not. A device whose
 * config space does not say has none, and every write to it is awaited.
 */
static void
learn_bars(struct vuc_device *dev)
{
	uint32_t bars[PCI_STD_NUM_BARS];
	const struct vuc_region *config = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);

	if (config == NULL || config->size < PCI_BASE_ADDRESS_0 + sizeof(bars) ||
		vuc_device_read(dev, config->index, PCI_BASE_ADDRESS_0, bars, sizeof(bars)) != 0)
		return;
	for (uint32_t i = 0; i < PCI_STD_NUM_BARS; i++) {
		const struct vuc_region *region = vuc_device_region(dev, i);

		if (region != NULL && region->size > 0 &&
			(bars[i] & PCI_BASE_ADDRESS_SPACE) == PCI_BASE_ADDRESS_SPACE_MEMORY)
			dev->memory_bars |= 1u << i;
	}
}

int
device_learn(struct vuc_device *dev, struct vuc_error *err)
{
	struct refusals regions = {0}, irqs = {0};
	int rc = learn_device(dev, err);

	for (uint32_t i = 0; rc == 0 && i < dev->info.num_regions; i++)
		rc = learn_region(dev, i, &regions, err);
	for (uint32_t i = 0; rc == 0 && i < dev->info.num_irqs; i++)
		rc = learn_irq(dev, i, &irqs, err);
	if (rc != 0)
		return rc;
	warn_of_refusals(dev, &regions, DEVICE_FAULT_REGION_REFUSED, "region");
	warn_of_refusals(dev, &irqs, DEVICE_FAULT_IRQ_REFUSED, "IRQ index");
	learn_bars(dev);
	if (!vuc_device_connected(dev))
		return vuc_error_set(err, vuc_session_error(dev->session), "%s",
			vuc_session_reason(dev->session));
	dev->reason.text[0] = '\0';
	return 0;
}

static void
forget_region(struct region *region)
{
	device_unmap_region(region);
	for (uint32_t i = 0; i < region->info.nr_fds; i++)
		close(region->fds[i]);
	free(region->fds);
	free(region->areas);
}

void
device_forget(struct vuc_device *dev)
{
	for (uint32_t i = 0; dev->regions != NULL && i < dev->info.num_regions; i++)
		forget_region(&dev->regions[i]);
	free(dev->regions);
	free(dev->irqs);
	free(dev->irq_sets);
}

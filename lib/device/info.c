/* SPDX-License-Identifier: BSD-3-Clause */

/* What a device has: asked once when it is opened, checked, and kept. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "command.h"
#include "error.h"
#include "info.h"
#include "internal.h"
#include "learn.h"

#define FIRST_ARGSZ 1024u /* enough for most regions' capabilities */

/* Most bytes of other replies: what lies behind the struct is of no use, but may be there. */
#define INFO_MAX FIRST_ARGSZ

static void
learn_finish(struct device_learn *l, int status, const struct vuc_error *err)
{
	device_learn_fn done = l->done;

	l->done = NULL;
	l->asks = false;
	if (done != NULL)
		done(l, status, err);
}

static void
learn_send_question(struct device_learn *l, const struct vuc_session_request *req)
{
	struct vuc_session *s = l->dev->session;
	struct vuc_error err = {0};
	int rc = vuc_session_request(s, req);

	l->cmd = req->cmd;
	l->asks = rc == -EAGAIN;
	device_mark_dirty(l->dev);
	if (rc == 0 || rc == -EAGAIN)
		return;
	if (vuc_session_error(s) != 0)
		vuc_error_set(&err, rc, "%s", vuc_session_reason(s));
	else
		vuc_error_set(&err, rc, "%s: %s", vuc_wire_command_name(req->cmd), strerror(-rc));
	learn_finish(l, rc, &err);
}

static void
learn_ask_next(struct device_learn *l, void (*ask)(struct device_learn *l), uint32_t index)
{
	l->ask = ask;
	l->index = index;
	l->argsz = FIRST_ARGSZ;
	l->asked_again = false;
	ask(l);
}

/* The error of an answer that is none. */
static int
reply_error(const struct vuc_session_reply *reply, struct vuc_error *err)
{
	return reply->status == 0 ? 0 : vuc_error_set(err, reply->status, "%s", reply->reason);
}

static int
keep_device(struct vuc_device *dev, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct vfio_user_device_info info;
	int rc = reply_error(reply, err);

	if (rc == 0)
		rc = vuc_wire_device_info_decode(reply->body, reply->len, &info, err);
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
	dev->regions = calloc(info.num_regions + 1, sizeof(*dev->regions));
	dev->irqs = calloc(info.num_irqs + 1, sizeof(*dev->irqs));
	dev->irq_sets = calloc(info.num_irqs + 1, sizeof(*dev->irq_sets));
	if (dev->regions == NULL || dev->irqs == NULL || dev->irq_sets == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %u regions and %u IRQ indexes",
			info.num_regions, info.num_irqs);
	dev->info.flags = info.flags;
	dev->info.num_regions = info.num_regions;
	dev->info.num_irqs = info.num_irqs;
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
		"VFIO_USER_DEVICE_GET_REGION_INFO: region %u carried %u file descriptors, for "
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
keep_region_fds(struct region *region, const struct vuc_session_reply *reply)
{
	region->fds = calloc(reply->nr_fds + 1, sizeof(*region->fds));
	if (region->fds == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < reply->nr_fds; i++) {
		region->fds[i] = reply->fds[i];
		reply->fds[i] = -1;
	}
	region->info.fds = region->fds;
	region->info.nr_fds = reply->nr_fds;
	return 0;
}

static int
keep_region(struct region *region, const struct vuc_wire_region_info *info,
	const struct vuc_session_reply *reply, struct vuc_error *err)
{
	/* Sparse without an area: nothing of it can be mapped. */
	bool none = info->has_sparse && info->nr_areas == 0;
	int rc = check_region_fds(info, reply->nr_fds, err);

	if (rc != 0)
		return rc;
	region->info.index = info->info.index;
	region->info.flags = info->info.flags;
	region->info.size = info->info.size;
	region->info.offset = info->info.offset;
	region->info.type = info->has_type ? info->type : 0;
	region->info.subtype = info->has_type ? info->subtype : 0;
	if (none)
		region->info.flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	if (keep_areas(region, info) != 0 || (!none && keep_region_fds(region, reply) != 0))
		return vuc_error_set(err, -ENOMEM, "no memory for region %u", info->info.index);
	return 0;
}

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
	device_warn(dev, fault, "%s %u%s: %s: treated as absent", what, refusals->first, more,
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

/* The server has more to say than there was room for. Returns 0 when it is asked again. */
static int
learn_ask_for_more(struct device_learn *l, uint32_t argsz, struct vuc_error *err)
{
	if (l->asked_again)
		return vuc_error_set(err, -EPROTO,
			"VFIO_USER_DEVICE_GET_REGION_INFO: region %u requires an argsz of %u, and "
			"after a request with it, %u",
			l->index, l->argsz, argsz);
	l->asked_again = true;
	l->argsz = argsz;
	l->ask(l);
	return 0;
}

static void learn_next_region(struct device_learn *l);

static void
region_answered(void *arg, const struct vuc_session_reply *reply)
{
	struct device_learn *l = arg;
	struct vuc_device *dev = l->dev;
	struct vuc_wire_region_info info = {0};
	struct vuc_error err = {0};
	int rc = reply_error(reply, &err);

	if (reply->refused && is_optional_region(l->index)) {
		dev->regions[l->index].info.index = l->index;
		add_refusal(&l->regions, l->index, &err);
		learn_next_region(l);
		return;
	}
	if (reply->refused)
		refuse_index(&err, "region", l->index, rc);
	if (rc == 0)
		rc = vuc_wire_region_info_decode(
			reply->body, reply->len, l->index, l->argsz, &info, &err);
	if (rc == 0)
		warn_of_region(dev, &info, reply->len);
	if (rc == 0 && info.truncated)
		rc = learn_ask_for_more(l, info.info.argsz, &err);
	else if (rc == 0)
		rc = keep_region(&dev->regions[l->index], &info, reply, &err);
	if (rc != 0)
		learn_finish(l, rc, &err);
	else if (!info.truncated)
		learn_next_region(l);
}

static void
ask_region(struct device_learn *l)
{
	uint8_t body[sizeof(struct vfio_user_region_info)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_REGION_INFO,
		.body = body,
		.len = vuc_wire_region_info_encode(body, l->index, l->argsz),
		.reply_max = l->argsz,
		.done = region_answered,
		.arg = l,
	};

	learn_send_question(l, &req);
}

static void learn_next_irq(struct device_learn *l);

static void
irq_answered(void *arg, const struct vuc_session_reply *reply)
{
	struct device_learn *l = arg;
	struct vuc_irq *irq = &l->dev->irqs[l->index];
	struct vfio_user_irq_info info;
	struct vuc_error err = {0};
	int rc = reply_error(reply, &err);

	irq->index = l->index;
	if (reply->refused) {
		add_refusal(&l->irqs, l->index, &err);
		learn_next_irq(l);
		return;
	}
	if (rc == 0)
		rc = vuc_wire_irq_info_decode(reply->body, reply->len, l->index, &info, &err);
	if (rc != 0) {
		learn_finish(l, rc, &err);
		return;
	}
	if (info.argsz < sizeof(info))
		device_warn(l->dev, DEVICE_FAULT_INFO,
			"VFIO_USER_DEVICE_GET_IRQ_INFO: index %u: argsz %u, expected at least %zu",
			l->index, info.argsz, sizeof(info));
	irq->flags = info.flags;
	irq->count = info.count;
	learn_next_irq(l);
}

static void
ask_irq(struct device_learn *l)
{
	uint8_t body[sizeof(struct vfio_user_irq_info)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_IRQ_INFO,
		.body = body,
		.len = vuc_wire_irq_info_encode(body, l->index),
		.reply_max = INFO_MAX,
		.done = irq_answered,
		.arg = l,
	};

	learn_send_question(l, &req);
}

static void
keep_bars(struct vuc_device *dev, const uint32_t *bars)
{
	for (uint32_t i = 0; i < PCI_STD_NUM_BARS; i++) {
		const struct vuc_region *region = vuc_device_region(dev, i);

		if (region != NULL && region->size > 0 &&
			(bars[i] & PCI_BASE_ADDRESS_SPACE) == PCI_BASE_ADDRESS_SPACE_MEMORY)
			dev->memory_bars |= 1u << i;
	}
}

static void
bars_answered(struct vuc_request *req, int status)
{
	struct device_learn *l = req->arg;
	struct vuc_session *s = l->dev->session;
	struct vuc_error err = {0};

	if (status == 0)
		keep_bars(l->dev, l->bars);
	else if (status == -ETIMEDOUT && vuc_session_error(s) == 0)
		device_warn(l->dev, DEVICE_FAULT_CONFIG,
			"no answer to a read of the BARs in config space: PCI writes are not posted");
	vuc_error_set(&err, vuc_session_error(s), "%s", vuc_session_reason(s));
	learn_finish(l, vuc_session_error(s), &err);
}

/*
 * Which BARs are memory: writes to them are posted, writes to I/O BARs are not. A device whose
 * config space does not say has none, and every write to it is awaited.
 */
static void
learn_bars(struct device_learn *l)
{
	const struct vuc_region *config = vuc_device_region(l->dev, VFIO_PCI_CONFIG_REGION_INDEX);

	l->cmd = VFIO_USER_REGION_READ;
	if (config == NULL || config->size < PCI_BASE_ADDRESS_0 + sizeof(l->bars) ||
		(config->flags & VFIO_REGION_INFO_FLAG_READ) == 0) {
		learn_finish(l, 0, NULL);
		return;
	}
	l->read = (struct vuc_request){
		.op = VUC_OP_READ,
		.region = config->index,
		.offset = PCI_BASE_ADDRESS_0,
		.data = l->bars,
		.count = sizeof(l->bars),
		.done = bars_answered,
		.arg = l,
	};
	device_enqueue(l->dev, &l->read);
	device_mark_dirty(l->dev);
}

static void
learn_next_irq(struct device_learn *l)
{
	uint32_t index = l->ask == ask_irq ? l->index + 1 : 0;

	if (index < l->dev->info.num_irqs) {
		learn_ask_next(l, ask_irq, index);
		return;
	}
	warn_of_refusals(l->dev, &l->regions, DEVICE_FAULT_REGION_REFUSED, "region");
	warn_of_refusals(l->dev, &l->irqs, DEVICE_FAULT_IRQ_REFUSED, "IRQ index");
	learn_bars(l);
}

static void
learn_next_region(struct device_learn *l)
{
	uint32_t index = l->ask == ask_region ? l->index + 1 : 0;

	if (index < l->dev->info.num_regions)
		learn_ask_next(l, ask_region, index);
	else
		learn_next_irq(l);
}

static void
device_answered(void *arg, const struct vuc_session_reply *reply)
{
	struct device_learn *l = arg;
	struct vuc_error err = {0};
	int rc = keep_device(l->dev, reply, &err);

	if (rc != 0)
		learn_finish(l, rc, &err);
	else
		learn_next_region(l);
}

static void
ask_device(struct device_learn *l)
{
	uint8_t body[sizeof(struct vfio_user_device_info)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_INFO,
		.body = body,
		.len = vuc_wire_device_info_encode(body),
		.reply_max = INFO_MAX,
		.done = device_answered,
		.arg = l,
	};

	learn_send_question(l, &req);
}

void
device_learn_start(struct device_learn *l, struct vuc_device *dev, device_learn_fn done)
{
	*l = (struct device_learn){.dev = dev, .done = done};
	learn_ask_next(l, ask_device, 0);
}

bool
device_learn_give_up(struct device_learn *l)
{
	struct vuc_device *dev = l->dev;

	if (l->cmd != VFIO_USER_REGION_READ)
		return false;
	/* done is called by one of these, and then there is no l any more. */
	vuc_session_cancel(dev->session, NULL, -ETIMEDOUT, "config space was not read in time");
	device_pump(dev);
	return true;
}

void
device_learn_stop(struct device_learn *l)
{
	l->done = NULL;
	l->asks = false;
}

void
device_learn_go_on(struct device_learn *l)
{
	if (l->asks)
		l->ask(l);
}

static void
forget_region(struct vuc_device *dev, struct region *region)
{
	device_unmap_region(dev, region);
	vuc_closer_close(dev->closer, region->fds, region->info.nr_fds);
	free(region->fds);
	free(region->areas);
}

void
device_forget(struct vuc_device *dev)
{
	for (uint32_t i = 0; dev->regions != NULL && i < dev->info.num_regions; i++)
		forget_region(dev, &dev->regions[i]);
	free(dev->regions);
	free(dev->irqs);
	free(dev->irq_sets);
}

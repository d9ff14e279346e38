/* SPDX-License-Identifier: BSD-3-Clause */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "internal.h"
#include "recorded.h"
#include "vfio_user.h"

static void
record_free(struct device_record *r)
{
	free(r->table.taken);
	free(r);
}

/* A device can still be restored if its config space cannot be read, or if its server is lost
 * meanwhile. */
static void
record_config_read(struct vuc_request *req, int status)
{
	struct device_record *r = req->arg;
	struct vuc_device *dev = r->dev;
	struct vuc_error err = {0};
	vuc_done_fn done = r->done;
	void *arg = r->arg;

	r->done = NULL;
	if (r->is_stopped) {
		record_free(r);
		vuc_error_set(&err, -ECANCELED, "the record was stopped");
		done(arg, -ECANCELED, &err);
		return;
	}
	status = status == 0 ? record_learn(r, req->count, &err) : 0;
	if (status != 0)
		vuc_device_record_stop(dev);
	done(arg, status, &err);
}

static void
record_take_client(struct device_record *r, const struct vuc_record_opts *opts)
{
	r->closer = vuc_closer_hold(opts->closer);
	r->nvme_enabled = opts->nvme_enabled;
	r->nvme_arg = opts->arg;
}

VUC_PRIVATE int
vuc_device_record_start(
	struct vuc_device *dev, const struct vuc_record_opts *opts, vuc_done_fn done, void *arg)
{
	struct vuc_error *err = &dev->reason;
	struct device_record *r;
	int rc = device_check_connected(dev, err);

	if (rc != 0)
		return rc;
	if (dev->record != NULL)
		return vuc_error_set(err, -EALREADY, "the device has a record already");
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for the record of a device");
	r->dev = dev;
	record_take_client(r, opts);
	r->done = done;
	r->arg = arg;
	r->recovers_nvme = opts->recovers_nvme;
	r->read = (struct vuc_request){
		.op = VUC_OP_READ,
		.region = VFIO_PCI_CONFIG_REGION_INDEX,
		.data = r->first,
		.count = device_config_size(dev),
		.done = record_config_read,
		.arg = r,
	};
	dev->record = r;
	dev->recorded.reads = dev->recorded.writes = 1u << VFIO_PCI_CONFIG_REGION_INDEX;
	/* Without bytes to read it is complete with the next poll. */
	device_enqueue(dev, &r->read);
	device_mark_dirty(dev);
	return 0;
}

VUC_PRIVATE void
vuc_device_record_set_client(struct vuc_device *dev, const struct vuc_record_opts *opts)
{
	struct device_record *r = dev->record;

	if (r == NULL)
		return;
	vuc_closer_let_go(r->closer);
	record_take_client(r, opts);
	if (vuc_device_is_away(dev))
		r->maps_taken = dev->version.max_dma_maps;
}

VUC_PRIVATE void
vuc_device_record_stop(struct vuc_device *dev)
{
	struct device_record *r = dev->record;

	if (r == NULL)
		return;
	device_cancel_restore(dev, "the record was stopped");
	dev->record = NULL;
	dev->recorded.reads = dev->recorded.writes = 0;
	dev->table = dev->registers = dev->doorbell = (struct recorded_range){0};
	r->is_stopped = true;
	/* The client's closer may end before config space has been read. */
	record_irq_clear_all(r);
	vuc_closer_let_go(r->closer);
	/* Config space is still being read into it. */
	if (r->done == NULL)
		record_free(r);
}

/* Of a client that has left, and whose server is gone. */
static void
device_forget_client(struct vuc_device *dev)
{
	for (uint32_t i = 0; i < dev->info.num_irqs; i++)
		dev->irq_sets[i] = (struct irq_set){0};
	dma_table_free(&dev->dma);
	dev->dma.apart = false;
	dev->dma_revoked = NULL;
	dev->unmap_all = false;
	dev->logging = false;
	dev->bypassed = false;
	vuc_device_hurry(dev, 0, 0, NULL);
}

VUC_PRIVATE int
vuc_device_record_forget_client(struct vuc_device *dev)
{
	struct device_record *r = dev->record;

	if (!vuc_device_record_has_config(dev) || !vuc_device_is_away(dev))
		return -EINVAL;
	device_cancel_restore(dev, "the client has left");
	if (dev->first != NULL || !TAILQ_EMPTY(&dev->operations))
		return -EINVAL;
	device_forget_client(dev);
	record_irq_clear_all(r);
	record_forget_registers(r);
	vuc_closer_let_go(r->closer);
	record_take_client(r, &(struct vuc_record_opts){0});
	r->remapped = 0;
	r->resets = false;
	return 0;
}

VUC_PRIVATE bool
vuc_device_record_has_config(const struct vuc_device *dev)
{
	return dev->record != NULL && dev->record->first_len > 0;
}

VUC_PRIVATE int
vuc_device_record_read_config(
	const struct vuc_device *dev, uint64_t offset, void *data, uint32_t count)
{
	const struct vuc_region *config = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);
	const struct device_record *r = dev->record;

	if (config == NULL || count > config->size || offset > config->size - count)
		return -EINVAL;
	if (r == NULL || count > RECORD_CONFIG_SIZE || offset > RECORD_CONFIG_SIZE - count ||
		memchr(r->config.is_known + offset, 0, count) != NULL)
		return -ENODATA;
	memcpy(data, r->config.last + offset, count);
	return 0;
}

/* Interrupts that stop or unplug a device in stock VMMs are not among them. */
static bool
is_for_driver(const struct record_irq *irq)
{
	return irq->kind == VUC_IRQ_TRIGGER && irq->index <= VFIO_PCI_MSIX_IRQ_INDEX;
}

VUC_PRIVATE unsigned int
vuc_device_hold_eventfds(
	const struct vuc_device *dev, unsigned int *cursor, int *fds, unsigned int max)
{
	const struct device_record *r = dev->record;
	unsigned int n = 0;

	for (; r != NULL && *cursor < r->nr_irqs && n < max; ++*cursor) {
		if (!is_for_driver(&r->irqs[*cursor]))
			continue;
		fds[n] = fcntl(r->irqs[*cursor].fd, F_DUPFD_CLOEXEC, 0);
		n += fds[n] >= 0;
	}
	return n;
}

VUC_PRIVATE uint64_t
vuc_device_take_remapped(struct vuc_device *dev)
{
	uint64_t remapped = dev->record != NULL ? dev->record->remapped : 0;

	if (dev->record != NULL)
		dev->record->remapped = 0;
	return remapped;
}

VUC_PRIVATE uint64_t
vuc_device_record_renewals(const struct vuc_device *dev)
{
	return dev->record != NULL ? dev->record->renewals : 0;
}

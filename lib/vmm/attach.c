/* SPDX-License-Identifier: BSD-3-Clause */

/* Attaching to a device and detaching from it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/export.h>

#include "descriptor.h"
#include "error.h"
#include "events.h"
#include "hello.h"
#include "message.h"
#include "options.h"
#include "path.h"
#include "queue.h"
#include "region.h"

static uint32_t
smaller_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static int
check_reply(struct vuc_vmm_device *dev, const union vmm_packet *packet, struct vuc_error *err)
{
	const struct vuc_shm_attach_reply *r = &packet->attach_reply;

	if ((r->flags & ~VUC_SHM_DMA_MESSAGE) != 0)
		return vmm_reply_wrong(dev, packet, err, "flags", r->flags);
	if (r->generation == 0)
		return vmm_reply_wrong(dev, packet, err, "generation", r->generation);
	if (r->pgsizes == 0)
		return vmm_reply_wrong(dev, packet, err, "pgsizes", r->pgsizes);
	if (r->num_regions > VMM_MAX_REGIONS)
		return vmm_reply_wrong(dev, packet, err, "num_regions", r->num_regions);
	if (r->max_data == 0 || r->max_data > VUC_SHM_MAX_DATA)
		return vmm_reply_wrong(dev, packet, err, "max_data", r->max_data);
	return 0;
}

static void
keep_info(struct vuc_vmm_info *info, const struct vuc_shm_attach_reply *r)
{
	info->generation = r->generation;
	info->pgsizes = r->pgsizes;
	info->flags = r->device_flags;
	info->num_regions = r->num_regions;
	info->num_irqs = r->num_irqs;
	info->max_dma_maps = smaller_of(info->max_dma_maps, r->max_dma_maps);
	info->max_data = smaller_of(info->max_data, r->max_data);
	info->dma_message = (r->flags & VUC_SHM_DMA_MESSAGE) != 0;
}

/* Take over the descriptors of the reply: eventfds are kept, those of memory closed once mapped. */
static int
take_fds(struct vuc_vmm_device *dev, const struct vmm_fds *fds, struct vuc_error *err)
{
	int rc = vmm_pages_map(&dev->pages, fds->fd, err);

	for (unsigned int i = VUC_SHM_FD_STATE; i <= VUC_SHM_FD_POLLER; i++)
		close(fds->fd[i]);
	dev->kick_fd = fds->fd[VUC_SHM_FD_KICK];
	dev->events.event_fd = fds->fd[VUC_SHM_FD_EVENT];
	if (rc == 0)
		rc = vmm_eventfd_check(dev->kick_fd, "the poller's kick", err);
	if (rc == 0)
		rc = vmm_eventfd_check(dev->events.event_fd, "events of the device", err);
	return rc;
}

static int
ask_for(struct vuc_vmm_device *dev, const char *name, struct vuc_error *err)
{
	union vmm_packet packet = {.attach = {.name = ""}};
	struct vmm_fds fds = {.nr = 0};
	int rc;

	memcpy(packet.attach.name, name, strlen(name));
	rc = vmm_ask_with(dev, VUC_SHM_ATTACH, &packet, sizeof(packet.attach), &fds, err);
	if (rc == 0)
		rc = vmm_reply_is(
			dev, &packet, sizeof(packet.attach_reply), &fds, VUC_SHM_ATTACH_FDS, err);
	if (rc != 0)
		return rc;
	rc = take_fds(dev, &fds, err);
	if (rc == 0)
		rc = check_reply(dev, &packet, err);
	if (rc == 0)
		keep_info(&dev->info, &packet.attach_reply);
	return rc;
}

static int
device_attach(
	struct vuc_vmm_device *dev, const struct vuc_vmm_attach_opts *opts, struct vuc_error *err)
{
	char path[VMM_PATH_SIZE];
	int rc;

	if (opts->socket == NULL)
		vmm_path_default(path);
	rc = vmm_link_open(
		&dev->link, opts->socket != NULL ? opts->socket : path, opts->timeout_ms, err);
	if (rc == 0)
		rc = vmm_say_hello(dev, opts->name, err);
	if (rc == 0)
		rc = ask_for(dev, opts->device, err);
	if (rc == 0)
		rc = vmm_events_open(dev, err);
	if (rc == 0)
		rc = vmm_regions_alloc(dev, err);
	return rc;
}

static void
free_device(struct vuc_vmm_device *dev)
{
	vmm_queues_free(dev);
	vmm_regions_free(dev);
	vmm_events_close(dev);
	vmm_pages_unmap(&dev->pages);
	if (dev->kick_fd >= 0)
		close(dev->kick_fd);
	vmm_link_close(&dev->link);
	free(dev->dma.entries);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

static struct vuc_vmm_device *
new_device(void)
{
	struct vuc_vmm_device *dev = calloc(1, sizeof(*dev));

	if (dev == NULL)
		return NULL;
	dev->link.fd = -1;
	dev->kick_fd = -1;
	dev->events.epoll_fd = -1;
	dev->events.event_fd = -1;
	pthread_mutex_init(&dev->lock, NULL);
	return dev;
}

VUC_EXPORT int
vuc_vmm_attach(
	const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts known;
	int rc = vmm_options_read(&known, opts, err);

	*dev = NULL;
	if (rc != 0)
		return rc;
	*dev = new_device();
	if (*dev == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a device");
	rc = device_attach(*dev, &known, err);
	if (rc != 0) {
		free_device(*dev);
		*dev = NULL;
	}
	return rc;
}

VUC_EXPORT void
vuc_vmm_detach(struct vuc_vmm_device *dev)
{
	union vmm_packet packet;

	if (dev == NULL)
		return;
	/* Should it fail: hanging up says the same, only that there is nothing to wait for. */
	vmm_ask(dev, VUC_SHM_DETACH, &packet, sizeof(packet.plain), sizeof(packet.plain), NULL);
	free_device(dev);
}

VUC_EXPORT const struct vuc_vmm_info *
vuc_vmm_info(const struct vuc_vmm_device *dev)
{
	return &dev->info;
}

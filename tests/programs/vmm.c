/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A VMM for tests of programs: vmm SOCKET DEVICE attaches and does what the lines of its standard
 * input say, each answered by a line with a return value and the text of an error, until the end of
 * them. It detaches then.
 */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

#include "memfd.h"

#define TIMEOUT_MS 60000
#define PAGE       4096u

struct vmm {
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
	int memory; /* a page, for DMA */
	struct vuc_error err;
};

/* Wait for one of these events. */
static int
vmm_await(struct vmm *vmm, uint32_t events)
{
	struct pollfd pfd = {.fd = vuc_vmm_event_fd(vmm->dev), .events = POLLIN};
	uint32_t seen = 0;

	while ((seen & events) == 0) {
		if (poll(&pfd, 1, TIMEOUT_MS) != 1)
			return -1;
		seen |= vuc_vmm_events(vmm->dev);
	}
	return 0;
}

/* Map the page so many times. */
static int
vmm_map(struct vmm *vmm, unsigned int nr)
{
	struct vuc_vmm_dma mapping = {.argsz = sizeof(mapping),
		.size = PAGE,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
		.fd = vmm->memory};
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < nr; i++) {
		mapping.iova = (uint64_t)i * 2 * PAGE;
		rc = vuc_vmm_dma_map(vmm->dev, &mapping, 1, &vmm->err);
	}
	return rc;
}

/* Post so many pages, or as many as there is room for. Returns how many. */
static int
vmm_fill(struct vmm *vmm, unsigned int nr)
{
	static uint8_t page[PAGE];
	const struct vuc_queue_request post = {.op = VUC_QUEUE_WRITE_POSTED,
		.region = VFIO_PCI_BAR2_REGION_INDEX,
		.count = PAGE,
		.data = page};
	unsigned int n = 0;

	while (n < nr && vuc_queue_submit(vmm->queue, &post, 1) == 1)
		n++;
	return (int)n;
}

/* A register. */
static int
vmm_get(struct vmm *vmm, uint32_t index, unsigned int offset)
{
	uint32_t value = 0;
	int rc = vuc_queue_read(vmm->queue, index, offset, &value, sizeof(value));

	snprintf(vmm->err.text, sizeof(vmm->err.text), "%u", value);
	return rc;
}

static int
vmm_set(struct vmm *vmm, unsigned int offset, uint32_t value)
{
	return vuc_queue_write(
		vmm->queue, VFIO_PCI_BAR0_REGION_INDEX, offset, &value, sizeof(value));
}

static int
vmm_post(struct vmm *vmm, unsigned int nr)
{
	const uint64_t value = 0;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < nr; i++)
		rc = vuc_queue_post(vmm->queue, VFIO_PCI_BAR0_REGION_INDEX, 0, &value, 8);
	return rc;
}

static void
ignore_done(void *arg, int status, const struct vuc_error *err)
{
	(void)arg;
	(void)status;
	(void)err;
}

static int
vmm_open_queue(struct vmm *vmm, unsigned int depth)
{
	struct vuc_queue_opts opts;

	vuc_queue_opts_init(&opts, sizeof(opts));
	opts.depth = depth;
	return vuc_vmm_open_queue(vmm->dev, &opts, &vmm->queue, &vmm->err);
}

/* nr and value are the numbers behind a word. */
static int
vmm_do(struct vmm *vmm, const char *what, unsigned int nr, uint32_t value)
{
	static const struct {
		const char *name;
		uint32_t event;
	} events[] = {
		{"lost", VUC_VMM_EVENT_LOST},
		{"back", VUC_VMM_EVENT_BACK},
		{"removed", VUC_VMM_EVENT_REMOVED},
		{"gone", VUC_VMM_EVENT_GONE},
		{"silent", VUC_VMM_EVENT_SILENT},
		{"answers", VUC_VMM_EVENT_ANSWERS},
	};
	static const struct vuc_vmm_region *region;
	uint32_t ids;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (strcmp(what, events[i].name) == 0)
			return vmm_await(vmm, events[i].event);
	if (strcmp(what, "events") == 0)
		return (int)vuc_vmm_events(vmm->dev);
	if (strcmp(what, "queue") == 0)
		return vmm_open_queue(vmm, nr);
	if (strcmp(what, "read") == 0)
		return vuc_queue_read(
			vmm->queue, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids));
	if (strcmp(what, "get") == 0)
		return vmm_get(vmm, VFIO_PCI_BAR0_REGION_INDEX, nr);
	if (strcmp(what, "access") == 0)
		return vuc_vmm_read(
			vmm->dev, VFIO_PCI_BAR0_REGION_INDEX, nr, &ids, sizeof(ids), &vmm->err);
	if (strcmp(what, "config") == 0)
		return vmm_get(vmm, VFIO_PCI_CONFIG_REGION_INDEX, nr);
	if (strcmp(what, "set") == 0)
		return vmm_set(vmm, nr, value);
	if (strcmp(what, "fill") == 0)
		return vmm_fill(vmm, nr);
	if (strcmp(what, "post") == 0)
		return vmm_post(vmm, nr);
	if (strcmp(what, "reset") == 0)
		return vuc_vmm_reset(vmm->dev, &vmm->err);
	if (strcmp(what, "map") == 0)
		return vmm_map(vmm, nr);
	if (strcmp(what, "commit") == 0)
		return vuc_vmm_dma_commit(vmm->dev, &vmm->err);
	if (strcmp(what, "commit_start") == 0)
		return vuc_vmm_dma_commit_start(vmm->dev, ignore_done, NULL, &vmm->err);
	if (strcmp(what, "region_start") == 0)
		return vuc_vmm_region_start(vmm->dev, VFIO_PCI_BAR2_REGION_INDEX, &region,
			ignore_done, NULL, &vmm->err);
	return -1;
}

int
main(int argc, char *argv[])
{
	struct vuc_vmm_attach_opts opts;
	struct vmm vmm = {.queue = NULL};
	char line[64], what[32];
	int rc;

	if (argc != 3)
		return 2;
	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = argv[1];
	opts.device = argv[2];
	opts.name = "a test";
	rc = vuc_vmm_attach(&opts, &vmm.dev, &vmm.err);
	vmm.memory = vuc_memfd_create("memory", PAGE, F_SEAL_SHRINK);
	setlinebuf(stdout);
	printf("%d %s\n", rc, vmm.err.text);
	while (rc == 0 && fgets(line, sizeof(line), stdin) != NULL) {
		unsigned int nr = VUC_DEFAULT_QUEUE_DEPTH;
		uint32_t value = 0;
		int result = -1;

		vmm.err.text[0] = '\0';
		if (sscanf(line, "%31s %u %u", what, &nr, &value) > 0)
			result = vmm_do(&vmm, what, nr, value);
		printf("%d %s\n", result, vmm.err.text);
	}
	if (vmm.queue != NULL)
		vuc_vmm_close_queue(vmm.dev, vmm.queue);
	if (rc == 0)
		vuc_vmm_detach(vmm.dev);
	close(vmm.memory);
	return rc == 0 ? 0 : 1;
}

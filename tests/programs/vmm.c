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

struct vmm {
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
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

static int
vmm_commit(struct vmm *vmm)
{
	struct vuc_vmm_dma mapping = {.size = 0x1000, .flags = VUC_VMM_DMA_READ};
	int rc;

	mapping.fd = vuc_memfd_create("memory", mapping.size, F_SEAL_SHRINK);
	if (mapping.fd < 0)
		return mapping.fd;
	rc = vuc_vmm_dma_map(vmm->dev, &mapping, 1, &vmm->err);
	if (rc == 0)
		rc = vuc_vmm_dma_commit(vmm->dev, &vmm->err);
	close(mapping.fd);
	return rc;
}

static int
vmm_do(struct vmm *vmm, const char *what)
{
	uint32_t ids;

	if (strcmp(what, "queue") == 0)
		return vuc_vmm_open_queue(vmm->dev, NULL, &vmm->queue, &vmm->err);
	if (strcmp(what, "read") == 0)
		return vuc_queue_read(
			vmm->queue, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids));
	if (strcmp(what, "reset") == 0)
		return vuc_vmm_reset(vmm->dev, &vmm->err);
	if (strcmp(what, "commit") == 0)
		return vmm_commit(vmm);
	if (strcmp(what, "removed") == 0)
		return vmm_await(vmm, VUC_VMM_EVENT_REMOVED);
	if (strcmp(what, "silent") == 0)
		return vmm_await(vmm, VUC_VMM_EVENT_SILENT);
	if (strcmp(what, "answers") == 0)
		return vmm_await(vmm, VUC_VMM_EVENT_ANSWERS);
	return -1;
}

int
main(int argc, char *argv[])
{
	struct vuc_vmm_attach_opts opts;
	struct vmm vmm = {.queue = NULL};
	char line[64];
	int rc;

	if (argc != 3)
		return 2;
	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = argv[1];
	opts.device = argv[2];
	opts.name = "a test";
	rc = vuc_vmm_attach(&opts, &vmm.dev, &vmm.err);
	setlinebuf(stdout);
	printf("%d %s\n", rc, vmm.err.text);
	while (rc == 0 && fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		vmm.err.text[0] = '\0';
		printf("%d ", vmm_do(&vmm, line));
		printf("%s\n", vmm.err.text);
	}
	if (vmm.queue != NULL)
		vuc_vmm_close_queue(vmm.dev, vmm.queue);
	if (rc == 0)
		vuc_vmm_detach(vmm.dev);
	return rc == 0 ? 0 : 1;
}

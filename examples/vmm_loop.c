/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A VMM's main loop, which never waits for the daemon: it attaches to a device, gives it memory, an
 * interrupt and a queue, resets it and detaches, and all the while it serves whatever else it has.
 * Each function that is started tells of its end by a callback, from vuc_vmm_events().
 *
 *	cc vmm_loop.c $(pkg-config --cflags --libs libvuc-vmm) -o vmm_loop
 *	./vmm_loop /run/vucd/vmm.sock NAME
 */

#define _GNU_SOURCE 1 /* memfd_create */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

#define MEMORY_SIZE (UINT64_C(2) << 20)
#define VECTOR      3u

/* A device of the VMM, from the start of its attaching to the end of its detaching. */
struct device {
	struct vuc_vmm_device *vmm;
	struct vuc_queue *queue; /* a vCPU's */
	unsigned int started;    /* and not ended */
	int status;              /* the first error */
	struct vuc_error err;
	bool gone;
};

/* Keep what went wrong, if it is the first thing to do so. Returns whether all is well so far. */
static bool
note(struct device *d, int status, const struct vuc_error *err)
{
	if (status != 0 && d->status == 0) {
		d->status = status;
		d->err = *err;
	}
	return d->status == 0;
}

/* What a start function has returned. */
static void
count_result(struct device *d, int rc, const struct vuc_error *err)
{
	if (rc == 0)
		d->started++;
	else
		note(d, rc, err);
}

/* The library frees the device after this callback. */
static void
detached(void *arg, int status, const struct vuc_error *err)
{
	struct device *d = arg;

	note(d, status, err);
	d->gone = true;
}

/* Also after an error: whatever was begun ends with it. */
static void
detach(struct device *d)
{
	struct vuc_error err = {0};
	int rc = vuc_vmm_detach_start(d->vmm, detached, d, &err);

	if (rc != 0)
		note(d, rc, &err);
}

static void
was_reset(void *arg, int status, const struct vuc_error *err)
{
	struct device *d = arg;

	if (note(d, status, err))
		printf("the device has memory, an interrupt and a queue, and was reset\n");
	detach(d);
}

/* The memory, the interrupt or the queue is there. Behind the last of them, the reset. */
static void
was_prepared(void *arg, int status, const struct vuc_error *err)
{
	struct device *d = arg;
	struct vuc_error why = {0};
	int rc;

	note(d, status, err);
	if (--d->started > 0)
		return;
	rc = d->status == 0 ? vuc_vmm_reset_start(d->vmm, was_reset, d, &why) : 0;
	if (!note(d, rc, &why))
		detach(d);
}

/* A file that others can map, and that cannot shrink under them. Returns it, or a negative errno.
 */
static int
make_memory(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)MEMORY_SIZE) != 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
		return -errno;
	return fd;
}

/* All at once: they are carried out one after the other. The library has duplicates of descriptors.
 */
static void
prepare(struct device *d)
{
	const struct vuc_vmm_irq_range range = {VFIO_PCI_MSIX_IRQ_INDEX, VECTOR, 1};
	struct vuc_vmm_dma mapping = {.argsz = sizeof(mapping),
		.size = MEMORY_SIZE,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE};
	int irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vuc_error err = {0};
	int rc;

	mapping.fd = make_memory();
	rc = vuc_vmm_dma_map(d->vmm, &mapping, 1, &err);
	if (rc == 0)
		rc = vuc_vmm_dma_commit_start(d->vmm, was_prepared, d, &err);
	count_result(d, rc, &err);
	rc = vuc_vmm_irq_assign_start(
		d->vmm, &range, VUC_VMM_IRQ_TRIGGER, &irq_fd, was_prepared, d, &err);
	count_result(d, rc, &err);
	rc = vuc_vmm_open_queue_start(d->vmm, NULL, &d->queue, was_prepared, d, &err);
	count_result(d, rc, &err);
	if (mapping.fd >= 0)
		close(mapping.fd);
	if (irq_fd >= 0)
		close(irq_fd);
}

static void
attached(void *arg, int status, const struct vuc_error *err)
{
	struct device *d = arg;

	if (note(d, status, err))
		prepare(d);
	if (d->started == 0)
		detach(d);
}

static int
attach(struct device *d, const char *socket, const char *name)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = socket;
	opts.device = name;
	return vuc_vmm_attach_start(&opts, &d->vmm, attached, d, &d->err);
}

/* The loop has other descriptors as well, and other devices: none waits for this one. */
static void
device_run(struct device *d)
{
	struct pollfd fd = {.fd = vuc_vmm_event_fd(d->vmm), .events = POLLIN};

	while (!d->gone) {
		uint32_t events;

		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			return;
		events = vuc_vmm_events(d->vmm);
		if (!d->gone && (events & VUC_VMM_EVENT_LOST) != 0)
			printf("the device's server is away\n");
	}
}

int
main(int argc, char **argv)
{
	struct device d = {0};

	if (argc != 3) {
		fprintf(stderr, "usage: %s SOCKET DEVICE\n", argv[0]);
		return 2;
	}
	d.status = attach(&d, argv[1], argv[2]);
	if (d.status == 0)
		device_run(&d);
	if (d.status != 0)
		fprintf(stderr, "%s: %s\n", argv[2], d.err.text);
	return d.status != 0;
}

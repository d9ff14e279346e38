/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * An event loop: one thread, any number of devices, and no call that waits for a server. Each
 * device is opened, reset, given memory and an interrupt, and closed again, one step after the
 * other; one whose server hangs takes its timeout and holds up no other.
 *
 *	cc event_loop.c $(pkg-config --cflags --libs libvuc) -o event_loop
 *	vuc-refdev /tmp/a.sock /tmp/b.sock &
 *	./event_loop /tmp/a.sock /tmp/b.sock
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/device.h>
#include <vuc/dma.h>
#include <vuc/irq.h>
#include <vuc/poll_group.h>

#define MEMORY_SIZE 0x10000u
#define IOVA        0x100000u

/* One device. */
struct job {
	const char *path;
	struct vuc_device *dev;
	unsigned int step;
	int ended;
	struct vuc_error why; /* why it has failed; empty: it has not */
};

static uint8_t memory[MEMORY_SIZE] __attribute__((aligned(4096)));

static void on_done(void *arg, int status, const struct vuc_error *err);

static void
on_closed(void *arg, int status, const struct vuc_error *err)
{
	struct job *job = arg;

	(void)status;
	(void)err;
	job->ended = 1;
	printf("%s: %s\n", job->path,
		*job->why.text ? job->why.text : "reset, mapped and unmapped");
}

static int
start_map(struct job *job)
{
	const struct vuc_dma_mapping mapping = {
		.iova = IOVA,
		.size = sizeof(memory),
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
		.fd = -1,
		.addr = memory,
	};
	int rc = vuc_dma_map(job->dev, &mapping);

	return rc != 0 ? rc : vuc_dma_commit_start(job->dev, on_done, job);
}

/* The operation has a descriptor of its own, so this one can be closed at once. */
static int
start_assign(struct job *job)
{
	const struct vuc_irq_range range = {.index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 1};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = vuc_irq_assign_start(job->dev, &range, VUC_IRQ_TRIGGER, &fd, on_done, job);

	if (fd >= 0)
		close(fd);
	return rc;
}

/* The memory is in use until the commit has ended. */
static int
start_unmap(struct job *job)
{
	int rc = vuc_dma_unmap(job->dev, IOVA, sizeof(memory));

	return rc != 0 ? rc : vuc_dma_commit_start(job->dev, on_done, job);
}

/*
 * A step has ended, and the next one is started. With 0 from a start this is called again, exactly
 * once; otherwise it is not, and vuc_device_reason() says why. There is no need to wait for one
 * before the next: all could be started at once, and would run in order.
 */
static void
on_done(void *arg, int status, const struct vuc_error *err)
{
	struct job *job = arg;
	const char *why = err->text;

	if (status == 0) {
		switch (job->step++) {
		case 0:
			status = vuc_device_reset_start(job->dev, on_done, job);
			break;
		case 1:
			status = start_map(job);
			break;
		case 2:
			status = start_assign(job);
			break;
		case 3:
			status = start_unmap(job);
			break;
		default:
			vuc_device_close_start(job->dev, on_closed, job);
			return;
		}
		if (status == 0)
			return;
		why = vuc_device_reason(job->dev);
	}
	snprintf(job->why.text, sizeof(job->why.text), "%s", *why ? why : strerror(-status));
	vuc_device_close_start(job->dev, on_closed, job);
}

static void
start(struct job *job, const char *path, struct vuc_poll_group *group)
{
	struct vuc_device_opts opts;

	job->path = path;
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = path;
	opts.group = group;
	if (vuc_device_open_start(&opts, &job->dev, on_done, job, &job->why) != 0)
		on_closed(job, 0, NULL);
}

int
main(int argc, char **argv)
{
	unsigned int nr = argc < 2 ? 0 : (unsigned int)argc - 1;
	struct vuc_poll_group *group;
	struct vuc_error err = {0};
	struct job *jobs;
	unsigned int failed = 0;

	if (nr == 0) {
		fprintf(stderr, "usage: %s SOCKET...\n", argv[0]);
		return 2;
	}
	jobs = calloc(nr, sizeof(*jobs));
	if (jobs == NULL || vuc_poll_group_create(NULL, &group, &err) != 0) {
		fprintf(stderr, "event_loop: %s\n", jobs == NULL ? "out of memory" : err.text);
		free(jobs);
		return 1;
	}
	for (unsigned int i = 0; i < nr; i++)
		start(&jobs[i], argv[1 + i], group);
	/* A program with other descriptors to watch lets them end the sleep by an eventfd. */
	for (unsigned int i = 0; i < nr; i++) {
		while (!jobs[i].ended) {
			if (vuc_poll_group_wait(group, -1, 1000) < 0)
				break;
			vuc_poll_group_poll(group);
		}
		failed += *jobs[i].why.text != '\0';
	}
	if (failed > 0)
		fprintf(stderr, "event_loop: %u of %u devices failed\n", failed, nr);
	vuc_poll_group_destroy(group);
	free(jobs);
	return failed > 0;
}

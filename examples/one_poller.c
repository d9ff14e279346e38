/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * One poller: a thread on a CPU of its own drives two devices, and two other threads reach one
 * device each through a queue, without a lock. This is how the vCPUs of a VMM share devices: a
 * queue for each pair of vCPU thread and device.
 *
 *	cc one_poller.c $(pkg-config --cflags --libs libvuc-poller) -pthread -o one_poller
 *	vuc-refdev /tmp/a.sock /tmp/b.sock &
 *	./one_poller /tmp/a.sock /tmp/b.sock
 */

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/eal.h>
#include <vuc/poller.h>

/* The reference device, as far as it is used here; docs/refdev.md has all of it. */
#define REFDEV_IDS 0x76637675u /* device and vendor, as config space begins */
#define SCRATCH    0x008u      /* BAR0, 8 bytes: keeps what is written */

#define NR_WORKERS 2
#define ROUNDS     1000

struct worker {
	const char *path;
	struct vuc_device *dev;  /* for the poller's thread only */
	struct vuc_queue *queue; /* for the worker's thread only */
	pthread_t thread;
	bool started;
	int rc; /* of the thread; others look at it when that has ended */
};

/*
 * A posted write, and a read after it, as a guest's driver does: a queue keeps their order. The
 * read spins for a while and then sleeps. To have several requests outstanding, use
 * vuc_queue_submit() and vuc_queue_poll() instead.
 */
static void *
work(void *arg)
{
	struct worker *w = arg;
	const uint32_t bar0 = VFIO_PCI_BAR0_REGION_INDEX;

	for (uint64_t i = 0; w->rc == 0 && i < ROUNDS; i++) {
		uint64_t written = htole64(i);
		uint64_t seen = 0;

		w->rc = vuc_queue_post(w->queue, bar0, SCRATCH, &written, sizeof(written));
		if (w->rc == 0)
			w->rc = vuc_queue_read(w->queue, bar0, SCRATCH, &seen, sizeof(seen));
		if (w->rc == 0 && seen != written)
			w->rc = -EIO;
	}
	return NULL;
}

/*
 * Called on the poller's thread, the only one that may use a device itself. vuc_device_read() waits
 * for the server, and no other call is made meanwhile, though queues are served. A program whose
 * servers may hang uses vuc_device_submit() and the functions whose names end with _start here, as
 * event_loop.c does.
 */
static int
check_device(void *arg)
{
	struct worker *w = arg;
	uint32_t ids = 0;
	int rc = vuc_device_read(w->dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids));

	if (rc == 0 && le32toh(ids) == REFDEV_IDS)
		return 0;
	fprintf(stderr, "one_poller: %s: %s\n", w->path,
		rc != 0 ? vuc_device_reason(w->dev) : "not the reference device");
	return rc != 0 ? rc : -ENODEV;
}

static int
start_worker(struct vuc_poller *poller, struct worker *w)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	int rc;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = w->path;
	rc = vuc_poller_open_device(poller, &opts, &w->dev, &err);
	/* Everything but register accesses is called on the poller: DMA, interrupts, reset. */
	if (rc == 0)
		rc = vuc_poller_call(poller, check_device, w);
	if (rc == 0)
		rc = vuc_poller_open_queue(poller, w->dev, NULL, &w->queue, &err);
	if (rc == 0)
		rc = -pthread_create(&w->thread, NULL, work, w);
	if (rc == 0)
		w->started = true;
	else
		fprintf(stderr, "one_poller: %s\n", err.text[0] != '\0' ? err.text : strerror(-rc));
	return rc;
}

/*
 * End the thread, then close the queue that it has used, then the device. Closing NULL does
 * nothing, so this is right for a worker whose start has failed, too.
 */
static int
stop_worker(struct vuc_poller *poller, struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	vuc_poller_close_queue(poller, w->queue);
	vuc_poller_close_device(poller, w->dev);
	if (w->rc != 0)
		fprintf(stderr, "one_poller: %s: %s\n", w->path, strerror(-w->rc));
	else if (w->started)
		printf("%s: %d writes read back\n", w->path, ROUNDS);
	return w->rc;
}

static int
use(struct vuc_poller *poller, struct worker *workers)
{
	int failed = 0;

	printf("poller on CPU %d: %s\n", vuc_poller_cpu(poller), vuc_poller_placement(poller));
	for (int i = 0; failed == 0 && i < NR_WORKERS; i++)
		failed = start_worker(poller, &workers[i]);
	for (int i = 0; i < NR_WORKERS; i++) {
		int rc = stop_worker(poller, &workers[i]);

		failed = failed != 0 ? failed : rc;
	}
	return failed;
}

static int
parse_cpu(const char *text, int *cpu)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < 0 || value > INT_MAX)
		return -EINVAL;
	*cpu = (int)value;
	return 0;
}

static int
parse(int argc, char **argv, struct vuc_poller_opts *opts)
{
	int rc = 0;
	int opt;

	while (rc == 0 && (opt = getopt(argc, argv, "c:s")) != -1) {
		if (opt == 'c')
			rc = parse_cpu(optarg, &opts->cpu);
		else if (opt == 's')
			opts->idle = VUC_IDLE_SPIN; /* the lowest latency; uses a whole CPU */
		else
			rc = -EINVAL;
	}
	if (rc == 0 && argc - optind == NR_WORKERS)
		return 0;
	fprintf(stderr, "usage: %s [-c CPU] [-s] SOCKET SOCKET\n", argv[0]);
	return -EINVAL;
}

int
main(int argc, char **argv)
{
	struct worker workers[NR_WORKERS] = {0};
	struct vuc_poller_opts opts;
	struct vuc_poller *poller;
	struct vuc_error err = {0};
	int rc;

	/* Call this first: fields that a later version adds get their defaults, too. */
	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.name = "example";
	opts.idle = VUC_IDLE_SLEEP;
	if (parse(argc, argv, &opts) != 0)
		return 2;
	for (int i = 0; i < NR_WORKERS; i++)
		workers[i].path = argv[optind + i];

	/* Pollers need DPDK's EAL. An application that has initialised it can call this, too. */
	rc = vuc_eal_init(NULL, &err);
	if (rc == 0)
		rc = vuc_poller_create(&opts, &poller, &err);
	if (rc == 0) {
		rc = use(poller, workers);
		vuc_poller_destroy(poller);
	} else {
		fprintf(stderr, "one_poller: %s\n", err.text);
	}
	vuc_eal_fini();
	return rc == 0 ? 0 : 1;
}

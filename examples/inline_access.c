/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Inline access: registers are accessed on the caller's thread, without a poller and without DPDK.
 * This is the example to read first.
 *
 *	cc inline_access.c $(pkg-config --cflags --libs libvuc) -o inline_access
 *	vuc-refdev /tmp/dev.sock &
 *	./inline_access /tmp/dev.sock
 */

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

#include <vuc/device.h>

/* The reference device, as far as it is used here; docs/refdev.md has all of it. */
#define REFDEV_IDS     0x76637675u /* device and vendor, as config space begins */
#define SCRATCH        0x008u      /* BAR0, 8 bytes: keeps what is written */
#define DOORBELL       0x018u      /* BAR0, 4 bytes: counts writes */
#define DOORBELL_COUNT 0x020u      /* BAR0, 8 bytes: how many there were */
#define ERROR          0x038u      /* BAR0, 4 bytes: accesses are answered by an error */

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define BAR0   VFIO_PCI_BAR0_REGION_INDEX

/* vuc_device_reason() says more than the errno. */
static int
complain(const struct vuc_device *dev, const char *what, int rc)
{
	const char *reason = vuc_device_reason(dev);

	fprintf(stderr, "inline_access: %s: %s\n", what, *reason ? reason : strerror(-rc));
	return rc;
}

/* Regions are little-endian, as PCI is; vuc moves bytes and leaves their order alone. */
static int
read_ids(struct vuc_device *dev, uint32_t *ids)
{
	const struct vuc_device_info *info = vuc_device_info(dev);
	uint32_t raw;
	int rc = vuc_device_read(dev, CONFIG, 0, &raw, sizeof(raw));

	if (rc != 0)
		return complain(dev, "cannot read config space", rc);
	*ids = le32toh(raw);
	printf("vendor %04" PRIx32 ", device %04" PRIx32 ", %" PRIu32 " regions, %" PRIu32
	       " interrupt indexes\n",
		*ids & 0xffff, *ids >> 16, info->num_regions, info->num_irqs);
	return 0;
}

/* This write waits for the reply: when it returns 0, the device has executed it. */
static int
write_and_read_back(struct vuc_device *dev)
{
	uint64_t written = htole64(UINT64_C(0x0123456789abcdef));
	uint64_t seen = 0;
	int rc = vuc_device_write(dev, BAR0, SCRATCH, &written, sizeof(written));

	if (rc == 0)
		rc = vuc_device_read(dev, BAR0, SCRATCH, &seen, sizeof(seen));
	if (rc != 0)
		return complain(dev, "cannot access SCRATCH", rc);
	printf("SCRATCH holds 0x%016" PRIx64 "\n", le64toh(seen));
	return 0;
}

/*
 * A posted write returns at once and gets no reply, like a guest's write to a memory BAR. Requests
 * are executed in order: when the read after the writes has returned, so have they been executed.
 * PCI drivers do the same.
 */
static int
ring_doorbell(struct vuc_device *dev, unsigned int times)
{
	uint64_t before = 0, after = 0;
	int rc = vuc_device_read(dev, BAR0, DOORBELL_COUNT, &before, sizeof(before));

	for (uint32_t i = 0; rc == 0 && i < times; i++) {
		uint32_t value = htole32(i);

		rc = vuc_device_write_posted(dev, BAR0, DOORBELL, &value, sizeof(value));
	}
	if (rc == 0)
		rc = vuc_device_read(dev, BAR0, DOORBELL_COUNT, &after, sizeof(after));
	if (rc != 0)
		return complain(dev, "cannot ring the doorbell", rc);
	printf("the doorbell was rung %" PRIu64 " times\n", le64toh(after) - le64toh(before));
	return 0;
}

/* An error reply fails this access only; the connection stays. */
static int
see_an_error(struct vuc_device *dev)
{
	uint32_t value;
	int rc = vuc_device_read(dev, BAR0, ERROR, &value, sizeof(value));

	if (rc == 0) {
		fprintf(stderr, "inline_access: a read of ERROR has succeeded\n");
		return -EIO;
	}
	if (!vuc_device_connected(dev))
		return complain(dev, "the connection is lost", rc);
	printf("a read of ERROR fails: %s\n", strerror(-rc));
	return 0;
}

static int
use(struct vuc_device *dev)
{
	uint32_t ids = 0;
	int rc = read_ids(dev, &ids);

	if (rc != 0)
		return rc;
	if (ids != REFDEV_IDS) {
		printf("not the reference device: its registers are not accessed\n");
		return 0;
	}
	rc = write_and_read_back(dev);
	if (rc == 0)
		rc = ring_doorbell(dev, 3);
	return rc == 0 ? see_an_error(dev) : rc;
}

int
main(int argc, char **argv)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
		return 2;
	}
	/* Call this first: fields that a later version adds get their defaults, too. */
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = argv[1];
	/* Without opts.group the device gets a poll group of its own, driven by this thread. */
	if (vuc_device_open(&opts, &dev, &err) != 0) {
		/* There is no device yet; err has the reason. */
		fprintf(stderr, "inline_access: %s\n", err.text);
		return 1;
	}
	rc = use(dev);
	vuc_device_close(dev); /* sends what is still queued, posted writes included */
	return rc == 0 ? 0 : 1;
}

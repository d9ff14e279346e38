/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Reads of 4 bytes from a server, to be counted by callgrind: what counted_reads() costs.
 * A look at the socket finds the answer there, so that each read takes the same instructions
 * however fast the server is.
 */

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include <vuc/device.h>

#define WARM_UP       1100u /* the library watches the first 1,000 messages for descriptors */
#define COUNTED       1600u /* a multiple of the polls between looks at the clock */
#define ANSWER_MAX_MS 10000

static bool awaits_answer;

/* In place of the C library's: waits for the answer first. */
ssize_t
recv(int fd, void *buf, size_t size, int flags)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (awaits_answer)
		poll(&p, 1, ANSWER_MAX_MS);
	return recvfrom(fd, buf, size, flags, NULL, NULL);
}

static int
read_often(struct vuc_device *dev, unsigned int n)
{
	uint32_t value;
	int rc = 0;

	while (rc == 0 && n-- > 0)
		rc = vuc_device_read(dev, 0, 0, &value, sizeof(value));
	return rc;
}

int counted_reads(struct vuc_device *dev);

__attribute__((noinline)) int
counted_reads(struct vuc_device *dev)
{
	return read_often(dev, COUNTED);
}

int
main(int argc, char **argv)
{
	struct vuc_device_opts opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;
	int rc;

	if (argc != 3)
		return 2;
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = argv[1];
	opts.transport = argv[2];
	if (vuc_device_open(&opts, &dev, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	rc = read_often(dev, WARM_UP);
	awaits_answer = true;
	if (rc == 0)
		rc = counted_reads(dev);
	awaits_answer = false;
	vuc_device_close(dev);
	printf("%u\n", COUNTED);
	return rc != 0;
}

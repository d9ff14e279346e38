/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_WAIT_SERVER_H
#define VUC_TESTS_WAIT_SERVER_H

/*
 * A fake server for tests of a client that sleeps: a thread behind a socket, or, for the loopback,
 * functions. It has one region. Reads of it are answered at once, later or never, by their offset;
 * a write to other offsets tells it what to do next, once the client sleeps.
 */

#include <stdatomic.h>

#include "fake_server.h"

#define WAIT_REGION 0u
#define WAIT_SIZE   0x200000u /* of the region, and of the memory for DMA */

/* Offsets. */
enum {
	WAIT_READ = 0x0,             /* how many bytes have been written to WAIT_DATA */
	WAIT_READ_LATER = 0x10,      /* the same, answered when the client sleeps */
	WAIT_READ_NEVER = 0x20,      /* no answer */
	WAIT_PAUSE = 0x30,           /* go on when the client sleeps */
	WAIT_HANG_UP = 0x40,         /* close the connection */
	WAIT_COMMAND = 0x50,         /* read all of the memory for DMA over the main socket */
	WAIT_COMMAND_ON_TWIN = 0x60, /* and over the twin socket */
	WAIT_HANG_UP_TWIN = 0x70,    /* close the twin socket alone */
	WAIT_STOP = 0x80,            /* read nothing until the client has closed the socket */
	WAIT_STOP_TWIN = 0x90,       /* read the memory for DMA over the twin socket, but none of
				      * the answers */
	WAIT_DATA = 0x1000,
};

struct wait_server {
	struct fake_server fake;
	pid_t client;
	int done_fd;     /* an eventfd, written when a DMA read has been answered */
	int send_buffer; /* bytes of the client's socket; 0: as many as the system gives */
	uint64_t written;
	atomic_bool stopped; /* it has read WAIT_STOP, and reads nothing any more */
	atomic_uint good;    /* DMA reads with the right answer */
};

/* A byte of the memory for DMA, which begins at WAIT_SIZE. */
static inline uint8_t
wait_server_pattern(size_t i)
{
	return (uint8_t)(i * 31 + i / 4096);
}

/* Start a server of the calling thread, and open its device in group, whose transport decides. Of
 * *s, send_buffer is heeded. */
struct vuc_device *wait_server_open(
	struct wait_server *s, struct vuc_poll_group *group, const struct vuc_device_opts *opts);

/* Close the device, if it is still there, and the server. */
void wait_server_close(struct wait_server *s, struct vuc_device *dev);

#endif /* VUC_TESTS_WAIT_SERVER_H */

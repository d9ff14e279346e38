/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_RAW_CLIENT_H
#define VUC_TESTS_RAW_CLIENT_H

/*
 * A client that says what it is told to, right or wrong, over a UNIX socket. Everything here
 * asserts that the socket itself works; nothing waits for longer than RAW_TIMEOUT_MS.
 */

#include <stddef.h>
#include <stdint.h>

#include "vfio_user.h"

#define RAW_TIMEOUT_MS  20000
#define RAW_MAX_MESSAGE (128u * 1024u)
#define RAW_MAX_FDS     253u

/* A message as it came. */
struct raw_message {
	struct vfio_user_header header; /* as far as it came */
	uint8_t bytes[RAW_MAX_MESSAGE];
	size_t len;
	unsigned int nr_fds;
	int fds[RAW_MAX_FDS];
};

/* A connected socket. */
int raw_connect(const char *path);

/* Connect, and negotiate the version. */
int raw_open(const char *path);

/* Put a command together; returns its size. */
size_t raw_command(
	uint8_t *buf, uint16_t id, uint16_t cmd, uint32_t flags, const void *body, size_t len);

/* REGION_READ and REGION_WRITE with up to 8 bytes. */
size_t raw_read_command(
	uint8_t *buf, uint16_t id, uint32_t region, uint64_t offset, uint32_t count);
size_t raw_write_command(uint8_t *buf, uint16_t id, uint32_t flags, uint32_t region,
	uint64_t offset, uint32_t count, uint64_t value);

/* Send all bytes, and descriptors with the first. */
void raw_send(int fd, const uint8_t *bytes, size_t len, const int *fds, unsigned int nr_fds);

/* Receive exactly len bytes, or fewer at the end of the stream. Returns how many. */
size_t raw_receive_bytes(int fd, struct raw_message *m, size_t len);

/* Receive a message as long as its header says. Returns how long it should be; 0 when the stream
 * ended before it was whole. */
size_t raw_receive(int fd, struct raw_message *m);

/* Close the descriptors of a message. */
void raw_close_fds(struct raw_message *m);

/* Read a register of BAR0, or write one, by a message and its reply. */
uint64_t raw_get(int fd, uint64_t offset, uint32_t count);
void raw_set(int fd, uint64_t offset, uint32_t count, uint64_t value);

#endif /* VUC_TESTS_RAW_CLIENT_H */

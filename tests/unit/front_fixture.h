/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FRONT_FIXTURE_H
#define VUC_TESTS_FRONT_FIXTURE_H

/* What the tests of lib/front have in common: a machine, messages of its client, and its replies.
 */

#include "machine.h"
#include "tap.h"

#define HEADER sizeof(struct vfio_user_header)

/* The device: BAR 0 of 8 KiB with two areas, BAR 2 of 64 KiB that is mapped as a whole, BAR 4 of
 * 256 ports, configuration space; INTx and 8 vectors of MSI-X. */
#define BAR0_SIZE 8192u
#define BAR2_SIZE 65536u
#define BAR4_SIZE 256u
#define MAX_DATA  8192u
#define REPLY_MS  4000u

/* What is received ahead of the message in turn. */
#define READ_AHEAD 4096u

/* A reply as it was sent. */
struct front_reply {
	struct vfio_user_header header;
	uint8_t body[HEADER + MAX_DATA + 65536];
	size_t len; /* of the body */
	int fd;     /* that went with its first byte, or -1 */
};

extern struct front *front;
extern uint64_t now_ms;

/* Before and after each test, or instead of the machine that there is: one of this device, or of
 * others; front_rig_open() has negotiated as a client of minor version 0. */
void front_rig_create(void);
void front_rig_create_with(const struct front_opts *opts);
void front_rig_open(void);
void front_rig_destroy(void);

/* Negotiate without capabilities. Returns the reply. */
const struct front_reply *front_rig_negotiate(uint16_t minor);

/* Have the machine receive bytes, as many as it wants. Returns how many it took, or its error. */
ptrdiff_t feed(const void *bytes, size_t len, const int *fds, unsigned int nr_fds);

/* Have it receive one message, whole. Returns what front_received() does. */
int send_message(uint16_t id, uint16_t cmd, uint32_t flags, const void *body, size_t len);
int send_with_fds(uint16_t id, uint16_t cmd, const void *body, size_t len, const int *fds,
	unsigned int nr_fds);

/* A read or write of a region. */
int send_read(uint16_t id, uint32_t region, uint64_t offset, uint32_t count);
int send_write(uint16_t id, uint32_t flags, uint32_t region, uint64_t offset, const void *data,
	uint32_t n);

/* A map of one page, and GET_INFO, which the machine answers itself. */
int send_map(uint16_t id, const int *fds, unsigned int nr_fds);
int send_question(uint16_t id);

/* The next request; the test fails at once if there is none of that kind. */
struct front_request next_request(enum front_kind kind);

/* Whether there is none, nor an error. */
bool nothing_next(void);

/* Take the next reply, sent alone or as the first of several. */
const struct front_reply *take_reply(void);

/* Whether the next reply is this one, exactly; an error of 0 is none. */
bool is_reply(uint16_t id, uint16_t cmd, int error, const void *body, size_t len);

/* Whether the machine has answered so by itself: there is no request. */
bool is_answered(uint16_t id, uint16_t cmd, int error, const void *body, size_t len);

/* Whether there is nothing to send. */
bool is_silent(void);

/* Whether these descriptors, and no others, are stray; they are taken. */
bool are_stray(const int *fds, unsigned int nr_fds);

/* Whether the connection has ended with this reason. */
bool has_ended(const char *why);

#endif /* VUC_TESTS_FRONT_FIXTURE_H */

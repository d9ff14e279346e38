/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SESSION_FIXTURE_H
#define VUC_TESTS_SESSION_FIXTURE_H

/*
 * A session under test with the server's side of its connection: takes what the session sends,
 * builds what the server answers, feeds it in chosen pieces and records what requests got.
 */

#include <sys/types.h>

#include "session.h"
#include "tap.h"
#include "vfio_user.h"

#define FIXTURE_TIMEOUT_MS  1000u
#define FIXTURE_REQUESTS    4u
#define FIXTURE_SEGMENT_MAX 8192u
#define FIXTURE_MAX_DATA    4096u
#define FIXTURE_MAX_FDS     4u
#define FIXTURE_FDS         17u /* most fds that a test deals with at a time */
#define FIXTURE_REGION      2u  /* what is accessed */

#define HEADER_SIZE sizeof(struct vfio_user_header)
#define ACCESS_SIZE (HEADER_SIZE + sizeof(struct vfio_user_region_access))
#define REPLY       VFIO_USER_F_TYPE_REPLY
#define COMMAND     VFIO_USER_F_TYPE_COMMAND

/* What the server answers to VERSION unless a test says something else. */
extern const char fixture_json[];

/* The session under test. */
extern struct vuc_session *session;

/* What a request got. */
struct outcome {
	unsigned int calls;
	int status;
	size_t len;
	unsigned int nr_fds;
	bool has_body;
	uint8_t body[64]; /* the first bytes of it */
	char reason[VUC_ERROR_MAX];
	ino_t inodes[FIXTURE_FDS];
	int *keep; /* where to put the first descriptor, instead of leaving it to be closed */
	void (*then)(struct outcome *o); /* runs inside the callback */
};

/* A message of the server. */
struct message {
	uint8_t bytes[512];
	size_t len;
};

/* A send of the server: a message and the descriptors that ride on its first byte. */
struct part {
	struct message m;
	unsigned int nr_fds;
	int fds[FIXTURE_FDS];
};

/* The configuration that tests begin with. */
struct vuc_session_config fixture_config(void);

/*
 * Make a session instead of the one there is: one that has not sent VERSION yet; one that has, and
 * got this answer with new descriptors; one that is READY. config NULL: the usual one.
 */
void fixture_create(const struct vuc_session_config *config);
void fixture_negotiate(
	const struct vuc_session_config *config, struct message reply, unsigned int nr_fds);
void fixture_open(const struct vuc_session_config *config);

/* Destroy the session, and check that no descriptor was left open or closed in excess. */
void fixture_close(void);

/* Before a test: a session that is READY, and that the test may replace. */
void fixture_open_usual(void);

/* How many descriptors more are open than when the session was made. */
int fixture_new_fds(void);

/* A new descriptor of a new file, and what tells its file from others. */
int fixture_new_fd(void);
ino_t fixture_inode(int fd);

/* Whether the session is LOST with this error and reason; prints what it is instead. */
bool fixture_lost(int error, const char *reason);

/* ---- requests ---- */

/* A vuc_session_fn with a struct outcome as its arg. */
void fixture_record(void *arg, const struct vuc_session_reply *reply);

int fixture_read(uint64_t offset, void *data, uint32_t count, struct outcome *o);
int fixture_write(uint64_t offset, const void *data, uint32_t count, struct outcome *o);
int fixture_post(uint64_t offset, const void *data, uint32_t count);

/* Any other, without data and with descriptors; and some that are usual. */
int fixture_request(uint16_t cmd, const void *body, size_t len, const int *fds, unsigned int nr_fds,
	struct outcome *o);
int fixture_reset(struct outcome *o);
int fixture_region_info(uint32_t index, struct outcome *o);
int fixture_dma_map(const int *fds, unsigned int nr_fds, struct outcome *o);

/* Open a session of 256 requests and map a new descriptor until there is no segment left for it.
 * Returns how many maps have been queued. */
unsigned int fixture_fill_segments(int *fd, struct outcome *o);

/* ---- what was sent ---- */

/* A copy of the next segment to send; false when there is none. */
bool fixture_next_segment(struct vuc_segment *segment);

/* Send everything there is, or a number of segments. Returns how many it was. */
unsigned int fixture_send(void);
unsigned int fixture_send_some(unsigned int most);

/* How many messages the last fixture_send() sent; the header of the nth, and its body. */
unsigned int fixture_nr_sent(void);
struct vfio_user_header fixture_sent(unsigned int n);
const uint8_t *fixture_sent_body(unsigned int n);

/* All its bytes. */
uint8_t *fixture_sent_bytes(size_t *len);

/* ---- what the server says ---- */

/* Send everything and answer what was sent first, a reset. */
void fixture_answer_reset(void);

/* body NULL: zeros. */
struct message message_build(struct vfio_user_header header, const void *body, size_t len);

/* The reply to a command, with a msg_size that is true. */
struct message message_reply(struct vfio_user_header to, const void *body, size_t len);
struct message message_error(struct vfio_user_header to, uint32_t error_no);
struct message message_access(
	struct vfio_user_header to, uint64_t offset, uint32_t count, const void *data, size_t len);
struct message message_region_info(struct vfio_user_header to, uint32_t index);
struct message message_dma_read(uint16_t id, uint32_t flags);
struct message message_dma_write(uint16_t id, uint32_t flags);
struct message message_version(uint16_t major, uint16_t minor, const char *json);

/* Give the session bytes and descriptors, out of memory that ends behind them. */
void fixture_feed(const void *bytes, size_t len, const int *fds, unsigned int nr_fds);
void fixture_feed_message(struct message m);

/* Bytes pos to end of a message, with new descriptors. */
void fixture_feed_new_fds(const struct message *m, size_t pos, size_t end, unsigned int nr_fds);

/*
 * Give the session what the server sent, received in pieces that end at first and at second (0:
 * nowhere) and, as the kernel does it, behind a send that carried descriptors.
 */
void fixture_feed_parts(
	const struct part *parts, unsigned int nr_parts, size_t first, size_t second);
size_t fixture_parts_len(const struct part *parts, unsigned int nr_parts);

#endif /* VUC_TESTS_SESSION_FIXTURE_H */

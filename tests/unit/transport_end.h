/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_TRANSPORT_END_H
#define VUC_TESTS_TRANSPORT_END_H

/* Connections of the socket transports, drivers/transport.h, with the test as owner and peer. */

#include <sys/queue.h>
#include <sys/socket.h>

#include "fds.h"
#include "tap.h"
#include "transport.h"

#define MAX_FDS     32
#define QUIET_POLLS 3000  /* enough for any driver to take a connection for idle */
#define SOON_POLLS  70    /* what looks at idle connections now and then has looked by then */
#define WAIT_POLLS  20000 /* an event that has not come by then does not come */

struct end {
	struct vuc_conn *conn;
	struct vuc_session_view view;
	int peer;
	unsigned int sent;
	unsigned int lost;
	int error;
	size_t len;
	uint8_t bytes[256 * 1024];
	unsigned int nr_fds;
	int fds[MAX_FDS];
	struct end *close_on_data; /* another connection to be closed by an event of this one */
	SLIST_ENTRY(end) entry;
};

/* The transport under test, the group of the running test and its eventfd. */
extern const struct vuc_transport_ops *ops;
extern struct vuc_transport_group *group;
extern int wake_fd;

/* One that is left open is closed behind the test. */
struct end *open_end(void);
void close_end(struct end *e);

void poll_times(unsigned int n);
void poll_until_len(const struct end *e, size_t len);
void poll_until_lost(const struct end *e);

/* Send a segment, or one of a byte, and see it leave; or what the peer sends. */
void send_bytes(struct end *e, const void *bytes, size_t len, const int *fds, unsigned int nr_fds);
void send_byte(struct end *e);
void send_to(struct end *e, const void *bytes, size_t len);
void send_fds_to(struct end *e, const char *text, const int *fds, unsigned int nr_fds);

/* Send a byte that the peer owes an answer to. */
void ask(struct end *e);

/* Take what the peer has received, and close its descriptors. Returns its length. */
ssize_t receive_at_peer(struct end *e, void *bytes, size_t len, int *nr_fds);

/* Before a test: a group of this transport; several: its owner says that more is to be sent than by
 * one connection. */
void open_posix(void);
void open_uring(void);
void open_uring_several(void);

/* Behind a test: all is closed. */
void close_group(void);

/* Run a CU_TestInfo, a row of a suite; it is skipped where io_uring is not allowed. */
void transport_test(const void *test);

#endif /* VUC_TESTS_TRANSPORT_END_H */

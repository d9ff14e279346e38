/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAKE_SERVER_H
#define VUC_TESTS_FAKE_SERVER_H

/*
 * A server inside the test, for what the reference device would not do: it offers what a test puts
 * into its tables, sensible or not, answers wrongly, late or not at all where they say so, and
 * hands other commands to the test. It is called by the loopback transport, or is a thread behind a
 * socket, which may ask for the client's memory as well.
 */

#include <pthread.h>

#include <vuc/device.h>

#include "tap.h"
#include "vfio_user.h"

#define FAKE_NR_REGIONS 9u
#define FAKE_NR_IRQS    5u
#define FAKE_MAX_AREAS  4u
#define FAKE_MAX_SEEN   1024u
#define FAKE_STASH_SIZE 4096u
#define FAKE_LOG_SIZE   2048u

struct fake_region {
	uint64_t size;
	uint64_t offset;
	uint32_t flags;
	bool sparse; /* has the capability also without areas */
	uint32_t nr_areas;
	struct vfio_user_sparse_area areas[FAKE_MAX_AREAS];
	uint32_t nr_fds;
	int fds[FAKE_MAX_AREAS]; /* the test's; duplicates are sent */
	uint8_t *bytes;          /* size of them: what messages read and write; NULL: refused */
	bool asked;              /* messages are the test's command to answer */
	unsigned int reads;      /* messages so far */
	unsigned int writes;
};

struct fake_irq {
	uint32_t flags;
	uint32_t count;
};

/* The reply to a command; bytes has room for a body of size. */
struct fake_reply {
	uint8_t *body;
	size_t size;
	size_t len;
	int *fds; /* room for VUC_LOOPBACK_MAX_FDS; the client's from then on */
	unsigned int nr_fds;
	bool silent; /* it is not sent; set where none was asked for */
};

/* A command that the tables don't answer. Returns 0, an errno to answer, or a negative errno to
 * close the connection. */
typedef int (*fake_command_fn)(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply);

/*
 * Changes the reply to a request before it goes; one that asked for none has a len of 0. Returns 0,
 * or a negative errno to close the connection.
 */
typedef int (*fake_deviate_fn)(
	void *arg, const struct vuc_loopback_msg *request, struct vuc_loopback_msg *message);

enum fake_wrong {
	FAKE_ERROR,       /* answers with the error number in value */
	FAKE_ERROR_STATE, /* the same, and a device that migrates is in ERROR then */
	FAKE_CUT,         /* the reply's body lacks value bytes at its end */
	FAKE_LONGER,      /* the reply's body has value bytes more */
	FAKE_FIELD,       /* the 32 bits at byte at of the reply's body are value */
	FAKE_SILENT,      /* no reply */
	FAKE_CLOSE,       /* the connection ends */
};

/* What goes wrong: at the nth message that matches, from 1 on; 0 is nothing. */
struct fake_fault {
	unsigned int nth;
	uint16_t cmd;   /* 0 is any */
	uint32_t flags; /* at byte 4 of the body: a feature's number and method; 0 is any */
	enum fake_wrong wrong;
	uint32_t at;
	uint32_t value;
};

struct fake_server {
	uint32_t max_msg_fds;
	uint32_t max_data;       /* max_data_xfer_size; 0: not in the version data */
	bool twin;               /* behind a socket, offers one for its own commands */
	const char *json;        /* version data; NULL: what these three make */
	uint32_t flags;          /* of the device, beside VFIO_DEVICE_FLAGS_PCI */
	fake_deviate_fn deviate; /* NULL: nothing is changed */
	uint32_t unread;  /* a bit for each command that is refused when its header has come, and
			     the rest taken for the next one; of a server behind a socket */
	uint32_t refused; /* a bit for each command that is answered by EIO */
	uint32_t held;    /* the same for those whose answer goes to the stash */
	unsigned int hold_from; /* this message on, all answers do; 0: none */
	bool hang_up;           /* with the next command */
	struct fake_fault fault;

	/* What came, and what was held. */
	uint16_t seen[FAKE_MAX_SEEN]; /* the first commands, in order */
	unsigned int nr_seen;
	unsigned int matched; /* messages that the fault is about */
	bool faulty;          /* the message at hand is the one */
	uint8_t stash[FAKE_STASH_SIZE];
	size_t stash_len;
	char log[FAKE_LOG_SIZE]; /* what fake_server_log() has added */

	/* Behind a socket. */
	pthread_t thread;
	bool running;
	int fd;                         /* the thread's end of the socket */
	int twin_fd;                    /* that of the twin socket; 0: none */
	struct vuc_loopback_msg answer; /* what fake_server_receive() has received */
	struct fake_region regions[FAKE_NR_REGIONS];
	struct fake_irq irqs[FAKE_NR_IRQS];
	fake_command_fn command;
	void *arg;
	struct vuc_loopback_server loopback;
};

/* Options to connect to it within this process. */
void fake_server_opts(struct fake_server *s, struct vuc_device_opts *opts);

/* Connect to it and assert that it works. */
struct vuc_device *fake_server_open(struct fake_server *s);

/*
 * Serve one client behind a socket. Returns the client's end of it. The thread ends when the client
 * has closed its end; stopping waits for that and closes the server's.
 */
int fake_server_start(struct fake_server *s);
void fake_server_join(struct fake_server *s);
void fake_server_stop(struct fake_server *s);

/* For its thread: send a command of the server's own, over fd or twin_fd, with data behind it. */
void fake_server_send_access(int fd, const struct vfio_user_header *header,
	const struct vfio_user_dma_region_access *access, const void *data, size_t len);

/* And receive the next message there into s->answer. Returns false when the client is gone. */
bool fake_server_receive(struct fake_server *s, int fd, struct vfio_user_header *header);

/* For commands of a test: keep a record, such as "STOP r64 w10 "; and whether it is this one, which
 * begins anew. */
void fake_server_log(struct fake_server *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool fake_server_saw(struct fake_server *s, const char *expected);

/* The body of a command that has len bytes of it at least; asserted. */
void fake_server_body(const struct vuc_loopback_msg *request, void *body, size_t len);

#endif /* VUC_TESTS_FAKE_SERVER_H */

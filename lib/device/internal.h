/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_INTERNAL_H
#define VUC_DEVICE_INTERNAL_H

#include <sys/queue.h>

#include <vuc/device.h>
#include <vuc/export.h>

#include "session.h"
#include "transport.h"

TAILQ_HEAD(vuc_device_list, vuc_device);

struct vuc_poll_group {
	struct vuc_transport_group *transport;
	vuc_log_fn log;
	void *log_arg;
	bool polling;
	unsigned int polls;
	unsigned int completed; /* requests, in the poll under way */
	uint64_t ticked_ms;
	struct vuc_device_list devices;
	struct vuc_device_list dirty; /* those that may have something to send */
};

/* A region as it is kept: what the public view points to is allocated here. */
struct region {
	struct vuc_region info;
	struct vuc_region_area *areas;
	int *fds;
};

struct vuc_device {
	TAILQ_ENTRY(vuc_device) link;
	TAILQ_ENTRY(vuc_device) dirty_link;
	struct vuc_poll_group *group;
	struct vuc_session *session;
	struct vuc_conn *conn;
	struct vuc_request *first; /* requests not yet given to the session as a whole */
	struct vuc_request **last;
	bool own_group;
	bool dirty;
	bool sending; /* the transport has a segment */
	struct region *regions;
	struct vuc_irq *irqs;
	struct vuc_device_info info;
	struct vuc_device_version version;
	uint32_t timeout_ms;
	uint32_t long_timeout_ms;
	struct vuc_error reason;
};

/* What a synchronous command got; see device_call(). */
struct device_reply {
	int status;
	bool done;
	size_t size; /* of body */
	size_t len;  /* of what came, at most size */
	void *body;
	unsigned int nr_fds;
	int fds[VUC_MAX_MSG_FDS]; /* the caller's; -1 when given on */
	struct vuc_error *err;
};

/* poll_group.c */
uint64_t group_now_ms(void);
void group_add(struct vuc_poll_group *group, struct vuc_device *dev);
void group_remove(struct vuc_device *dev);

/* link.c: between session and connection */
extern const struct vuc_conn_events device_conn_events;
void device_mark_dirty(struct vuc_device *dev);
void device_flush(struct vuc_device *dev);
void device_disconnect(struct vuc_device *dev);

/* io.c: give waiting requests to the session; fail all that wait when it has ended */
void device_pump(struct vuc_device *dev);

/* connect.c: a connected socket, or a negative errno */
int device_connect(const char *path, uint32_t timeout_ms, struct vuc_error *err);
int device_adopt(int fd, struct vuc_error *err);

/* info.c: learn and forget what the device has */
int device_learn(struct vuc_device *dev, struct vuc_error *err);
void device_forget(struct vuc_device *dev);

/*
 * call.c: a command of the control path, awaited. The caller sets all of req but done and arg, and
 * of reply body, size and err; descriptors that came are the caller's. Returns the status.
 * device_ask() is the same with the error kept for vuc_device_reason(), for public functions; it
 * also refuses to be called from a completion callback.
 */
int device_call(
	struct vuc_device *dev, struct vuc_session_request *req, struct device_reply *reply);
int device_ask(struct vuc_device *dev, struct vuc_session_request *req, struct device_reply *reply);
void device_close_fds(struct device_reply *reply);

/* call.c: poll, and let others have the CPU after many polls without a completion. */
void device_poll_once(struct vuc_device *dev, unsigned int *empty);

#endif /* VUC_DEVICE_INTERNAL_H */

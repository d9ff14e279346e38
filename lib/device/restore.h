/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_RESTORE_H
#define VUC_DEVICE_RESTORE_H

/* A restore as its stages see it. */

#include <errno.h>

#include "error.h"
#include "internal.h"
#include "recorded.h"

struct device_restore {
	struct vuc_device *dev;
	bool reset;
	uint64_t kept_files; /* see struct vuc_restore_opts */
	vuc_done_fn done;
	void *arg;
	bool waits; /* for the end of what was begun */
	int status; /* of that */
	struct vuc_error err;
	unsigned int begun;      /* in this stage */
	struct record_irq next;  /* the first one that is not replayed yet */
	bool unmasks;            /* INTx comes before that */
	bool fills;              /* its set was assigned with a filler */
	enum record_order order; /* of registers */
	uint32_t cursor;
	struct vuc_request req;
	struct record_write write;
	uint8_t config[MSIX_CONFIG_SIZE]; /* of the fresh device */
	char step[64];
	unsigned int nr_fds; /* of all regions ... */
	int fds[];           /* ... as the fresh device had them; -1: it is somebody else's */
};

/* restore_irqs.c: the stage of interrupts; returns 0 when it is over, -EAGAIN when it has begun
 * something, and what it fails with. Again when the client has changed some meanwhile. */
int restore_irqs(struct device_restore *o);

/* What was begun has ended. */
static inline void
restore_go_on(struct device_restore *o, int status, const char *why)
{
	o->waits = false;
	if (status != 0)
		o->status = vuc_error_set(&o->err, status, "%s", why);
	device_mark_dirty(o->dev);
}

/* A vuc_done_fn. */
static inline void
restore_operation_done(void *arg, int status, const struct vuc_error *err)
{
	restore_go_on(arg, status, err->text);
}

/* An operation was started, or could not be. */
static inline int
restore_begun(struct device_restore *o, int rc)
{
	o->dev->replaying = false;
	o->waits = rc == 0;
	o->begun++;
	return rc == 0 ? -EAGAIN : vuc_error_set(&o->err, rc, "%s", o->dev->reason.text);
}

/* What the server has refused, and only that, can be gone without. */
static inline bool
restore_was_refused(const struct device_restore *o, int status)
{
	return status != 0 && status != -ETIMEDOUT && vuc_session_error(o->dev->session) == 0;
}

#endif /* VUC_DEVICE_RESTORE_H */

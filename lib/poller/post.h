/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_POST_H
#define VUC_POLLER_POST_H

#include <vuc/poller.h>

#include "mailbox.h"

/* Run a function on the poller's thread, after what was posted and called before; also on the
 * poller's own thread, where it is run in the next loop. A poller that is destroyed runs all of
 * them first. */
void vuc_poller_post(struct vuc_poller *p, struct vuc_post *post);

#endif /* VUC_POLLER_POST_H */

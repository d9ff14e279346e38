/* SPDX-License-Identifier: BSD-3-Clause */

/* The life of a control plane. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <vuc/export.h>
#include <vuc/shm.h>

#include "clock.h"
#include "closers.h"
#include "control.h"
#include "error.h"
#include "guard.h"
#include "opts.h"
#include "thread.h"
#include "vmm.h"

/* Whoever does not wait to connect is refused when as many wait already: one user should not be
 * able to keep the others out. */
#define BACKLOG 1024

#define MAX_DMA_MAPS 65535u /* more is not to be had of the kernel */
#define MAX_CLOSERS  8u     /* threads that close connections which are not taken */
#define CLOSERS_MS   20u    /* in which what is held up at the end may still be closed */

VUC_EXPORT void
vuc_control_opts_init(struct vuc_control_opts *opts, size_t size)
{
	const struct vuc_control_opts defaults = {
		.mode = 0600,
		.max_vmms = 64,
		.max_vmms_per_user = 32,
		.max_queues = VUC_SHM_MAX_QUEUES,
		.max_queue_memory = UINT64_C(64) << 20,
		.max_dma_maps = 4096,
		.max_dma_message = UINT64_C(1024) << 20,
		.handshake_timeout_ms = 5000,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

static int
control_check_opts(const struct vuc_control_opts *o, struct vuc_error *err)
{
	if ((o->mode & ~(mode_t)0777) != 0)
		return vuc_error_set(err, -EINVAL, "invalid mode 0%o of the socket", o->mode);
	if (o->max_vmms == 0 || o->max_vmms_per_user == 0)
		return vuc_error_set(err, -EINVAL, "max_vmms %u, max_vmms_per_user %u: at least 1",
			o->max_vmms, o->max_vmms_per_user);
	if (o->max_queues == 0 || o->max_queues > VUC_SHM_MAX_QUEUES)
		return vuc_error_set(err, -EINVAL, "max_queues %u is not in 1 to %u", o->max_queues,
			VUC_SHM_MAX_QUEUES);
	if (o->max_dma_maps == 0 || o->max_dma_maps > MAX_DMA_MAPS)
		return vuc_error_set(err, -EINVAL, "max_dma_maps %u is not in 1 to %u",
			o->max_dma_maps, MAX_DMA_MAPS);
	if (o->handshake_timeout_ms == 0 || o->handshake_timeout_ms > INT32_MAX)
		return vuc_error_set(
			err, -EINVAL, "handshake_timeout_ms is %u", o->handshake_timeout_ms);
	return 0;
}

static struct vuc_control *
control_alloc(const struct vuc_control_opts *opts)
{
	struct vuc_control *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (c == NULL)
		return NULL;
	c->opts = *opts;
	c->opts.path = NULL;
	c->listener.fd = -1;
	c->mailbox.fd = -1;
	c->signaller.file = -1;
	c->inotify_fd = -1;
	c->exports_fd = -1;
	TAILQ_INIT(&c->devices);
	TAILQ_INIT(&c->vmms);
	TAILQ_INIT(&c->finished);
	TAILQ_INIT(&c->captures);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	control_log_init(&c->log, opts->log, opts->log_arg);
	return c;
}

static void
control_free(struct vuc_control *c)
{
	vuc_listener_close(&c->listener);
	if (c->signaller.file >= 0)
		control_signaller_fini(&c->signaller);
	vuc_closer_let_go(c->closer);
	vuc_closers_destroy(c->closers, CLOSERS_MS, NULL);
	control_folders_destroy(c->folders);
	if (c->mailbox.fd >= 0)
		vuc_mailbox_fini(&c->mailbox);
	if (c->exports_fd >= 0)
		close(c->exports_fd);
	control_log_fini(&c->log);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

VUC_EXPORT int
vuc_control_listen(struct vuc_control *c, struct vuc_error *err)
{
	int rc = vuc_listener_listen(&c->listener, BACKLOG, err);

	if (rc != 0)
		return rc;
	pthread_mutex_lock(&c->lock);
	c->listens = true;
	vuc_mailbox_wake(&c->mailbox);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static int
control_set_up(struct vuc_control *c, const char *path, struct vuc_error *err)
{
	int rc = guard_install();

	if (rc == 0)
		rc = control_signaller_init(&c->signaller);
	if (rc == 0)
		rc = vuc_mailbox_init(&c->mailbox);
	if (rc == 0) {
		c->exports_fd = epoll_create1(EPOLL_CLOEXEC);
		rc = c->exports_fd >= 0 ? 0 : -errno;
	}
	if (rc == 0) {
		c->closers = vuc_closers_create();
		c->closer = c->closers != NULL ? vuc_closer_create(c->closers, MAX_CLOSERS) : NULL;
		rc = c->closer != NULL ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = control_folders_create(c);
	if (rc != 0)
		return vuc_error_set(err, rc, "a control plane: %s", strerror(-rc));
	rc = vuc_listener_bind(&c->listener, path, SOCK_SEQPACKET, c->opts.mode, (gid_t)-1, err);
	if (rc == 0 && !c->opts.deferred)
		rc = vuc_control_listen(c, err);
	if (rc != 0)
		return rc;
	rc = vuc_thread_create(&c->thread, THREAD_STACK, control_run, c);
	return rc != 0 ? vuc_error_set(err, rc, "no thread: %s", strerror(-rc)) : 0;
}

/* What is missing here, and what that means. */
static void
control_warn(struct vuc_control *c)
{
	if (c->signaller.context == 0)
		control_log(&c->log, VUC_LOG_WARNING,
			"no asynchronous I/O on this system: a hostile VMM could block the "
			"daemon through its event eventfd");
	if (access("/proc/self/fd", X_OK) != 0)
		control_log(&c->log, VUC_LOG_WARNING,
			"no /proc on this system: cannot check whether descriptors for "
			"interrupts are eventfds");
}

VUC_EXPORT int
vuc_control_create(
	const struct vuc_control_opts *opts, struct vuc_control **control, struct vuc_error *err)
{
	struct vuc_control_opts known;
	struct vuc_control *c;
	int rc;

	*control = NULL;
	vuc_control_opts_init(&known, sizeof(known));
	rc = vuc_opts_read(&known, sizeof(known), opts,
		VUC_OPTS_LEAST(struct vuc_control_opts, log_arg), "vuc_control_opts", err);
	if (rc == 0)
		rc = control_check_opts(&known, err);
	if (rc != 0)
		return rc;
	c = control_alloc(&known);
	if (c == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a control plane");
	rc = control_set_up(c, known.path, err);
	if (rc != 0) {
		control_free(c);
		return rc;
	}
	control_warn(c);
	*control = c;
	return 0;
}

VUC_EXPORT void
vuc_control_destroy(struct vuc_control *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->changed);
	vuc_mailbox_wake(&c->mailbox);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	control_free(c);
}

VUC_EXPORT unsigned int
vuc_control_connections(struct vuc_control *c)
{
	unsigned int n;

	pthread_mutex_lock(&c->lock);
	n = c->nr_vmms;
	pthread_mutex_unlock(&c->lock);
	return n;
}

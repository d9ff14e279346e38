/* SPDX-License-Identifier: BSD-3-Clause */

/* Attaching to a device, resetting it, what becomes of it, and detaching from it. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/export.h>

#include "error.h"
#include "operation.h"
#include "opts.h"
#include "state.h"

#define PATH_SIZE 256

VUC_EXPORT void
vuc_vmm_attach_opts_init(struct vuc_vmm_attach_opts *opts, size_t size)
{
	const struct vuc_vmm_attach_opts defaults = {.timeout_ms = VUC_VMM_DEFAULT_TIMEOUT_MS};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

static int
options_read(struct vuc_vmm_attach_opts *known, const struct vuc_vmm_attach_opts *opts,
	struct vuc_error *err)
{
	int rc;

	vuc_vmm_attach_opts_init(known, sizeof(*known));
	rc = vuc_opts_read(known, sizeof(*known), opts,
		VUC_OPTS_LEAST(struct vuc_vmm_attach_opts, timeout_ms), "vuc_vmm_attach_opts", err);
	if (rc != 0)
		return rc;
	if (known->device == NULL || known->device[0] == '\0')
		return vuc_error_set(err, -EINVAL, "no name of a device to attach to");
	if (strlen(known->device) >= VUC_SHM_NAME_SIZE)
		return vuc_error_set(err, -EINVAL,
			"device name of %zu bytes, at most %d are allowed: %s",
			strlen(known->device), VUC_SHM_NAME_SIZE - 1, known->device);
	if (known->timeout_ms == 0)
		return vuc_error_set(err, -EINVAL, "timeout_ms is 0");
	if (known->name == NULL)
		known->name = program_invocation_short_name;
	return 0;
}

/* What a program with privileges of its own finds in the environment is not its own. */
static const char *
environment_path(const char *name)
{
	const char *value = secure_getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Where vucd's socket for VMMs is when nobody says so; too long a path is cut, and refused later.
 */
static void
default_path(char path[PATH_SIZE])
{
	const char *socket = environment_path("VUCD_SOCKET");
	const char *runtime = environment_path("XDG_RUNTIME_DIR");

	if (socket != NULL) {
		snprintf(path, PATH_SIZE, "%s", socket);
		return;
	}
	if (runtime != NULL) {
		snprintf(path, PATH_SIZE, "%s/vucd/vmm.sock", runtime);
		if (access(path, F_OK) == 0)
			return;
	}
	snprintf(path, PATH_SIZE, "/run/vucd/vmm.sock");
}

/* HELLO, then ATTACH. */
struct attach_operation {
	struct vmm_operation op;
	bool greeted;
	char name[VUC_SHM_NAME_SIZE];
	char device[VUC_SHM_NAME_SIZE];
};

static bool
attach_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct attach_operation *a = (struct attach_operation *)op;

	(void)fds;
	if (!a->greeted) {
		vmm_request_set(request, VUC_SHM_HELLO, sizeof(request->hello));
		request->hello.magic = VUC_SHM_MAGIC;
		request->hello.version_min = VUC_SHM_VERSION;
		request->hello.version_max = VUC_SHM_VERSION;
		memcpy(request->hello.name, a->name, sizeof(a->name));
	} else {
		vmm_request_set(request, VUC_SHM_ATTACH, sizeof(request->attach));
		memcpy(request->attach.name, a->device, sizeof(a->device));
	}
	return true;
}

static int
hello_check(struct vuc_vmm_device *dev, const union vmm_packet *packet, struct vuc_error *err)
{
	const struct vuc_shm_hello_reply *r = &packet->hello_reply;

	if (r->version != VUC_SHM_VERSION)
		return vmm_reply_wrong(dev, packet, err, "version", r->version);
	if (r->reserved != 0 || r->pad != 0)
		return vmm_reply_wrong(dev, packet, err, "reserved", r->reserved | r->pad);
	if (r->max_queues > VUC_SHM_MAX_QUEUES)
		return vmm_reply_wrong(dev, packet, err, "max_queues", r->max_queues);
	if (r->max_depth == 0 || r->max_depth > VUC_SHM_MAX_DEPTH)
		return vmm_reply_wrong(dev, packet, err, "max_depth", r->max_depth);
	if (r->max_data == 0 || r->max_data > VUC_SHM_MAX_DATA)
		return vmm_reply_wrong(dev, packet, err, "max_data", r->max_data);
	return 0;
}

static int
hello_take(struct vuc_vmm_device *dev, const union vmm_packet *reply, const struct vmm_fds *fds,
	struct vuc_error *err)
{
	const struct vuc_shm_hello_reply *r = &reply->hello_reply;
	int rc = vmm_reply_is(dev, reply, sizeof(*r), fds, 0, err);

	if (rc == 0)
		rc = hello_check(dev, reply, err);
	if (rc != 0)
		return rc;
	dev->info.max_queues = r->max_queues;
	dev->info.max_depth = r->max_depth;
	dev->info.max_data = r->max_data;
	dev->info.max_dma_maps = r->max_dma_maps;
	return VMM_MORE;
}

static int
attach_check(struct vuc_vmm_device *dev, const union vmm_packet *packet, struct vuc_error *err)
{
	const struct vuc_shm_attach_reply *r = &packet->attach_reply;

	if ((r->flags & ~VUC_SHM_DMA_MESSAGE) != 0)
		return vmm_reply_wrong(dev, packet, err, "flags", r->flags);
	if (r->generation == 0)
		return vmm_reply_wrong(dev, packet, err, "generation", r->generation);
	if (r->pgsizes == 0)
		return vmm_reply_wrong(dev, packet, err, "pgsizes", r->pgsizes);
	if (r->num_regions > VMM_MAX_REGIONS)
		return vmm_reply_wrong(dev, packet, err, "num_regions", r->num_regions);
	if (r->max_data == 0 || r->max_data > VUC_SHM_MAX_DATA)
		return vmm_reply_wrong(dev, packet, err, "max_data", r->max_data);
	return 0;
}

static uint32_t
smaller_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void
info_keep(struct vuc_vmm_info *info, const struct vuc_shm_attach_reply *r)
{
	info->generation = r->generation;
	info->pgsizes = r->pgsizes;
	info->flags = r->device_flags;
	info->num_regions = r->num_regions;
	info->num_irqs = r->num_irqs;
	info->max_dma_maps = smaller_of(info->max_dma_maps, r->max_dma_maps);
	info->max_data = smaller_of(info->max_data, r->max_data);
	info->dma_message = (r->flags & VUC_SHM_DMA_MESSAGE) != 0;
}

/* Take over the descriptors of the reply: eventfds are kept, those of memory closed once mapped. */
static int
attach_take_fds(struct vuc_vmm_device *dev, struct vmm_fds *fds, struct vuc_error *err)
{
	int rc = vmm_pages_map(&dev->pages, fds->fd, err);

	dev->kick_fd = fds->fd[VUC_SHM_FD_KICK];
	dev->watch.event_fd = fds->fd[VUC_SHM_FD_EVENT];
	fds->fd[VUC_SHM_FD_KICK] = -1;
	fds->fd[VUC_SHM_FD_EVENT] = -1;
	if (rc == 0)
		rc = vmm_eventfd_check(dev->kick_fd, "the poller's kick", err);
	if (rc == 0)
		rc = vmm_eventfd_unblock(dev->kick_fd, "the poller's kick", err);
	if (rc == 0)
		rc = vmm_eventfd_check(dev->watch.event_fd, "events of the device", err);
	return rc;
}

static int
attach_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct attach_operation *a = (struct attach_operation *)op;
	struct vuc_vmm_device *dev = op->dev;
	int rc;

	if (!a->greeted) {
		a->greeted = true;
		return hello_take(dev, reply, fds, err);
	}
	rc = vmm_reply_is(dev, reply, sizeof(reply->attach_reply), fds, VUC_SHM_ATTACH_FDS, err);
	if (rc == 0)
		rc = attach_take_fds(dev, fds, err);
	if (rc == 0)
		rc = attach_check(dev, reply, err);
	if (rc != 0)
		return rc;
	info_keep(&dev->info, &reply->attach_reply);
	rc = vmm_watch_state(dev, err);
	return rc == 0 ? vmm_regions_alloc(dev, err) : rc;
}

/* Nothing can be done with the device but detach. */
static int
attach_refused(struct vmm_operation *op)
{
	vmm_link_end(&op->dev->link, NULL, op->status, "%s", op->err.text);
	return 0;
}

static const struct vmm_operation_ops attach_ops = {
	.ask = attach_ask,
	.take = attach_take,
	.refused = attach_refused,
};

static void
free_device(struct vuc_vmm_device *dev)
{
	vmm_queues_free(dev);
	vmm_regions_free(dev);
	vmm_watch_close(&dev->watch);
	vmm_pages_unmap(&dev->pages);
	if (dev->kick_fd >= 0)
		close(dev->kick_fd);
	vmm_link_close(&dev->link);
	free(dev->dma.entries);
	pthread_cond_destroy(&dev->ops.turn);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

static struct vuc_vmm_device *
new_device(void)
{
	struct vuc_vmm_device *dev = calloc(1, sizeof(*dev));

	if (dev == NULL)
		return NULL;
	dev->link.fd = -1;
	dev->kick_fd = -1;
	dev->watch.epoll_fd = -1;
	dev->watch.timer_fd = -1;
	dev->watch.event_fd = -1;
	TAILQ_INIT(&dev->ops.queue);
	TAILQ_INIT(&dev->ops.ended);
	pthread_cond_init(&dev->ops.turn, NULL);
	pthread_mutex_init(&dev->lock, NULL);
	return dev;
}

static int
device_prepare(
	struct vuc_vmm_device *dev, const struct vuc_vmm_attach_opts *opts, struct vuc_error *err)
{
	char path[PATH_SIZE];
	int rc;

	if (opts->socket == NULL)
		default_path(path);
	rc = vmm_link_open(
		&dev->link, opts->socket != NULL ? opts->socket : path, opts->timeout_ms, err);
	return rc == 0 ? vmm_watch_open(&dev->watch, err) : rc;
}

/* Returns an operation that attaches a new device, or NULL with *rc. */
static struct attach_operation *
attach_prepare(const struct vuc_vmm_attach_opts *opts, int *rc, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts known;
	struct attach_operation *a = NULL;
	struct vuc_vmm_device *dev;

	*rc = options_read(&known, opts, err);
	if (*rc != 0)
		return NULL;
	dev = new_device();
	if (dev != NULL)
		a = vmm_operation_create(dev, &attach_ops, sizeof(*a), err);
	if (a == NULL) {
		*rc = vuc_error_set(err, -ENOMEM, "no memory for a device");
	} else if ((*rc = device_prepare(dev, &known, err)) == 0) {
		/* The name is for logs only: a long one is cut. */
		snprintf(a->name, sizeof(a->name), "%s", known.name);
		snprintf(a->device, sizeof(a->device), "%s", known.device);
		a->op.phase = VMM_ATTACHED;
		return a;
	}
	free(a);
	if (dev != NULL)
		free_device(dev);
	return NULL;
}

VUC_EXPORT int
vuc_vmm_attach_start(const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	const struct vmm_completion completion = {done, arg};
	struct attach_operation *a;
	int rc;

	if (dev == NULL)
		return vuc_error_set(err, -EINVAL, "dev is NULL");
	*dev = NULL;
	if (done == NULL)
		return vuc_error_set(err, -EINVAL, "no completion callback");
	a = attach_prepare(opts, &rc, err);
	if (a == NULL)
		return rc;
	*dev = a->op.dev;
	pthread_mutex_lock(&(*dev)->lock);
	vmm_operation_start(&a->op, &completion);
	pthread_mutex_unlock(&(*dev)->lock);
	return 0;
}

VUC_EXPORT int
vuc_vmm_attach(
	const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev, struct vuc_error *err)
{
	struct attach_operation *a;
	struct vuc_vmm_device *attached;
	int rc;

	*dev = NULL;
	a = attach_prepare(opts, &rc, err);
	if (a == NULL)
		return rc;
	attached = a->op.dev;
	pthread_mutex_lock(&attached->lock);
	rc = vmm_operation_wait(&a->op, err);
	attached->phase = VMM_ATTACHED;
	pthread_mutex_unlock(&attached->lock);
	if (rc == 0)
		*dev = attached;
	else
		free_device(attached);
	return rc;
}

VUC_EXPORT const struct vuc_vmm_info *
vuc_vmm_info(const struct vuc_vmm_device *dev)
{
	return &dev->info;
}

/* A request without a body: RESET or DETACH. */
struct plain_operation {
	struct vmm_operation op;
	enum vuc_shm_type type;
};

static bool
plain_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct plain_operation *p = (struct plain_operation *)op;

	(void)fds;
	vmm_request_set(request, p->type, sizeof(request->plain));
	return true;
}

static int
plain_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	return vmm_reply_is(op->dev, reply, sizeof(reply->plain), fds, 0, err);
}

static const struct vmm_operation_ops plain_ops = {.ask = plain_ask, .take = plain_take};

static struct plain_operation *
plain_create(struct vuc_vmm_device *dev, enum vuc_shm_type type, struct vuc_error *err)
{
	struct plain_operation *p = vmm_operation_create(dev, &plain_ops, sizeof(*p), err);

	if (p != NULL)
		p->type = type;
	return p;
}

static int
reset_begin(
	struct vuc_vmm_device *dev, const struct vmm_completion *completion, struct vuc_error *err)
{
	struct plain_operation *p = plain_create(dev, VUC_SHM_RESET, err);

	return p != NULL ? vmm_operation_begin(&p->op, completion, err) : -ENOMEM;
}

VUC_EXPORT int
vuc_vmm_reset(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	return reset_begin(dev, NULL, err);
}

VUC_EXPORT int
vuc_vmm_reset_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return reset_begin(dev, &(const struct vmm_completion){done, arg}, err);
}

/* Whether the daemon has the device for this VMM, and can be asked to take it back. */
static bool
has_to_be_told(const struct vuc_vmm_device *dev)
{
	return dev->info.generation != 0 && !dev->link.ended;
}

VUC_EXPORT int
vuc_vmm_detach_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	const struct vmm_completion completion = {done, arg};
	struct plain_operation *p;
	int rc = 0;

	if (done == NULL)
		return vuc_error_set(err, -EINVAL, "no completion callback");
	p = plain_create(dev, VUC_SHM_DETACH, err);
	if (p == NULL)
		return -ENOMEM;
	p->op.phase = VMM_DETACHED;
	pthread_mutex_lock(&dev->lock);
	if (dev->phase >= VMM_DETACHING) {
		free(p);
		rc = vuc_error_set(err, -EALREADY, "the device is being detached");
	} else {
		dev->phase = VMM_DETACHING;
		vmm_operations_cancel(dev);
		if (dev->info.generation == 0) /* there is nothing to give back */
			vmm_operation_end_at_once(&p->op, &completion);
		else
			vmm_operation_start(&p->op, &completion);
	}
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

/* With the lock held. Should it fail: hanging up says the same, only that there is nothing to wait
 * for. */
static void
device_leave(struct vuc_vmm_device *dev)
{
	struct plain_operation *p;

	dev->phase = VMM_DETACHING;
	vmm_operations_cancel(dev);
	while (!TAILQ_EMPTY(&dev->ops.ended))
		vmm_operations_tell(dev);
	p = has_to_be_told(dev) ? plain_create(dev, VUC_SHM_DETACH, NULL) : NULL;
	if (p != NULL)
		vmm_operation_wait(&p->op, NULL);
	dev->phase = VMM_DETACHED;
}

VUC_EXPORT void
vuc_vmm_detach(struct vuc_vmm_device *dev)
{
	bool in_callback;

	if (dev == NULL)
		return;
	pthread_mutex_lock(&dev->lock);
	in_callback = vmm_is_callback(dev);
	device_leave(dev);
	pthread_mutex_unlock(&dev->lock);
	/* vuc_vmm_events() is not done with it. */
	if (!in_callback)
		free_device(dev);
}

VUC_EXPORT int
vuc_vmm_event_fd(const struct vuc_vmm_device *dev)
{
	return dev->watch.epoll_fd;
}

VUC_EXPORT uint32_t
vuc_vmm_events(struct vuc_vmm_device *dev)
{
	bool gone, attached, detached;
	uint32_t events;

	pthread_mutex_lock(&dev->lock);
	if (vmm_is_callback(dev)) {
		pthread_mutex_unlock(&dev->lock);
		return 0;
	}
	gone = vmm_watch_drain(dev);
	vmm_operations_advance(dev);
	attached = dev->told.state != 0;
	pthread_mutex_unlock(&dev->lock);
	events = attached ? vmm_state_events(dev, gone) : 0;
	pthread_mutex_lock(&dev->lock);
	vmm_operations_tell(dev);
	detached = dev->phase == VMM_DETACHED;
	pthread_mutex_unlock(&dev->lock);
	if (detached)
		free_device(dev);
	return events;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Attaching to a device of a daemon. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/export.h>

#include "attach.h"
#include "clock.h"
#include "error.h"
#include "operation.h"
#include "opts.h"
#include "state.h"

#define PATH_SIZE 256

/* Between attempts, each of which the daemon logs: twice as long each time. */
#define RETRY_MIN_MS 50u
#define RETRY_MAX_MS 1000u

VUC_EXPORT void
vuc_vmm_attach_opts_init(struct vuc_vmm_attach_opts *opts, size_t size)
{
	const struct vuc_vmm_attach_opts defaults = {
		.timeout_ms = VUC_VMM_DEFAULT_TIMEOUT_MS,
		.fd = -1,
	};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

/* What has to do with the daemon. */
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
	if (known->timeout_ms == 0)
		return vuc_error_set(err, -EINVAL, "timeout_ms is 0");
	if ((known->wait_ms | known->reattach_wait_ms) != 0 && known->fd >= 0)
		return vuc_error_set(err, -EINVAL,
			"wait_ms and fd are exclusive: a descriptor cannot be connected again");
	if (known->reattach_wait_ms == 0)
		known->reattach_wait_ms = known->wait_ms;
	if (known->name == NULL)
		known->name = program_invocation_short_name;
	return 0;
}

static int
options_check_device(const struct vuc_vmm_attach_opts *known, struct vuc_error *err)
{
	if (known->device == NULL || known->device[0] == '\0')
		return vuc_error_set(err, -EINVAL, "no name of a device to attach to");
	if (strlen(known->device) < VUC_SHM_NAME_SIZE)
		return 0;
	return vuc_error_set(err, -EINVAL, "device name of %zu bytes, at most %d are allowed: %s",
		strlen(known->device), VUC_SHM_NAME_SIZE - 1, known->device);
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

void
vmm_hello_ask(const struct vuc_vmm_device *dev, union vmm_packet *request)
{
	vmm_request_set(request, VUC_SHM_HELLO, sizeof(request->hello));
	request->hello.magic = VUC_SHM_MAGIC;
	request->hello.version_min = VUC_SHM_VERSION;
	request->hello.version_max = VUC_SHM_VERSION;
	memcpy(request->hello.name, dev->name, sizeof(dev->name));
}

void
vmm_attach_ask(const struct vuc_vmm_device *dev, union vmm_packet *request)
{
	vmm_request_set(request, VUC_SHM_ATTACH, sizeof(request->attach));
	memcpy(request->attach.name, dev->device, sizeof(dev->device));
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

int
vmm_hello_take(struct vuc_vmm_device *dev, const union vmm_packet *reply, const struct vmm_fds *fds,
	struct vuc_vmm_info *info, struct vuc_error *err)
{
	const struct vuc_shm_hello_reply *r = &reply->hello_reply;
	int rc = vmm_reply_is(dev, reply, sizeof(*r), fds, 0, err);

	if (rc == 0)
		rc = hello_check(dev, reply, err);
	if (rc != 0)
		return rc;
	info->max_queues = r->max_queues;
	info->max_depth = r->max_depth;
	info->max_data = r->max_data;
	info->max_dma_maps = r->max_dma_maps;
	return 0;
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
attach_take_fds(struct vmm_attached *a, struct vmm_fds *fds, struct vuc_error *err)
{
	int rc = vmm_pages_map(&a->pages, fds->fd, err);

	a->kick_fd = fds->fd[VUC_SHM_FD_KICK];
	a->event_fd = fds->fd[VUC_SHM_FD_EVENT];
	fds->fd[VUC_SHM_FD_KICK] = -1;
	fds->fd[VUC_SHM_FD_EVENT] = -1;
	if (rc == 0)
		rc = vmm_eventfd_check(a->kick_fd, "the poller's kick", err);
	if (rc == 0)
		rc = vmm_eventfd_unblock(a->kick_fd, "the poller's kick", err);
	if (rc == 0)
		rc = vmm_eventfd_check(a->event_fd, "events of the device", err);
	return rc;
}

int
vmm_attach_take(struct vuc_vmm_device *dev, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vmm_attached *a, struct vuc_error *err)
{
	int rc =
		vmm_reply_is(dev, reply, sizeof(reply->attach_reply), fds, VUC_SHM_ATTACH_FDS, err);

	if (rc == 0)
		rc = attach_take_fds(a, fds, err);
	if (rc == 0)
		rc = attach_check(dev, reply, err);
	if (rc == 0)
		info_keep(&a->info, &reply->attach_reply);
	return rc;
}

/* Whether the device may be there later: no daemon, no such device, no server, another VMM. */
static bool
is_worth_waiting(int status)
{
	return status == -ENOENT || status == -ECONNREFUSED || status == -ENOTCONN ||
		status == -EBUSY || status == -ECONNRESET;
}

bool
vmm_attach_retry(struct vmm_operation *op)
{
	struct vmm_link *link = &op->dev->link;
	uint64_t now = vuc_clock_ms();

	link->pause_ms = link->pause_ms == 0 ? RETRY_MIN_MS : link->pause_ms * 2;
	if (link->pause_ms > RETRY_MAX_MS)
		link->pause_ms = RETRY_MAX_MS;
	if (!is_worth_waiting(op->status) || link->given || now + link->pause_ms >= link->wait_end)
		return false;
	vmm_watch_forget_link(&op->dev->watch, link->fd);
	if (vmm_link_renew(link, -1, NULL) != 0)
		return false;
	link->retry_ms = now + link->pause_ms;
	op->status = 0;
	op->err.text[0] = '\0';
	return true;
}

/* HELLO, then ATTACH. */
struct attach_operation {
	struct vmm_operation op;
	bool greeted;
};

static bool
attach_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	(void)fds;
	if (((struct attach_operation *)op)->greeted)
		vmm_attach_ask(op->dev, request);
	else
		vmm_hello_ask(op->dev, request);
	return true;
}

static int
attach_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct attach_operation *a = (struct attach_operation *)op;
	struct vuc_vmm_device *dev = op->dev;
	struct vmm_attached attached = {.info = dev->info, .kick_fd = -1, .event_fd = -1};
	int rc;

	if (!a->greeted) {
		a->greeted = true;
		rc = vmm_hello_take(dev, reply, fds, &dev->info, err);
		return rc == 0 ? VMM_MORE : rc;
	}
	rc = vmm_attach_take(dev, reply, fds, &attached, err);
	dev->pages = attached.pages;
	dev->kick_fd = attached.kick_fd;
	dev->watch.event_fd = attached.event_fd;
	if (rc != 0)
		return rc;
	dev->info = attached.info;
	rc = vmm_watch_state(dev, err);
	return rc == 0 ? vmm_regions_alloc(dev, err) : rc;
}

int
vmm_attach_refused(struct vmm_operation *op)
{
	vmm_link_end(&op->dev->link, NULL, op->status, "%s", op->err.text);
	return 0;
}

/* Nothing can be done with the device but detach. */
static int
attach_refused(struct vmm_operation *op)
{
	if (!vmm_attach_retry(op))
		return vmm_attach_refused(op);
	((struct attach_operation *)op)->greeted = false;
	return VMM_MORE;
}

static const struct vmm_operation_ops attach_ops = {
	.ask = attach_ask,
	.take = attach_take,
	.refused = attach_refused,
};

static int
device_open(
	struct vuc_vmm_device *dev, const struct vuc_vmm_attach_opts *opts, struct vuc_error *err)
{
	char path[PATH_SIZE];
	int rc;

	if (opts->socket == NULL)
		default_path(path);
	if (opts->fd >= 0)
		rc = vmm_link_open_fd(&dev->link, opts->fd, err);
	else
		rc = vmm_link_open(&dev->link, opts->socket != NULL ? opts->socket : path, err);
	return rc == 0 ? vmm_watch_open(&dev->watch, err) : rc;
}

/* From options that have been read. */
static struct vuc_vmm_device *
device_create(const struct vuc_vmm_attach_opts *known, int *rc, struct vuc_error *err)
{
	struct vuc_vmm_device *dev = vmm_device_create();

	if (dev == NULL) {
		*rc = vuc_error_set(err, -ENOMEM, "no memory for a device");
		return NULL;
	}
	dev->link.timeout_ms = known->timeout_ms;
	dev->link.wait_ms = known->wait_ms;
	dev->link.reattach_wait_ms = known->reattach_wait_ms;
	/* The name is for logs only: a long one is cut. */
	snprintf(dev->name, sizeof(dev->name), "%s", known->name);
	if (known->device != NULL)
		snprintf(dev->device, sizeof(dev->device), "%s", known->device);
	*rc = device_open(dev, known, err);
	if (*rc == 0)
		return dev;
	vmm_device_free(dev);
	return NULL;
}

struct vuc_vmm_device *
vmm_device_prepare(
	const struct vuc_vmm_attach_opts *opts, bool attaches, int *rc, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts known;

	*rc = options_read(&known, opts, err);
	if (*rc == 0 && attaches)
		*rc = options_check_device(&known, err);
	return *rc == 0 ? device_create(&known, rc, err) : NULL;
}

/* Returns an operation that attaches a new device, or NULL with *rc. */
static struct attach_operation *
attach_prepare(const struct vuc_vmm_attach_opts *opts, int *rc, struct vuc_error *err)
{
	struct vuc_vmm_device *dev = vmm_device_prepare(opts, true, rc, err);
	struct attach_operation *a;

	if (dev == NULL)
		return NULL;
	a = vmm_operation_create(dev, &attach_ops, sizeof(*a), err);
	if (a != NULL) {
		a->op.phase = VMM_ATTACHED;
		a->op.waits = true;
		return a;
	}
	*rc = -ENOMEM;
	vmm_device_free(dev);
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
		vmm_device_free(attached);
	return rc;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* The devices of a daemon. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/export.h>

#include "attach.h"
#include "error.h"

_Static_assert(VUC_VMM_LISTED_IN_USE == VUC_SHM_LISTED_IN_USE &&
		VUC_VMM_LISTED_CONNECTED == VUC_SHM_LISTED_CONNECTED,
	"flags");

/* No daemon has as many: one that says so does not come to an end. */
#define MAX_LISTED 65536u

struct listed {
	struct vuc_vmm_listed public;
	char name[VUC_SHM_NAME_SIZE];
};

/* HELLO, then LIST as often as it takes. */
struct list_operation {
	struct vmm_operation op;
	struct vuc_vmm_list **to;
	bool greeted;
	struct vuc_vmm_listed **devices;
	uint32_t nr;
};

static bool
list_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct list_operation *l = (struct list_operation *)op;

	(void)fds;
	if (!l->greeted) {
		vmm_hello_ask(op->dev, request);
		return true;
	}
	vmm_request_set(request, VUC_SHM_LIST, sizeof(request->list));
	request->list.first = l->nr;
	return true;
}

static int
device_check(struct vuc_vmm_device *dev, const union vmm_packet *packet, uint32_t i,
	struct vuc_error *err)
{
	const struct vuc_shm_listed *d = &packet->list_reply.devices[i];

	if (memchr(d->name, '\0', sizeof(d->name)) == NULL)
		return vmm_reply_wrong(dev, packet, err, "name of a device", i);
	if ((d->flags & ~(VUC_SHM_LISTED_IN_USE | VUC_SHM_LISTED_CONNECTED)) != 0)
		return vmm_reply_wrong(dev, packet, err, "flags of a device", d->flags);
	if (d->reserved != 0)
		return vmm_reply_wrong(dev, packet, err, "reserved of a device", d->reserved);
	return 0;
}

static int
reply_check(struct list_operation *l, const union vmm_packet *packet, const struct vmm_fds *fds,
	struct vuc_error *err)
{
	const struct vuc_shm_list_reply *r = &packet->list_reply;
	struct vuc_vmm_device *dev = l->op.dev;
	int rc;

	if (r->nr > VUC_SHM_MAX_LIST)
		return vmm_reply_wrong(dev, packet, err, "nr", r->nr);
	if (r->more > MAX_LISTED || (r->more > 0 && r->nr == 0) || l->nr > MAX_LISTED)
		return vmm_reply_wrong(dev, packet, err, "more", r->more);
	rc = vmm_reply_is(dev, packet, sizeof(*r) + r->nr * sizeof(r->devices[0]), fds, 0, err);
	for (uint32_t i = 0; rc == 0 && i < r->nr; i++)
		rc = device_check(dev, packet, i, err);
	return rc;
}

static int
device_append(struct list_operation *l, const struct vuc_shm_listed *d, struct vuc_error *err)
{
	struct vuc_vmm_listed **devices =
		realloc(l->devices, (l->nr + 1u) * sizeof(struct vuc_vmm_listed *));
	struct listed *listed = calloc(1, sizeof(*listed));

	if (devices != NULL)
		l->devices = devices;
	if (devices == NULL || listed == NULL) {
		free(listed);
		return vuc_error_set(err, -ENOMEM, "no memory for a list of devices");
	}
	memcpy(listed->name, d->name, sizeof(listed->name));
	listed->public = (struct vuc_vmm_listed){
		.argsz = sizeof(listed->public), .name = listed->name, .flags = d->flags};
	l->devices[l->nr++] = &listed->public;
	return 0;
}

static int
list_complete(struct list_operation *l, struct vuc_error *err)
{
	struct vuc_vmm_list *list = calloc(1, sizeof(*list));

	if (list == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a list of devices");
	*list = (struct vuc_vmm_list){.argsz = sizeof(*list),
		.nr = l->nr,
		.devices = (const struct vuc_vmm_listed *const *)l->devices};
	l->devices = NULL;
	l->nr = 0;
	*l->to = list;
	return 0;
}

static int
list_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct list_operation *l = (struct list_operation *)op;
	const struct vuc_shm_list_reply *r = &reply->list_reply;
	int rc;

	if (!l->greeted) {
		l->greeted = true;
		rc = vmm_hello_take(op->dev, reply, fds, &op->dev->info, err);
		return rc == 0 ? VMM_MORE : rc;
	}
	rc = reply_check(l, reply, fds, err);
	for (uint32_t i = 0; rc == 0 && i < r->nr; i++)
		rc = device_append(l, &r->devices[i], err);
	if (rc != 0)
		return rc;
	return r->more > 0 ? VMM_MORE : list_complete(l, err);
}

static void
devices_free(struct vuc_vmm_listed *const *devices, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		free(devices[i]);
}

static void
list_free(struct vmm_operation *op)
{
	struct list_operation *l = (struct list_operation *)op;

	devices_free(l->devices, l->nr);
	free(l->devices);
}

static const struct vmm_operation_ops list_ops = {
	.ask = list_ask,
	.take = list_take,
	.refused = vmm_attach_refused,
	.free = list_free,
};

static struct list_operation *
list_prepare(const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_list **list, int *rc,
	struct vuc_error *err)
{
	struct list_operation *l;
	struct vuc_vmm_device *dev;

	if (list == NULL) {
		*rc = vuc_error_set(err, -EINVAL, "list is NULL");
		return NULL;
	}
	*list = NULL;
	dev = vmm_device_prepare(opts, false, rc, err);
	if (dev == NULL)
		return NULL;
	l = vmm_operation_create(dev, &list_ops, sizeof(*l), err);
	if (l != NULL) {
		l->to = list;
		l->op.waits = true;
		return l;
	}
	*rc = -ENOMEM;
	vmm_device_free(dev);
	return NULL;
}

VUC_EXPORT int
vuc_vmm_list_start(const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev,
	struct vuc_vmm_list **list, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	const struct vmm_completion completion = {done, arg};
	struct list_operation *l;
	int rc;

	if (dev == NULL)
		return vuc_error_set(err, -EINVAL, "dev is NULL");
	*dev = NULL;
	if (done == NULL)
		return vuc_error_set(err, -EINVAL, "no completion callback");
	l = list_prepare(opts, list, &rc, err);
	if (l == NULL)
		return rc;
	*dev = l->op.dev;
	pthread_mutex_lock(&(*dev)->lock);
	vmm_operation_start(&l->op, &completion);
	pthread_mutex_unlock(&(*dev)->lock);
	return 0;
}

VUC_EXPORT int
vuc_vmm_list(
	const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_list **list, struct vuc_error *err)
{
	struct vuc_vmm_device *dev;
	int rc;
	struct list_operation *l = list_prepare(opts, list, &rc, err);

	if (l == NULL)
		return rc;
	dev = l->op.dev;
	pthread_mutex_lock(&dev->lock);
	rc = vmm_operation_wait(&l->op, err);
	pthread_mutex_unlock(&dev->lock);
	vmm_device_free(dev);
	return rc;
}

VUC_EXPORT void
vuc_vmm_list_free(struct vuc_vmm_list *list)
{
	struct vuc_vmm_listed *const *devices;

	if (list == NULL)
		return;
	devices = (struct vuc_vmm_listed *const *)list->devices;
	devices_free(devices, list->nr);
	free((void *)(uintptr_t)devices);
	free(list);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* Devices that are offered: added, removed, taken away. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vuc/export.h>

#include "clock.h"
#include "control.h"
#include "error.h"
#include "source.h"
#include "thread.h"
#include "vmm.h"
#include "watch.h"

VUC_EXPORT void
vuc_control_device_opts_init(struct vuc_control_device_opts *opts)
{
	*opts = (struct vuc_control_device_opts){
		.reset = VUC_CONTROL_RESET_ON,
		.retry_min_ms = 100,
		.retry_max_ms = 5000,
	};
	vuc_device_opts_init(&opts->device);
	/* What servers tell of ioeventfds takes as many. */
	opts->device.max_msg_fds = VUC_MAX_MSG_FDS;
}

static bool
is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = name != NULL ? strlen(name) : 0;

	return len > 0 && len < VUC_CONTROL_NAME_SIZE && strspn(name, allowed) == len;
}

static int
check_opts(const struct vuc_control_device_opts *o, struct vuc_error *err)
{
	if (!is_name(o->name))
		return vuc_error_set(err, -EINVAL,
			"a device's name has 1 to %d letters, digits and \"._-\", and is not %s",
			VUC_CONTROL_NAME_SIZE - 1, o->name != NULL ? o->name : "NULL");
	if (o->poller == NULL)
		return vuc_error_set(err, -EINVAL, "device %s has no poller", o->name);
	if (o->device.fd >= 0)
		return vuc_error_set(err, -EINVAL,
			"device %s: a descriptor cannot be connected to again", o->name);
	if (o->device.path != NULL &&
		strlen(o->device.path) >= sizeof(((struct control_device *)NULL)->path))
		return vuc_error_set(
			err, -EINVAL, "device %s: the path of the socket is too long", o->name);
	if (o->reset > VUC_CONTROL_RESET_NEVER)
		return vuc_error_set(
			err, -EINVAL, "device %s: unknown reset %d", o->name, (int)o->reset);
	if (o->retry_min_ms == 0 || o->retry_min_ms > o->retry_max_ms ||
		o->retry_max_ms > INT32_MAX)
		return vuc_error_set(err, -EINVAL, "device %s: retries between %u and %u ms",
			o->name, o->retry_min_ms, o->retry_max_ms);
	return device_check_opts(&o->device, err);
}

static void
free_device(struct control_device *d)
{
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	control_permission_fini(&d->permission);
	vuc_poller_close_account(d->poller, d->account);
	free(d);
}

static struct control_device *
alloc_device(struct vuc_control *c, const struct vuc_control_device_opts *opts)
{
	struct control_device *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->control = c;
	d->poller = opts->poller;
	d->reset = opts->reset;
	d->retry_min_ms = opts->retry_min_ms;
	d->retry_max_ms = opts->retry_max_ms;
	snprintf(d->name, sizeof(d->name), "%s", opts->name);
	d->opts = opts->device;
	d->opts.group = NULL;
	d->opts.transport = NULL;
	if (opts->device.path != NULL) {
		snprintf(d->path, sizeof(d->path), "%s", opts->device.path);
		d->opts.path = d->path;
	}
	vuc_error_set(&d->reason, 0, "not connected to yet");
	d->since_ms = vuc_clock_ms();
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->account = vuc_poller_open_account(d->poller, d->name);
	if (d->account != NULL && d->wake_fd >= 0 &&
		control_permission_init(&d->permission, opts) == 0)
		return d;
	free_device(d);
	return NULL;
}

/* Those that are being removed as well: their names are not free yet. */
static bool
name_is_taken(struct vuc_control *c, const char *name)
{
	const struct control_device *d;

	TAILQ_FOREACH (d, &c->devices, entry) {
		if (strcmp(d->name, name) == 0)
			return true;
	}
	return false;
}

struct control_device *
control_find(struct vuc_control *c, const char *name)
{
	struct control_device *d;

	TAILQ_FOREACH (d, &c->devices, entry) {
		if (!d->removing && strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

/* With the lock held, until it has been tried to connect; or never will be, since it is being
 * removed or the control plane ends. */
static void
await(struct control_device *d)
{
	struct vuc_control *c = d->control;

	d->waiting++;
	while (!d->tried && !d->removing && !c->stop)
		pthread_cond_wait(&c->changed, &c->lock);
	d->waiting--;
	pthread_cond_broadcast(&c->changed);
}

/* With the lock held. */
static int
start(struct control_device *d, struct vuc_error *err)
{
	struct vuc_control *c = d->control;
	int rc;

	if (name_is_taken(c, d->name))
		return vuc_error_set(err, -EEXIST, "there is a device %s", d->name);
	rc = vuc_thread_create(&d->keeper, THREAD_STACK, control_keep, d);
	if (rc != 0)
		return vuc_error_set(err, rc, "device %s: no thread: %s", d->name, strerror(-rc));
	TAILQ_INSERT_TAIL(&c->devices, d, entry);
	return 0;
}

VUC_EXPORT int
vuc_control_add_device(
	struct vuc_control *c, const struct vuc_control_device_opts *opts, struct vuc_error *err)
{
	struct control_device *d;
	int rc = check_opts(opts, err);

	if (rc != 0)
		return rc;
	d = alloc_device(c, opts);
	if (d == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for device %s", opts->name);
	pthread_mutex_lock(&c->lock);
	rc = start(d, err);
	if (rc == 0 && !opts->in_background)
		await(d);
	pthread_mutex_unlock(&c->lock);
	if (rc != 0)
		free_device(d);
	return rc;
}

VUC_EXPORT int
vuc_control_await_device(struct vuc_control *c, const char *name, struct vuc_error *err)
{
	struct control_device *d;
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	d = control_find(c, name);
	if (d != NULL)
		await(d);
	else
		rc = vuc_error_set(err, -ENOENT, "there is no device %.64s", name);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static bool
has_vmm(const struct control_device *d)
{
	return d->vmm != NULL && !d->cleaning;
}

/* With the lock held: let its VMM leave. */
static void
take_away(struct control_device *d)
{
	vmm_tell(d->vmm, VUC_SHM_REMOVED, d->generation);
	vmm_leave(d->vmm, vuc_clock_ms() + LEAVE_GRACE_MS, "the device was taken away from it");
}

void
control_stop_keeper(struct control_device *d)
{
	atomic_store_explicit(&d->stop, true, memory_order_release);
	control_wake(d->wake_fd);
}

static void
close_down(struct control_device *d)
{
	control_stop_keeper(d);
	pthread_join(d->keeper, NULL);
	if (d->link != NULL)
		control_link_close(d->link);
	control_log(&d->control->log, VUC_LOG_NOTICE, "%s: removed", d->name);
}

/* With the lock held, but for the time in which it waits. */
static void
remove_device(struct control_device *d)
{
	struct vuc_control *c = d->control;

	d->removing = true;
	pthread_cond_broadcast(&c->changed);
	if (has_vmm(d))
		take_away(d);
	while (d->vmm != NULL || d->waiting > 0)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
	close_down(d);
	pthread_mutex_lock(&c->lock);
	TAILQ_REMOVE(&c->devices, d, entry);
	free_device(d);
}

VUC_EXPORT int
vuc_control_remove_device(
	struct vuc_control *c, const char *name, bool force, struct vuc_error *err)
{
	struct control_device *d;
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	d = control_find(c, name);
	if (d == NULL)
		rc = vuc_error_set(err, -ENOENT, "there is no device %.64s", name);
	else if (has_vmm(d) && !force)
		rc = vuc_error_set(err, -EBUSY, "VMM %s (pid %d) has device %s", d->vmm->name,
			(int)d->vmm->user.pid, name);
	else
		remove_device(d);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

void
control_remove_all(struct vuc_control *c)
{
	struct control_device *d;

	pthread_mutex_lock(&c->lock);
	while ((d = TAILQ_FIRST(&c->devices)) != NULL)
		remove_device(d);
	pthread_mutex_unlock(&c->lock);
}

/* With the lock held, but for the time in which it waits. */
static void
detach(struct control_device *d)
{
	struct vuc_control *c = d->control;
	uint64_t which = d->attaches;

	take_away(d);
	d->waiting++;
	while (d->vmm != NULL && d->attaches == which)
		pthread_cond_wait(&c->changed, &c->lock);
	d->waiting--;
	pthread_cond_broadcast(&c->changed);
}

VUC_EXPORT int
vuc_control_detach(struct vuc_control *c, const char *name, struct vuc_error *err)
{
	struct control_device *d;
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	d = control_find(c, name);
	if (d == NULL)
		rc = vuc_error_set(err, -ENOENT, "there is no device %.64s", name);
	else if (!has_vmm(d))
		rc = vuc_error_set(err, -ENOTCONN, "no VMM has device %s", name);
	else
		detach(d);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

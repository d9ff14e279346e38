/* SPDX-License-Identifier: BSD-3-Clause */

/* ATTACH and DETACH: having a device, and not any more. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "error.h"
#include "outage.h"
#include "source.h"
#include "vmm.h"
#include "watch.h"

/* Bytes that all VMMs together may have mapped here. A file of any size costs nothing, so a single
 * VMM could use up the address space that threads and all other VMMs need, too. */
#define ADDRESS_SPACE (UINT64_C(1) << 46)

/* Mappings of one VMM that are mapped here though the server has them, too: few servers ask for
 * them by message, and the kernel has a limit for all VMMs. */
#define SHARED_MAPS 256u

/* With the lock held: whether this VMM may have it now. */
static int
attach_check_device(
	struct control_vmm *v, const char *name, struct control_device *d, struct vuc_error *err)
{
	if (d == NULL)
		return vuc_error_set(err, -ENOENT, "there is no device %s", name);
	if (!control_may(&d->permission, &v->user))
		return vuc_error_set(err, -EACCES, "user %u may not use device %s",
			(unsigned int)v->user.uid, name);
	if (d->cleaning)
		return vuc_error_set(err, -EBUSY,
			"device %s is still being cleaned up after its last VMM", name);
	if (d->vmm != NULL)
		return vuc_error_set(err, -EBUSY, "device %s is in use by VMM %s (pid %d)%s", name,
			d->vmm->name, (int)d->vmm->user.pid,
			d->link == NULL ? ", and its server is away" : "");
	if (!d->tried)
		return vuc_error_set(
			err, -ENOTCONN, "device %s is still connecting to its server", name);
	if (d->link == NULL && (v->exported[0] == '\0' || d->learned == NULL))
		return vuc_error_set(err, -ENOTCONN,
			"the server of device %s is away: %.130s (for %llu s)", name,
			d->reason.text, (unsigned long long)(vuc_clock_ms() - d->since_ms) / 1000);
	return 0;
}

/* With the lock held, under which a device's VMM has its socket. */
static bool
vmm_has_hung_up(const struct control_vmm *v)
{
	struct pollfd pfd = {.fd = v->fd, .events = POLLRDHUP};

	return poll(&pfd, 1, 0) == 1;
}

/* With the lock held: whether it may soon be had: its server is being connected to, for the first
 * time or after the last VMM, or that has gone and it was not seen yet. */
static bool
device_is_coming(const struct control_device *d)
{
	if (d == NULL || d->control->stop)
		return false;
	return d->cleaning || !d->tried || (d->vmm != NULL && vmm_has_hung_up(d->vmm));
}

/* With the lock held, but for the time in which it waits: for `changed`. Returns false when the
 * time is over. */
static bool
control_wait_for_change(struct vuc_control *c, uint64_t end_ms)
{
	const struct timespec end = {
		.tv_sec = (time_t)(end_ms / 1000),
		.tv_nsec = (long)(end_ms % 1000) * 1000000,
	};

	return pthread_cond_timedwait(&c->changed, &c->lock, &end) != ETIMEDOUT;
}

/* With the lock held: whether the server is away, but its device is known. */
static void
claim_learned(struct control_vmm *v, struct control_device *d)
{
	v->link = d->learned;
	d->learned = NULL;
	v->told = VUC_SHM_LOST;
}

int
vmm_claim_device(struct control_vmm *v, const char *name, uint64_t end_ms, struct vuc_error *err)
{
	struct vuc_control *c = v->control;
	struct control_device *d;
	int rc;

	pthread_mutex_lock(&c->lock);
	do {
		d = control_find(c, name);
		rc = attach_check_device(v, name, d, err);
	} while (rc != 0 && device_is_coming(d) && v->leave_ms == 0 &&
		control_wait_for_change(c, end_ms));
	if (rc == 0) {
		d->vmm = v;
		d->attaches++;
		v->device = d;
		v->link = d->link;
		v->told = d->silent_ms != 0 ? VUC_SHM_SILENT : VUC_SHM_ATTACHED;
		if (v->link == NULL)
			claim_learned(v, d);
		/* If it is lost from now on, it is restored. */
		atomic_store_explicit(&v->link->recorded,
			atomic_load_explicit(&v->link->learned, memory_order_relaxed),
			memory_order_relaxed);
		v->attached_ms = vuc_clock_ms();
		d->since_ms = v->attached_ms;
		d->dropped = control_count_dropped(d);
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static int
attach_create_fds(struct control_vmm *v)
{
	v->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return v->kick_fd >= 0 && v->event_fd >= 0 ? 0 : -errno;
}

int
vmm_prepare_device(struct control_vmm *v)
{
	const struct vuc_control_opts *opts = &v->control->opts;
	const bool shared = v->device->opts.dma == VUC_DMA_SHARED;
	const struct dma_maps_opts maps = {
		.max = shared && opts->max_dma_maps > SHARED_MAPS ? SHARED_MAPS
								  : opts->max_dma_maps,
		.max_bytes = ADDRESS_SPACE / opts->max_vmms,
		.budget = opts->max_dma_message,
		.wake_fd = v->wake_fd,
	};

	v->irqs = calloc(vuc_device_info(v->link->dev)->num_irqs + 1u, sizeof(*v->irqs));
	return v->irqs != NULL ? dma_maps_init(&v->maps, &maps) : -ENOMEM;
}

static int
attach_create_memory(struct control_vmm *v)
{
	int node = vuc_poller_node(v->device->poller);
	int rc = memory_create(
		&v->state_memory, memory_pages(sizeof(struct vuc_shm_state)), MEMORY_OURS, node);

	if (rc == 0)
		rc = memory_create(
			&v->bell, memory_pages(sizeof(struct vuc_shm_bell)), MEMORY_BOTH, node);
	return rc;
}

static int
attach_create(struct control_vmm *v, struct vuc_error *err)
{
	struct vuc_poller_remote_opts opts = {.dev = v->link->dev};
	int rc = attach_create_fds(v);

	if (rc == 0)
		rc = attach_create_memory(v);
	if (rc == 0)
		rc = vmm_prepare_device(v);
	if (rc != 0)
		return vuc_error_set(err, rc, "no memory to share: %s", strerror(-rc));
	opts.bell = v->bell.addr;
	opts.kick_fd = v->kick_fd;
	return vuc_poller_add_remote(v->device->poller, &opts, &v->remote, err);
}

/* What has become of the device meanwhile is in it, too. Returns its generation. */
static uint64_t
attach_publish_state(struct control_vmm *v)
{
	struct vuc_control *c = v->control;
	uint64_t generation;

	pthread_mutex_lock(&c->lock);
	v->page = v->state_memory.addr;
	generation = v->link->generation;
	state_page_set(v->page, v->told, generation);
	pthread_mutex_unlock(&c->lock);
	return generation;
}

/* Most bytes of a request of a queue. */
static uint32_t
attach_max_data(const struct vuc_device *dev)
{
	uint32_t max = vuc_device_access_max(dev) / VUC_SHM_SLOT_SIZE * VUC_SHM_SLOT_SIZE;

	if (max < VUC_SHM_SLOT_SIZE)
		return VUC_SHM_SLOT_SIZE;
	return max < VUC_SHM_MAX_DATA ? max : VUC_SHM_MAX_DATA;
}

/* What VMMs may not use is not there. */
uint32_t
vmm_device_flags(const struct control_vmm *v)
{
	uint32_t flags = vuc_device_info(v->link->dev)->flags;

	if (v->device->reset == VUC_CONTROL_RESET_NEVER)
		flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_RESET;
	return flags;
}

static int
attach_reply(struct control_vmm *v, uint64_t generation)
{
	const struct vuc_device_info *info = vuc_device_info(v->link->dev);
	const struct vuc_device_version *version = vuc_device_version(v->link->dev);
	uint32_t max_maps = v->control->opts.max_dma_maps;
	struct vuc_shm_attach_reply r = {
		.generation = generation,
		.pgsizes = version->pgsizes,
		.flags = v->device->opts.dma == VUC_DMA_MESSAGE ? VUC_SHM_DMA_MESSAGE : 0,
		.device_flags = vmm_device_flags(v),
		.num_regions = info->num_regions,
		.num_irqs = info->num_irqs,
		.max_dma_maps = version->max_dma_maps < max_maps ? version->max_dma_maps : max_maps,
		.max_data = v->max_data,
	};
	const int fds[VUC_SHM_ATTACH_FDS] = {
		[VUC_SHM_FD_STATE] = v->state_memory.fd,
		[VUC_SHM_FD_BELL] = v->bell.fd,
		[VUC_SHM_FD_POLLER] = vuc_poller_sleeps_fd(v->device->poller),
		[VUC_SHM_FD_KICK] = v->kick_fd,
		[VUC_SHM_FD_EVENT] = v->event_fd,
	};

	return vmm_reply(v, &r.header, sizeof(r), fds, VUC_SHM_ATTACH_FDS);
}

int
vmm_attach(struct control_vmm *v)
{
	const char *name = v->packet.attach.name;
	struct vuc_error err = {0};
	uint64_t generation;
	int rc;

	if (memchr(name, '\0', VUC_SHM_NAME_SIZE) == NULL)
		return vmm_end(v, "unterminated name");
	/* The answer must come before the handshake times out. */
	rc = vmm_claim_device(
		v, name, vuc_clock_ms() + v->control->opts.handshake_timeout_ms / 2, &err);
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	rc = attach_create(v, &err);
	if (rc != 0) {
		vmm_release(v);
		return vmm_refuse(v, rc, "%s", err.text);
	}
	v->max_data = attach_max_data(v->link->dev);
	vmm_start_record(v);
	v->state = VMM_ATTACHED;
	generation = attach_publish_state(v);
	vmm_log(v, VUC_LOG_NOTICE, "attached");
	rc = attach_reply(v, generation);
	memory_close(&v->state_memory);
	memory_close(&v->bell);
	return rc;
}

int
vmm_detach(struct control_vmm *v)
{
	struct vuc_shm_plain r = {0};

	vmm_log(v, VUC_LOG_NOTICE, "detaches");
	vmm_release(v);
	v->state = VMM_DETACHED;
	return vmm_reply(v, &r.header, sizeof(r), NULL, 0);
}

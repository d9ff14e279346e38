/* SPDX-License-Identifier: BSD-3-Clause */

/* DMA: memory of the VMM for the device. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vuc/dma.h>

#include "error.h"
#include "fds.h"
#include "memfd.h"
#include "source.h"
#include "vmm.h"

#define KNOWN_FLAGS (VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE)

_Static_assert((unsigned int)VUC_SHM_DMA_READ == VUC_DMA_READ &&
		(unsigned int)VUC_SHM_DMA_WRITE == VUC_DMA_WRITE,
	"flags are given on as they are");

/* A request, on its way through. */
struct batch {
	struct control_vmm *v;
	const struct vuc_shm_dma *request;
	const int *fds; /* of its entries */
	bool shared;
	void *addrs[VUC_SHM_MAX_DMA]; /* where entries were mapped */
	uint32_t nr;                  /* entries that can be taken; then the refused one follows */
	uint32_t taken;
	int *statuses; /* of each entry, none of which depends on another one; NULL: those behind
			  one that was refused are refused, too */
	bool committed;
	bool lost;            /* the connection has ended */
	int status;           /* of an entry that was refused */
	struct vuc_error err; /* why */
	size_t mappings;
	struct held_files held;
	vuc_done_fn done; /* of the commit */
	void *done_arg;
};

void
vmm_hold_files(const struct vuc_device *dev, struct held_files *held)
{
	held->nr = vuc_dma_hold_files(dev, held->fds, VMM_MAX_FILES);
}

void
vmm_close_files(struct held_files *held)
{
	vuc_fds_close(held->fds, held->nr);
	held->nr = 0;
}

static int
dma_check_unused(struct control_vmm *v, uint32_t i, const struct vuc_shm_dma_entry *e)
{
	uint32_t known = e->op == VUC_SHM_DMA_UNMAP ? VUC_SHM_DMA_IF_MAPPED : 0;

	if ((e->flags & ~known) != 0 || e->offset != 0 || e->fd_index != -1)
		return vmm_end(v,
			"entry %u: flags 0x%x, offset 0x%" PRIx64 ", fd_index %d of an "
			"unmapping",
			i, e->flags, e->offset, e->fd_index);
	if (e->op == VUC_SHM_DMA_UNMAP_ALL && (e->iova != 0 || e->size != 0))
		return vmm_end(v, "entry %u: a range of UNMAP_ALL", i);
	return 0;
}

static int
dma_check_entry(struct control_vmm *v, uint32_t i, uint32_t *used)
{
	const struct vuc_shm_dma_entry *e = &v->packet.dma.entries[i];

	if (e->reserved != 0 || e->pad != 0)
		return vmm_end(v, "entry %u: a reserved field is not 0", i);
	if (e->op == VUC_SHM_DMA_UNMAP || e->op == VUC_SHM_DMA_UNMAP_ALL)
		return dma_check_unused(v, i, e);
	if (e->op != VUC_SHM_DMA_MAP)
		return vmm_end(v, "entry %u: unknown op %u", i, e->op);
	if ((e->flags & ~KNOWN_FLAGS) != 0)
		return vmm_end(v, "entry %u: unknown flags 0x%x", i, e->flags);
	if (e->fd_index < 0 || (uint32_t)e->fd_index >= v->packet.nr_fds)
		return vmm_end(v, "entry %u: fd_index %d of %u", i, e->fd_index, v->packet.nr_fds);
	*used |= 1u << e->fd_index;
	return 0;
}

static int
dma_check_packet(struct control_vmm *v)
{
	const struct packet *p = &v->packet;
	const struct vuc_shm_dma *r = &p->dma;
	uint32_t used = 0;
	int rc = 0;

	if (r->nr > VUC_SHM_MAX_DMA || p->len != sizeof(*r) + r->nr * sizeof(r->entries[0]))
		return vmm_end(v, "%u entries in %zu bytes", r->nr, p->len);
	if (r->nr_fds != p->nr_fds)
		return vmm_end(v, "nr_fds %u, received %u descriptors", r->nr_fds, p->nr_fds);
	if ((r->flags & ~VUC_SHM_DMA_COMMIT) != 0 || r->reserved != 0)
		return vmm_end(v, "flags 0x%x, reserved 0x%x", r->flags, r->reserved);
	for (uint32_t i = 0; rc == 0 && i < r->nr; i++)
		rc = dma_check_entry(v, i, &used);
	if (rc == 0 && used != (1u << p->nr_fds) - 1)
		return vmm_end(v, "%u descriptors, but those used are 0x%x", p->nr_fds, used);
	return rc;
}

/* Returns whether the entries behind a refused one are carried out. */
static bool
batch_refuse(struct batch *b, uint32_t i, int status)
{
	b->status = status;
	if (b->statuses != NULL)
		b->statuses[i] = status;
	return b->statuses != NULL;
}

static int
dma_refuse(struct batch *b, const struct vuc_shm_dma_entry *e, int status, const char *why)
{
	return vuc_error_set(&b->err, status, "DMA memory 0x%" PRIx64 " + 0x%" PRIx64 ": %s",
		e->iova, e->size, why);
}

/*
 * Memory, and nothing else: only that of memfd, tmpfs and hugetlbfs knows seals. A file of any
 * other file system may be slow, or be served by the VMM itself (FUSE), and could block the daemon
 * for ever; even asking for its size could.
 */
static int
dma_check_seals(struct batch *b, const struct vuc_shm_dma_entry *e, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return dma_refuse(
			b, e, -EINVAL, "the file is not memory (memfd, tmpfs or hugetlbfs)");
	if (b->shared || (seals & (F_SEAL_SHRINK | F_SEAL_SEAL)) != 0)
		return 0;
	return dma_refuse(b, e, -EPERM,
		"the memory could shrink: seal it with fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)");
}

static int
dma_check_memory(struct batch *b, const struct vuc_shm_dma_entry *e, int fd)
{
	struct stat st;
	uint64_t end;
	int rc = dma_check_seals(b, e, fd);

	if (rc != 0)
		return rc;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return dma_refuse(b, e, -EINVAL, "not a file");
	if (__builtin_add_overflow(e->offset, e->size, &end) || st.st_size < 0 ||
		end > (uint64_t)st.st_size)
		return dma_refuse(b, e, -EINVAL, "beyond the end of the file");
	return 0;
}

/* A stock VMM gets its answers in time. */
static void
dma_look_around(void *arg)
{
	struct control_vmm *v = arg;

	if (v->while_waiting != NULL)
		v->while_waiting(v);
}

static int
dma_prepare_mapping(struct batch *b, uint32_t i)
{
	const struct vuc_shm_dma_entry *e = &b->request->entries[i];
	int fd = b->fds[e->fd_index];
	int rc = dma_check_memory(b, e, fd);

	b->addrs[i] = NULL;
	if (rc != 0)
		return rc;
	if (e->size == 0)
		return dma_refuse(b, e, -EINVAL, "empty");
	rc = dma_maps_add(&b->v->maps, e, fd, vuc_memfd_page_size(fd), &b->addrs[i]);
	/* The server has the file; it need not ask for what is in it. */
	if (b->shared)
		return 0;
	if (rc == 0)
		dma_maps_populate(&b->v->maps, e, fd, dma_look_around, b->v);
	if (rc == -EDQUOT)
		return dma_refuse(b, e, rc, "exceeds max-dma-message-mb");
	if (rc == -ENOSPC)
		return dma_refuse(b, e, rc, "too many mappings");
	if (rc == -EFBIG)
		return dma_refuse(b, e, rc, "exceeds what one VMM may have mapped in the daemon");
	return rc != 0 ? dma_refuse(b, e, rc, strerror(-rc)) : 0;
}

/* What can be done without the device. */
static void
dma_prepare(struct batch *b)
{
	for (; b->nr < b->request->nr; b->nr++) {
		int rc = 0;

		if (b->request->entries[b->nr].op == VUC_SHM_DMA_MAP)
			rc = dma_prepare_mapping(b, b->nr);
		if (rc != 0 && !batch_refuse(b, b->nr, rc))
			return;
	}
}

static int
batch_map(struct vuc_device *dev, struct batch *b, uint32_t i)
{
	const struct vuc_shm_dma_entry *e = &b->request->entries[i];
	struct vuc_dma_mapping mapping = {
		.iova = e->iova,
		.size = e->size,
		.flags = e->flags,
		.fd = -1,
		.addr = b->addrs[i],
	};
	int rc;

	if (vuc_dma_count(dev) >= b->v->control->opts.max_dma_maps)
		return dma_refuse(b, e, -ENOSPC, "too many mappings");
	if (b->shared) {
		mapping.fd = b->fds[e->fd_index];
		mapping.offset = e->offset;
	}
	rc = vuc_dma_map(dev, &mapping);
	if (rc != 0)
		return vuc_error_set(&b->err, rc, "%s", vuc_device_reason(dev));
	if (vuc_dma_files(dev) > VMM_MAX_FILES) {
		/* It was only queued, so it is forgotten. */
		vuc_dma_unmap(dev, e->iova, e->size);
		return dma_refuse(b, e, -ENOSPC, "too many files behind the mappings of one VMM");
	}
	return 0;
}

static int
batch_take(struct vuc_device *dev, struct batch *b, uint32_t i)
{
	const struct vuc_shm_dma_entry *e = &b->request->entries[i];
	int rc;

	if (e->op == VUC_SHM_DMA_MAP)
		return batch_map(dev, b, i);
	rc = e->op == VUC_SHM_DMA_UNMAP ? vuc_dma_unmap(dev, e->iova, e->size)
					: vuc_dma_unmap_all(dev);
	if (rc == -ENOENT && (e->flags & VUC_SHM_DMA_IF_MAPPED) != 0)
		return 0;
	return rc != 0 ? vuc_error_set(&b->err, rc, "%s", vuc_device_reason(dev)) : 0;
}

/* Whether the server has carried out an entry of a commit that has failed. */
static bool
batch_entry_is_done(const struct vuc_device *dev, const struct batch *b, uint32_t i)
{
	const struct vuc_shm_dma_entry *e = &b->request->entries[i];

	if (e->op == VUC_SHM_DMA_MAP)
		return vuc_dma_holds(dev, e->iova, b->addrs[i]);
	if (e->op == VUC_SHM_DMA_UNMAP)
		return !vuc_dma_overlaps(dev, e->iova, e->size);
	return vuc_dma_count(dev) == 0;
}

/* A commit has one error, which counts for each entry that the server has refused. */
static void
batch_fail(const struct vuc_device *dev, struct batch *b, int status, const char *why)
{
	if (b->statuses == NULL && b->status != 0)
		return;
	b->status = vuc_error_set(&b->err, status, "%s", why);
	for (uint32_t i = 0; b->statuses != NULL && i < b->taken; i++) {
		if (b->statuses[i] == 0 && !batch_entry_is_done(dev, b, i))
			b->statuses[i] = status;
	}
}

static void
look_at_device(const struct vuc_device *dev, struct batch *b)
{
	b->mappings = vuc_dma_count(dev);
	b->lost = vmm_device_is_lost(dev);
}

/* A vuc_done_fn. */
static void
batch_committed(void *arg, int status, const struct vuc_error *err)
{
	static const struct vuc_error none = {0};
	struct batch *b = arg;

	b->committed = status == 0;
	if (status != 0)
		batch_fail(b->v->link->dev, b, status, err->text);
	look_at_device(b->v->link->dev, b);
	b->done(b->done_arg, 0, &none);
}

static void
batch_take_entries(struct vuc_device *dev, struct batch *b)
{
	for (; b->taken < b->nr; b->taken++) {
		int rc;

		if (b->statuses != NULL && b->statuses[b->taken] != 0)
			continue;
		rc = batch_take(dev, b, b->taken);
		if (rc != 0 && !batch_refuse(b, b->taken, rc))
			return;
	}
}

/* A control_start_fn. All that came so far is committed, also behind an entry that was refused. */
static int
batch_apply(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct batch *b = arg;
	int rc = OPERATION_DONE;

	vmm_hold_files(dev, &b->held);
	vuc_dma_set_revoked(dev, guard_broken(b->v->maps.guard));
	vuc_dma_set_apart(dev, b->v->stock != NULL);
	batch_take_entries(dev, b);
	b->done = done;
	b->done_arg = done_arg;
	if ((b->request->flags & VUC_SHM_DMA_COMMIT) != 0)
		rc = vuc_dma_commit_start(dev, batch_committed, b);
	if (rc < 0)
		batch_fail(dev, b, rc, vuc_device_reason(dev));
	look_at_device(dev, b);
	return rc == 0 ? 0 : OPERATION_DONE;
}

/* On the poller's thread. */
static int
dma_find_unused(struct vuc_device *dev, void *arg)
{
	struct batch *b = arg;

	dma_maps_find_unused(&b->v->maps, dev);
	return 0;
}

/* What the device has been told, in the order in which it was; those that came behind the entry
 * that was refused are taken back. before: mappings that there were. */
static void
dma_follow(struct batch *b, size_t before)
{
	struct dma_maps *maps = &b->v->maps;
	size_t nr = before;

	for (uint32_t i = 0; i < b->taken; i++) {
		const struct vuc_shm_dma_entry *e = &b->request->entries[i];

		if (e->op == VUC_SHM_DMA_MAP)
			nr += b->addrs[i] != NULL;
		else if (e->op == VUC_SHM_DMA_UNMAP)
			dma_maps_leave(maps, nr, e->iova, e->size);
		else
			dma_maps_leave(maps, nr, 0, UINT64_MAX);
	}
	dma_maps_undo(maps, nr);
}

/* Memory that the device may still access stays mapped. What was refused between others is found
 * by a look at the device. */
static void
dma_keep_maps(struct batch *b, size_t before)
{
	dma_follow(b, before);
	if ((b->request->flags & VUC_SHM_DMA_COMMIT) == 0)
		return;
	if (!b->committed || (b->statuses != NULL && b->status != 0))
		vmm_call(b->v, dma_find_unused, b, NULL);
	dma_maps_sweep(&b->v->maps);
}

int
vmm_apply_dma(struct control_vmm *v, const struct vuc_shm_dma *request, const int *fds,
	int *statuses, struct vuc_error *err)
{
	struct batch b = {
		.v = v,
		.request = request,
		.fds = fds,
		.statuses = statuses,
		.shared = v->device->opts.dma == VUC_DMA_SHARED,
	};
	size_t before = v->maps.nr;

	dma_prepare(&b);
	vmm_operate(v, batch_apply, &b, NULL);
	vmm_close_files(&b.held);
	dma_keep_maps(&b, before);
	atomic_store_explicit(&v->nr_dma_maps, (unsigned int)b.mappings, memory_order_relaxed);
	if (b.status != 0 && b.lost)
		vmm_error_lost(&b.err, b.status);
	*err = b.err;
	return b.status;
}

int
vmm_dma(struct control_vmm *v)
{
	struct vuc_shm_dma_reply reply = {0};
	struct vuc_error err;
	int rc = dma_check_packet(v);

	if (rc != 0)
		return rc;
	rc = vmm_apply_dma(v, &v->packet.dma, v->packet.fds, NULL, &err);
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	reply.mappings = atomic_load_explicit(&v->nr_dma_maps, memory_order_relaxed);
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}

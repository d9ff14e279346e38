/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "error.h"

#define ERRNO_MAX 4095

static const char *
name_of(unsigned int type)
{
	static const char *const names[] = {
		[VUC_SHM_HELLO] = "HELLO",
		[VUC_SHM_ATTACH] = "ATTACH",
		[VUC_SHM_REGION_INFO] = "REGION_INFO",
		[VUC_SHM_IRQ_INFO] = "IRQ_INFO",
		[VUC_SHM_OPEN_QUEUE] = "OPEN_QUEUE",
		[VUC_SHM_CLOSE_QUEUE] = "CLOSE_QUEUE",
		[VUC_SHM_DMA] = "DMA",
		[VUC_SHM_SET_IRQS] = "SET_IRQS",
		[VUC_SHM_IO_FDS] = "IO_FDS",
		[VUC_SHM_RESET] = "RESET",
		[VUC_SHM_DETACH] = "DETACH",
	};

	return names[type];
}

static int
header_wrong(struct vuc_vmm_device *dev, unsigned int type, struct vuc_error *err,
	const char *field, int64_t seen, int64_t wanted)
{
	return vmm_link_end(&dev->link, err, -EPROTO,
		"the daemon's reply to %s: %s %" PRId64 " instead of %" PRId64, name_of(type),
		field, seen, wanted);
}

int
vmm_reply_wrong(struct vuc_vmm_device *dev, const union vmm_packet *reply, struct vuc_error *err,
	const char *field, uint64_t value)
{
	return vmm_link_end(&dev->link, err, -EPROTO,
		"the daemon's reply to %s: %s cannot be %" PRIu64, name_of(reply->header.type),
		field, value);
}

/* The daemon has hung up; its last words may be in the state page. */
static int
daemon_gone(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	static const char text[] = "the daemon has ended the connection";
	uint32_t state = dev->pages.state != NULL ? vmm_state_now(&dev->pages) : 0;

	if (state == VUC_SHM_REMOVED)
		return vmm_link_end(
			&dev->link, err, -ECONNRESET, "%s: the device was taken away", text);
	if (state == VUC_SHM_STOPPING)
		return vmm_link_end(&dev->link, err, -ECONNRESET, "%s: it stops", text);
	return vmm_link_end(&dev->link, err, -ECONNRESET, "%s", text);
}

/* What receiving has said instead of a size. */
static int
not_received(struct vuc_vmm_device *dev, unsigned int type, int rc, struct vuc_error *err)
{
	switch (rc) {
	case -EPIPE:
		return daemon_gone(dev, err);
	case -ETIMEDOUT:
		return vmm_link_end(&dev->link, err, rc,
			"no reply of the daemon to %s within %" PRIu32 " ms", name_of(type),
			dev->link.timeout_ms);
	case -EMSGSIZE:
		return vmm_link_end(&dev->link, err, -EPROTO,
			"the daemon's reply to %s: more than %u bytes or %u descriptors",
			name_of(type), VUC_SHM_MAX_PACKET, VUC_SHM_MAX_FDS);
	default:
		return vmm_link_end(&dev->link, err, rc, "the daemon's reply to %s: %s",
			name_of(type), strerror(-rc));
	}
}

/* What sending has said; when it is this side's fault, the connection is as it was. */
static int
not_sent(struct vuc_vmm_device *dev, unsigned int type, int rc, struct vuc_error *err)
{
	if (rc == -EPIPE)
		return daemon_gone(dev, err);
	if (rc == -ETIMEDOUT)
		return vmm_link_end(&dev->link, err, rc,
			"the daemon did not take %s within %" PRIu32 " ms", name_of(type),
			dev->link.timeout_ms);
	return vuc_error_set(
		err, rc, "%s cannot be sent to the daemon: %s", name_of(type), strerror(-rc));
}

/* Returns the status, with the reason that the daemon gives. */
static int
request_refused(struct vuc_vmm_device *dev, unsigned int type,
	const struct vuc_shm_failure *failure, const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_header *h = &failure->header;

	if (h->status > 0 || h->status < -ERRNO_MAX)
		return header_wrong(dev, type, err, "status", h->status, 0);
	if (h->size != sizeof(*failure))
		return header_wrong(dev, type, err, "size", h->size, sizeof(*failure));
	if (fds->nr > 0 || fds->lost)
		return header_wrong(dev, type, err, "descriptors", fds->nr, 0);
	if (memchr(failure->reason, '\0', sizeof(failure->reason)) == NULL)
		return vmm_link_end(&dev->link, err, -EPROTO,
			"the daemon's reply to %s: a reason without an end", name_of(type));
	if (failure->reason[0] == '\0')
		return vuc_error_set(err, h->status, "the daemon has refused %s: %s", name_of(type),
			strerror(-h->status));
	return vuc_error_set(err, h->status, "%s", failure->reason);
}

static int
reply_check(struct vuc_vmm_device *dev, unsigned int type, const union vmm_packet *reply,
	size_t size, const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_header *h = &reply->header;

	if (size < sizeof(*h))
		return header_wrong(dev, type, err, "bytes", (int64_t)size, sizeof(*h));
	if (h->size != size)
		return header_wrong(dev, type, err, "size", h->size, (int64_t)size);
	if (h->type != type)
		return header_wrong(dev, type, err, "type", h->type, type);
	if (h->flags != VUC_SHM_REPLY)
		return header_wrong(dev, type, err, "flags", h->flags, VUC_SHM_REPLY);
	if (h->sequence != dev->link.sequence)
		return header_wrong(dev, type, err, "sequence", h->sequence, dev->link.sequence);
	return h->status == 0 ? 0 : request_refused(dev, type, &reply->failure, fds, err);
}

static int
reply_receive(struct vuc_vmm_device *dev, unsigned int type, union vmm_packet *reply,
	struct vmm_fds *fds, uint64_t deadline_ms, struct vuc_error *err)
{
	int rc = vmm_link_receive(&dev->link, reply, fds, deadline_ms);

	if (rc < 0)
		return not_received(dev, type, rc, err);
	rc = reply_check(dev, type, reply, (size_t)rc, fds, err);
	if (rc != 0)
		vmm_fds_close(fds);
	return rc;
}

int
vmm_ask_with(struct vuc_vmm_device *dev, enum vuc_shm_type type, union vmm_packet *packet,
	size_t size, struct vmm_fds *fds, struct vuc_error *err)
{
	struct vmm_link *link = &dev->link;
	uint64_t deadline_ms = vuc_clock_ms() + link->timeout_ms;
	int rc;

	packet->header = (struct vuc_shm_header){
		.type = (uint16_t)type,
		.size = (uint32_t)size,
		.sequence = link->sequence + 1,
	};
	if (link->ended)
		rc = vuc_error_set(err, -ECONNRESET, "%s", link->reason.text);
	else
		rc = vmm_link_send(link, packet, fds, deadline_ms);
	fds->nr = 0;
	if (link->ended)
		return rc;
	if (rc != 0)
		return not_sent(dev, type, rc, err);
	link->sequence++;
	return reply_receive(dev, type, packet, fds, deadline_ms, err);
}

int
vmm_reply_is(struct vuc_vmm_device *dev, const union vmm_packet *reply, size_t size,
	struct vmm_fds *fds, unsigned int nr_fds, struct vuc_error *err)
{
	unsigned int type = reply->header.type;
	int rc = 0;

	if (reply->header.size != size)
		rc = header_wrong(dev, type, err, "size", reply->header.size, (int64_t)size);
	else if (fds->lost)
		rc = vuc_error_set(err, -EMFILE,
			"the daemon's reply to %s: this process has too many open descriptors for "
			"those that came",
			name_of(type));
	else if (fds->nr != nr_fds)
		rc = header_wrong(dev, type, err, "descriptors", fds->nr, nr_fds);
	if (rc != 0)
		vmm_fds_close(fds);
	return rc;
}

int
vmm_ask(struct vuc_vmm_device *dev, enum vuc_shm_type type, union vmm_packet *packet, size_t size,
	size_t reply_size, struct vuc_error *err)
{
	struct vmm_fds fds = {.nr = 0};
	int rc = vmm_ask_with(dev, type, packet, size, &fds, err);

	return rc != 0 ? rc : vmm_reply_is(dev, packet, reply_size, &fds, 0, err);
}

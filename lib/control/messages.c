/* SPDX-License-Identifier: BSD-3-Clause */

/* What a VMM may say, and when. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/sockios.h>

#include "error.h"
#include "vmm.h"

#define ERRNO_MAX 4095

struct message {
	const char *name;
	size_t min; /* bytes */
	size_t max;
	unsigned int states;
	bool fds; /* descriptors may come; how many is for the handler to check */
	int (*handle)(struct control_vmm *v);
};

#define EXACTLY(type) sizeof(struct type), sizeof(struct type)

static const struct message messages[] = {
	[VUC_SHM_HELLO] = {"HELLO", EXACTLY(vuc_shm_hello), VMM_CONNECTED, false, vmm_hello},
	[VUC_SHM_ATTACH] = {"ATTACH", EXACTLY(vuc_shm_attach), VMM_GREETED, false, vmm_attach},
	[VUC_SHM_REGION_INFO] = {"REGION_INFO", EXACTLY(vuc_shm_index), VMM_ATTACHED, false,
		vmm_region_info},
	[VUC_SHM_IRQ_INFO] = {"IRQ_INFO", EXACTLY(vuc_shm_index), VMM_ATTACHED, false,
		vmm_irq_info},
	[VUC_SHM_OPEN_QUEUE] = {"OPEN_QUEUE", EXACTLY(vuc_shm_open_queue), VMM_ATTACHED, false,
		vmm_open_queue},
	[VUC_SHM_CLOSE_QUEUE] = {"CLOSE_QUEUE", EXACTLY(vuc_shm_index), VMM_ATTACHED, false,
		vmm_close_queue},
	[VUC_SHM_DMA] = {"DMA", sizeof(struct vuc_shm_dma),
		sizeof(struct vuc_shm_dma) + VUC_SHM_MAX_DMA * sizeof(struct vuc_shm_dma_entry),
		VMM_ATTACHED, true, vmm_dma},
	[VUC_SHM_SET_IRQS] = {"SET_IRQS", sizeof(struct vuc_shm_set_irqs),
		sizeof(struct vuc_shm_set_irqs) + VUC_SHM_MAX_IRQS, VMM_ATTACHED, true,
		vmm_set_irqs},
	[VUC_SHM_IO_FDS] = {"IO_FDS", EXACTLY(vuc_shm_index), VMM_ATTACHED, false, vmm_io_fds},
	[VUC_SHM_RESET] = {"RESET", EXACTLY(vuc_shm_plain), VMM_ATTACHED, false, vmm_reset},
	[VUC_SHM_DETACH] = {"DETACH", EXACTLY(vuc_shm_plain), VMM_ATTACHED, false, vmm_detach},
};

static const struct message *
find(uint16_t type)
{
	if (type >= sizeof(messages) / sizeof(messages[0]) || messages[type].handle == NULL)
		return NULL;
	return &messages[type];
}

int
vmm_end(struct control_vmm *v, const char *fmt, ...)
{
	const struct message *m = find(v->packet.header.type);
	char text[VUC_ERROR_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return vuc_error_set(&v->why, -EPROTO, "%s: %s", m != NULL ? m->name : "a packet", text);
}

static int
check_header(struct control_vmm *v, uint32_t last)
{
	const struct packet *p = &v->packet;
	const struct vuc_shm_header *h = &p->header;

	if (h->size != p->len)
		return vmm_end(v, "size %u, but %zu bytes came", h->size, p->len);
	if (h->flags != 0)
		return vmm_end(v, "flags 0x%x instead of 0", h->flags);
	if (h->status != 0)
		return vmm_end(v, "status %d instead of 0", h->status);
	if (v->sequenced && h->sequence != last + 1)
		return vmm_end(v, "sequence %u after %u", h->sequence, last);
	return 0;
}

static const char *
when(enum vmm_state state)
{
	if (state == VMM_CONNECTED)
		return "before HELLO";
	return state == VMM_GREETED ? "between HELLO and ATTACH" : "after ATTACH";
}

static int
check_row(struct control_vmm *v, const struct message *m)
{
	const struct packet *p = &v->packet;

	if ((m->states & v->state) == 0)
		return vmm_end(v, "may not come %s", when(v->state));
	if (p->len < m->min || p->len > m->max)
		return vmm_end(v, "%zu bytes, it has %zu to %zu", p->len, m->min, m->max);
	if (!m->fds && p->nr_fds > 0)
		return vmm_end(v, "%u descriptors, it has none", p->nr_fds);
	return 0;
}

int
vmm_dispatch(struct control_vmm *v)
{
	const struct packet *p = &v->packet;
	const struct message *m;
	int rc;

	if (p->len < sizeof(p->header))
		return vuc_error_set(&v->why, -EPROTO, "a packet of %zu bytes", p->len);
	m = find(p->header.type);
	if (m == NULL)
		return vuc_error_set(
			&v->why, -EPROTO, "a packet of unknown type %u", p->header.type);
	rc = check_header(v, v->sequence);
	v->sequence = p->header.sequence;
	v->sequenced = true;
	if (rc == 0)
		rc = check_row(v, m);
	return rc == 0 ? m->handle(v) : rc;
}

/* Whether something lies in the socket that the VMM has not read. */
static bool
has_unread(const struct control_vmm *v)
{
	int bytes = 0;

	return ioctl(v->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

/*
 * Descriptors that nobody has read yet count for the user who has sent them, and the kernel refuses
 * to send more when there are too many: for all devices and VMMs of the daemon.
 */
static int
send_reply(struct control_vmm *v, struct vuc_shm_header *reply, size_t size, const int *fds,
	unsigned int nr_fds)
{
	int rc;

	if (nr_fds > 0 && has_unread(v))
		return vmm_end(v, "it asks for descriptors before it has read its replies");
	reply->type = v->packet.header.type;
	reply->flags = VUC_SHM_REPLY;
	reply->size = (uint32_t)size;
	reply->sequence = v->packet.header.sequence;
	rc = packet_send(v->fd, reply, size, fds, nr_fds);
	if (rc == -EAGAIN)
		return vuc_error_set(&v->why, rc, "it does not read its replies");
	if (rc == -EPIPE || rc == -ECONNRESET)
		return vuc_error_set(&v->why, rc, "it has disconnected");
	if (rc != 0)
		return vuc_error_set(&v->why, rc, "a reply cannot be sent: %s", strerror(-rc));
	return 0;
}

int
vmm_reply(struct control_vmm *v, struct vuc_shm_header *reply, size_t size, const int *fds,
	unsigned int nr_fds)
{
	reply->status = 0;
	return send_reply(v, reply, size, fds, nr_fds);
}

int
vmm_refuse(struct control_vmm *v, int status, const char *fmt, ...)
{
	uint16_t type = v->packet.header.type;
	/* Few servers know the question. */
	enum vuc_log_level level = type == VUC_SHM_IO_FDS ? VUC_LOG_DEBUG : VUC_LOG_NOTICE;
	struct vuc_shm_failure failure = {.header.status = status};
	va_list args;

	if (status >= 0 || status < -ERRNO_MAX)
		failure.header.status = -EIO;
	va_start(args, fmt);
	vsnprintf(failure.reason, sizeof(failure.reason), fmt, args);
	va_end(args);
	vmm_log(v, level, "%s refused: %s", messages[type].name, failure.reason);
	return send_reply(v, &failure.header, sizeof(failure), NULL, 0);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* SET_IRQS. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vuc/irq.h>

#include "vmm.h"

_Static_assert((int)VUC_SHM_IRQ_TRIGGER == VUC_IRQ_TRIGGER &&
		(int)VUC_SHM_IRQ_MASK == VUC_IRQ_MASK && (int)VUC_SHM_IRQ_UNMASK == VUC_IRQ_UNMASK,
	"actions are given on as they are");

static bool
has_bytes(const struct vuc_shm_set_irqs *r)
{
	return r->data == VUC_SHM_IRQ_SOME || r->data == VUC_SHM_IRQ_EVENT;
}

/* How many of the bytes are 1; -1: one of them is neither 0 nor 1. */
static int
count_ones(const struct vuc_shm_set_irqs *r)
{
	int n = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		if (r->which[i] > 1)
			return -1;
		n += r->which[i];
	}
	return n;
}

static int
irqs_check_which(struct control_vmm *v)
{
	const struct packet *p = &v->packet;
	const struct vuc_shm_set_irqs *r = &p->set_irqs;
	int ones;

	if (p->len != sizeof(*r) + (has_bytes(r) ? r->count : 0))
		return vmm_end(v, "%u interrupts in %zu bytes", r->count, p->len);
	ones = has_bytes(r) ? count_ones(r) : 0;
	if (ones < 0)
		return vmm_end(v, "a byte that is neither 0 nor 1");
	if ((r->data == VUC_SHM_IRQ_EVENT ? (unsigned int)ones : 0) != p->nr_fds)
		return vmm_end(v, "%u descriptors, expected %d", p->nr_fds,
			r->data == VUC_SHM_IRQ_EVENT ? ones : 0);
	return 0;
}

static int
irqs_check_packet(struct control_vmm *v)
{
	const struct vuc_shm_set_irqs *r = &v->packet.set_irqs;

	if (r->action > VUC_SHM_IRQ_DISABLE || r->data > VUC_SHM_IRQ_EVENT)
		return vmm_end(v, "unknown action %u with data %u", r->action, r->data);
	if (r->action == VUC_SHM_IRQ_DISABLE &&
		(r->start != 0 || r->count != 0 || r->data != VUC_SHM_IRQ_ALL))
		return vmm_end(
			v, "start %u, count %u, data %u of DISABLE", r->start, r->count, r->data);
	if (r->action != VUC_SHM_IRQ_DISABLE && (r->count == 0 || r->count > VUC_SHM_MAX_IRQS))
		return vmm_end(v, "count %u", r->count);
	return irqs_check_which(v);
}

/* Where there is no /proc to tell, the server has to. */
static bool
irqs_are_eventfds(const struct packet *p)
{
	for (unsigned int i = 0; i < p->nr_fds; i++) {
		if (!packet_is_eventfd(p->fds[i], true))
			return false;
	}
	return true;
}

struct setting {
	const struct packet *packet;
	struct vuc_irq_range range;
	vuc_done_fn done;
	void *done_arg;
};

static int
irqs_assign(struct vuc_device *dev, const struct setting *s)
{
	const struct packet *p = s->packet;
	const struct vuc_shm_set_irqs *r = &p->set_irqs;
	int eventfds[VUC_SHM_MAX_IRQS];
	unsigned int next = 0;

	for (uint32_t i = 0; i < r->count; i++)
		eventfds[i] = r->which[i] == 1 ? p->fds[next++] : -1;
	return vuc_irq_assign_start(
		dev, &s->range, (enum vuc_irq_action)r->action, eventfds, s->done, s->done_arg);
}

static int
irqs_select(struct vuc_device *dev, const struct setting *s)
{
	const struct vuc_shm_set_irqs *r = &s->packet->set_irqs;
	bool which[VUC_SHM_MAX_IRQS];

	for (uint32_t i = 0; i < r->count; i++)
		which[i] = r->which[i] == 1;
	return vuc_irq_select_start(
		dev, &s->range, (enum vuc_irq_action)r->action, which, s->done, s->done_arg);
}

/* A control_start_fn. */
static int
irqs_apply(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	const struct packet *p = arg;
	const struct vuc_shm_set_irqs *r = &p->set_irqs;
	const struct setting s = {
		.packet = p,
		.range = {.index = r->index, .start = r->start, .count = r->count},
		.done = done,
		.done_arg = done_arg,
	};

	if (r->action == VUC_SHM_IRQ_DISABLE)
		return vuc_irq_disable_start(dev, r->index, done, done_arg);
	if (r->data == VUC_SHM_IRQ_EVENT)
		return irqs_assign(dev, &s);
	if (r->data == VUC_SHM_IRQ_SOME)
		return irqs_select(dev, &s);
	return vuc_irq_act_start(dev, &s.range, (enum vuc_irq_action)r->action, done, done_arg);
}

int
vmm_set_irqs(struct control_vmm *v)
{
	const struct vuc_shm_set_irqs *r = &v->packet.set_irqs;
	struct vuc_shm_irqs_reply reply = {0};
	struct vuc_error err = {0};
	int rc = irqs_check_packet(v);

	if (rc != 0)
		return rc;
	if (r->index >= vuc_device_info(v->link->dev)->num_irqs)
		return vmm_refuse(v, -EINVAL, "there is no IRQ index %u", r->index);
	if (!irqs_are_eventfds(&v->packet))
		return vmm_refuse(
			v, -EINVAL, "IRQ index %u: a descriptor is not an eventfd", r->index);
	/* Also when it fails: the server may have done some of it. */
	v->irqs[r->index] = true;
	rc = vmm_operate(v, irqs_apply, &v->packet, &err);
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	v->irqs[r->index] = r->action != VUC_SHM_IRQ_DISABLE;
	reply.done = r->count;
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* SET_IRQS. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vuc/irq.h>

#include "error.h"
#include "record.h"
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

/* A control_start_fn. */
static int
irqs_apply(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	const struct vmm_irqs *s = arg;
	enum vuc_irq_action action = (enum vuc_irq_action)s->action;

	if (s->action == VUC_SHM_IRQ_DISABLE)
		return vuc_irq_disable_start(dev, s->range.index, done, done_arg);
	if (s->eventfds != NULL)
		return vuc_irq_assign_start(dev, &s->range, action, s->eventfds, done, done_arg);
	if (s->which != NULL)
		return vuc_irq_select_start(dev, &s->range, action, s->which, done, done_arg);
	return vuc_irq_act_start(dev, &s->range, action, done, done_arg);
}

int
vmm_apply_irqs(struct control_vmm *v, const struct vmm_irqs *irqs, struct vuc_error *err)
{
	uint32_t index = irqs->range.index;
	int rc;

	if (index >= vuc_device_info(v->link->dev)->num_irqs)
		return vuc_error_set(err, -EINVAL, "there is no IRQ index %u", index);
	/* Without /proc, the server has to check it. */
	for (uint32_t i = 0; irqs->eventfds != NULL && i < irqs->range.count; i++) {
		if (irqs->eventfds[i] >= 0 && !packet_is_eventfd(irqs->eventfds[i], true))
			return vuc_error_set(err, -EINVAL,
				"IRQ index %u: a descriptor is not an eventfd", index);
	}
	/* Also on failure: the server may have done a part of it. */
	v->irqs[index] = true;
	rc = vmm_operate(v, irqs_apply, (void *)(uintptr_t)irqs, err);
	if (rc == 0)
		v->irqs[index] = irqs->action != VUC_SHM_IRQ_DISABLE;
	return rc;
}

int
vmm_set_irqs(struct control_vmm *v)
{
	const struct packet *p = &v->packet;
	const struct vuc_shm_set_irqs *r = &p->set_irqs;
	struct vuc_shm_irqs_reply reply = {0};
	struct vuc_error err = {0};
	int eventfds[VUC_SHM_MAX_IRQS];
	bool which[VUC_SHM_MAX_IRQS];
	struct vmm_irqs irqs = {
		.range = {.index = r->index, .start = r->start, .count = r->count},
		.action = (enum vuc_shm_irq_action)r->action,
	};
	unsigned int next = 0;
	int rc = irqs_check_packet(v);

	if (rc != 0)
		return rc;
	for (uint32_t i = 0; has_bytes(r) && i < r->count; i++) {
		which[i] = r->which[i] == 1;
		if (r->data == VUC_SHM_IRQ_EVENT)
			eventfds[i] = which[i] ? p->fds[next++] : -1;
	}
	if (r->data == VUC_SHM_IRQ_EVENT)
		irqs.eventfds = eventfds;
	else if (r->data == VUC_SHM_IRQ_SOME)
		irqs.which = which;
	rc = vmm_apply_irqs(v, &irqs, &err);
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	reply.done = r->count;
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}

/* ---- interrupts that may have been lost ---- */

#define MAX_SIGNALS 64u

struct signals {
	unsigned int cursor;
	int fds[MAX_SIGNALS];
	unsigned int nr;
};

/* A control_device_fn. */
static int
signals_hold(struct vuc_device *dev, void *arg)
{
	struct signals *s = arg;

	s->nr = vuc_device_hold_eventfds(dev, &s->cursor, s->fds, MAX_SIGNALS);
	return 0;
}

/* They change by this thread only. */
void
vmm_signal_interrupts(struct control_vmm *v)
{
	struct signals s = {.cursor = 0};

	do {
		vmm_call(v, signals_hold, &s, NULL);
		for (unsigned int i = 0; i < s.nr; i++) {
			pthread_mutex_lock(&v->control->lock);
			control_signal(&v->control->signaller, s.fds[i]);
			pthread_mutex_unlock(&v->control->lock);
		}
		vmm_close_fds(v, s.fds, s.nr);
	} while (s.nr > 0);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_LEARN_H
#define VUC_DEVICE_LEARN_H

/* What a device has: asked when it is opened, one question after the other, checked, and kept. */

#include <linux/pci_regs.h>

#include <vuc/device.h>
#include <vuc/error.h>

struct device_learn;

typedef void (*device_learn_fn)(struct device_learn *l, int status, const struct vuc_error *err);

/* Regions or IRQ indexes that a server refused to tell of. */
struct refusals {
	uint32_t first; /* index */
	unsigned int nr;
	struct vuc_error why; /* of the first */
};

struct device_learn {
	struct vuc_device *dev;
	device_learn_fn done;                /* NULL: over */
	void (*ask)(struct device_learn *l); /* asks the next question */
	bool asks;                           /* when there is room: it is not out yet */
	uint16_t cmd;                        /* that was asked last */
	uint32_t index;                      /* of the region or IRQ index that is asked of */
	uint32_t argsz;                      /* for its answer */
	bool asked_again;                    /* since there was not room enough in the first one */
	struct refusals regions, irqs;
	struct vuc_request read;
	uint32_t bars[PCI_STD_NUM_BARS];
};

/* Ask a server that has negotiated. done is called once, from a poll; never after
 * device_learn_stop(). */
void device_learn_start(struct device_learn *l, struct vuc_device *dev, device_learn_fn done);

/* There may be room for a question that found none. */
void device_learn_go_on(struct device_learn *l);

/* Its time is over. Returns false when it has to fail; true when it is done with what was learned,
 * and done has been called. */
bool device_learn_give_up(struct device_learn *l);

/* Its session is about to be ended, and done is not called any more. */
void device_learn_stop(struct device_learn *l);

#endif /* VUC_DEVICE_LEARN_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_RECORDED_H
#define VUC_DEVICE_RECORDED_H

/* The record as those files of the device see it that fill and replay it. */

#include <vuc/irq.h>

#include "msix.h"
#include "record.h"

#define RECORD_CONFIG_SIZE 4096u

/* Bytes that a server has, as far as they are known, and what it took of them. */
struct record_config {
	uint8_t last[RECORD_CONFIG_SIZE];       /* read or written */
	uint8_t taken[RECORD_CONFIG_SIZE];      /* written */
	uint8_t is_known[RECORD_CONFIG_SIZE];   /* whether a byte of last is */
	uint8_t is_taken[RECORD_CONFIG_SIZE];   /* whether a byte of taken is */
	uint8_t width[RECORD_CONFIG_SIZE];      /* of the last write that began here; 0: none */
	uint8_t is_refused[RECORD_CONFIG_SIZE]; /* a register that begins here, by a restore */
};

struct device_record {
	struct vuc_device *dev;
	struct vuc_closer *closer;
	struct record_config config;
	uint8_t first[MSIX_CONFIG_SIZE]; /* config space at the start, to compare */
	size_t first_len;                /* 0: it is not known */
	struct vuc_request read;         /* of that */
	bool is_stopped;
	vuc_done_fn done; /* NULL: it was called */
	void *arg;
};

#endif /* VUC_DEVICE_RECORDED_H */

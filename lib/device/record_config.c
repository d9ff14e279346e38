/* SPDX-License-Identifier: BSD-3-Clause */

/* Registers in the record: what the server had in config space, and what it took. */

#include <string.h>

#include "recorded.h"

void
record_forget_registers(struct device_record *r)
{
	struct record_config *c = &r->config;

	memset(c->is_taken, 0, sizeof(c->is_taken));
	memset(c->width, 0, sizeof(c->width));
	memset(c->is_known, 0, sizeof(c->is_known));
	memcpy(c->last, r->first, r->first_len);
	memset(c->is_known, 1, r->first_len);
}

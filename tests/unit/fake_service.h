/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAKE_SERVICE_H
#define VUC_TESTS_FAKE_SERVICE_H

/* A daemon's service that is made up: two devices, one of them attached, and one poller. */

#include "rpc.h"
#include "service.h"

struct fake_service {
	struct vucd_service service;
	struct vucd_rpc rpc; /* with vucd's methods */
	enum vuc_log_level log_level;
	/* The last change that was asked for. */
	unsigned int changes;
	struct vucd_device_config added;
	char name[80];
	bool force;
	/* Whether changes end when they are asked for, or by fake_service_finish(). */
	char who[48]; /* asked for the last change */
	bool later;
	unsigned int waiting; /* changes that have not ended */
	struct {
		vucd_done_fn done;
		void *arg;
	} pending[128];
	/* How changes end. */
	int rc;
	const char *why;
};

void fake_service_init(struct fake_service *fake);

/* End the first change that has not ended. */
void fake_service_finish(struct fake_service *fake);

#endif /* VUC_TESTS_FAKE_SERVICE_H */

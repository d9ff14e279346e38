/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_DEVIATING_SERVER_H
#define VUC_TESTS_DEVIATING_SERVER_H

/* A server with three regions and INTx whose replies to one command differ from what they should
 * be, without harm, as those of others do. */

#include <stdatomic.h>

#include "fake_server.h"

#define HEADER      sizeof(struct vfio_user_header)
#define ACCESS      sizeof(struct vfio_user_region_access)
#define ANY         UINT32_MAX /* index */
#define CONFIG      VFIO_PCI_CONFIG_REGION_INDEX
#define CONFIG_SIZE 256u
#define BAR_SIZE    4096u

enum kind {
	NORMAL,
	ANSWER,           /* also what asked for no reply */
	REFUSE,           /* with error `value` */
	REFUSE_AS_CMD,    /* the same without the type of a reply */
	REFUSE_WITH_BODY, /* with what was asked behind it */
	CUT,              /* to `value` bytes of body, or with more behind it */
	SET_ARGSZ,
	SET_COUNT,
	SET_FLAGS,
	CLEAR_FLAGS,
	CLOSE,
	CLOSE_ON_ODD_SIZE, /* of an access */
};

/* What the server does to replies to one command. */
struct deviation {
	uint16_t cmd;
	enum kind kind;
	uint32_t index; /* of the region or IRQ index, or ANY */
	uint32_t value;
};

struct deviating_server {
	struct fake_server fake;
	struct deviation deviation;
	uint8_t config[CONFIG_SIZE];
	uint8_t bar0[BAR_SIZE];
	uint8_t bar2[BAR_SIZE];
	_Atomic unsigned int asked[VFIO_USER_MAX]; /* messages by command */
	_Atomic unsigned int posted;
	_Atomic unsigned int odd;     /* accesses to config space that are no aligned registers */
	_Atomic unsigned int at_once; /* the most of them that waited for an answer */
};

/* json: version data, NULL: the usual one; irq_flags: of INTx; unread: see struct fake_server. The
 * bytes of BAR n are 0xa0 + n. */
void deviating_server_init(struct deviating_server *s, const struct deviation *deviation,
	const char *json, uint32_t irq_flags, uint32_t unread);

#endif /* VUC_TESTS_DEVIATING_SERVER_H */

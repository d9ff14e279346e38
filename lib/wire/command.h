/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_COMMAND_H
#define VUC_WIRE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "vfio_user.h"

/* No bound of its own: the fixed part and at most max_data_xfer_size bytes of data. */
#define VUC_WIRE_DATA UINT32_MAX

/* Most bytes of a reply whose size the client chooses by argsz. */
#define VUC_WIRE_MAX_ARGSZ (64u * 1024u)

/* What the specification allows of one command. Sizes are those of the body, header excluded. */
struct vuc_wire_command {
	const char *name;     /* "VFIO_USER_REGION_READ" */
	bool from_server;     /* a command of the server, else one of the client */
	bool no_reply;        /* may carry VFIO_USER_F_NO_REPLY */
	bool request_fds;     /* the command may carry fds */
	bool reply_fds;       /* the reply may carry fds */
	uint32_t request_min; /* fixed part of the command */
	uint32_t request_max; /* or VUC_WIRE_DATA: request_min and data */
	uint32_t reply_min;   /* fixed part of the reply */
	uint32_t reply_max;   /* or VUC_WIRE_DATA: reply_min and data */
	bool optional;        /* servers may not have it */
	bool answer_is_vital; /* without one the connection ends: only that makes sure that the
				 server holds nothing that it should not */
};

/* The row of a command; NULL for numbers that the specification does not assign. */
const struct vuc_wire_command *vuc_wire_command(uint16_t cmd);

/* A command's name for messages to the user; "(unknown)" where the specification has none. */
const char *vuc_wire_command_name(uint16_t cmd);

#endif /* VUC_WIRE_COMMAND_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_METHODS_H
#define VUCD_METHODS_H

/* The management methods, as docs/vucd.md describes them. */

#include "rpc.h"

/* Up to one without a name. The argument of struct vucd_rpc is a struct vucd_daemon. */
const struct vucd_rpc_method *vucd_methods(void);

/* Of methods_monitor.c: those that change nothing. */
void vucd_call_status(struct vucd_rpc_call *call);
void vucd_call_devices_list(struct vucd_rpc_call *call);
void vucd_call_vmms_list(struct vucd_rpc_call *call);
void vucd_call_stats_get(struct vucd_rpc_call *call);

#endif /* VUCD_METHODS_H */

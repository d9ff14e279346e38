/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_METHOD_DEVICE_H
#define VUCD_METHOD_DEVICE_H

/* The methods that change devices, and may take their time. */

#include "rpc.h"

extern const struct vucd_rpc_param vucd_devices_add_params[];
extern const struct vucd_rpc_param vucd_devices_remove_params[];
extern const struct vucd_rpc_param vucd_vmms_detach_params[];

void vucd_call_devices_add(struct vucd_rpc_call *call);
void vucd_call_devices_remove(struct vucd_rpc_call *call);
void vucd_call_vmms_detach(struct vucd_rpc_call *call);

#endif /* VUCD_METHOD_DEVICE_H */

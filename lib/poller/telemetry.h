/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_TELEMETRY_H
#define VUC_POLLER_TELEMETRY_H

/* Register the commands /vuc/… with rte_telemetry, once. Returns 0 or a negative errno. */
int vuc_telemetry_register(void);

#endif /* VUC_POLLER_TELEMETRY_H */

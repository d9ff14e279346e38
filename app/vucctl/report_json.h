/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_REPORT_JSON_H
#define VUCCTL_REPORT_JSON_H

#include "json_build.h"
#include "report.h"

/* Add the member "pci": what config space tells, null when too little of it could be read. */
void vucctl_report_add_pci(struct app_json *json, const struct vucctl_report *report);

#endif /* VUCCTL_REPORT_JSON_H */

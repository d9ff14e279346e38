/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_INTERRUPT_H
#define VUCCTL_INTERRUPT_H

#include <stdbool.h>

/* Let SIGINT, SIGTERM and SIGHUP ask for an orderly end: for commands that leave something behind
 * at the device. */
void vucctl_interrupt_install(void);

/* Whether one of them came: clean up and go. */
bool vucctl_interrupted(void);

#endif /* VUCCTL_INTERRUPT_H */

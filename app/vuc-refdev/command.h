/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_COMMAND_H
#define REFDEV_COMMAND_H

#include <stdint.h>

/* The specification's name of a command in lower case, without the prefix: "region_read".
 * "unknown" for numbers that it does not assign. */
const char *refdev_command_name(uint16_t cmd);

/* The command of a name, or 0, which is none. */
uint16_t refdev_command_find(const char *name);

#endif /* REFDEV_COMMAND_H */

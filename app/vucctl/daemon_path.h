/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_DAEMON_PATH_H
#define VUCCTL_DAEMON_PATH_H

#define VUCCTL_DAEMON_PATH_SIZE 108

/* Find the management socket where vucd has it by default: in $XDG_RUNTIME_DIR/vucd, or in
 * /run/vucd when there is none. */
void vucctl_daemon_path(char path[VUCCTL_DAEMON_PATH_SIZE]);

#endif /* VUCCTL_DAEMON_PATH_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_NOTIFY_H
#define VUCD_NOTIFY_H

/*
 * Tells a service manager how the daemon is: sd_notify(3)'s datagrams to $NOTIFY_SOCKET. They are
 * made here, as libsystemd would bring its own dependencies for the sake of one sendto(2).
 *
 * state is like "READY=1" or "STATUS=text", lines separated by '\n'. Returns 1 when it was sent, 0
 * when nobody wants to know, or a negative errno.
 */
int vucd_notify(const char *state);

#endif /* VUCD_NOTIFY_H */

/* SPDX-License-Identifier: BSD-3-Clause */

/* The fence: a process that may still hold a client's memory is gone before another one gets it. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "internal.h"
#include "record.h"
#include "text.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

/* Before 6.5 the process may have ended, and its number been given to another one, since the socket
 * was connected: then the fence waits for one that has nothing to do with it, and names it. */
void
device_peer_take(struct device_peer *peer, int sock)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);

	*peer = (struct device_peer){.pidfd = -1};
	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return;
	peer->known = true;
	peer->uid = cred.uid;
	peer->pid = cred.pid;
	len = sizeof(peer->pidfd);
	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &peer->pidfd, &len) != 0)
		peer->pidfd = cred.pid > 0 ? (int)syscall(SYS_pidfd_open, cred.pid, 0) : -1;
}

void
device_peer_forget(struct device_peer *peer)
{
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	*peer = (struct device_peer){.pidfd = -1};
}

/* A zombie has ended: it holds no memory any more. Without a descriptor of the process, for which
 * there was no room, its number has to do. */
static bool
peer_is_running(const struct device_peer *peer)
{
	struct pollfd ended = {.fd = peer->pidfd, .events = POLLIN};

	if (peer->pidfd < 0)
		return kill(peer->pid, 0) == 0 || errno == EPERM;
	return poll(&ended, 1, 0) == 0;
}

/* Its program, as the kernel names it, without what a terminal or a log would take for more. */
static void
peer_name_program(const struct device_peer *peer, char *name, size_t size)
{
	char path[32];
	FILE *file;

	snprintf(name, size, "?");
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)peer->pid);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fgets(name, (int)size, file) != NULL)
		name[strcspn(name, "\n")] = '\0';
	fclose(file);
	vuc_text_clean(name);
}

VUC_PRIVATE int
vuc_device_fence(struct vuc_device *old, const struct vuc_device *fresh, bool fence_on,
	struct vuc_error *why)
{
	const struct device_peer *peer = &old->peer;
	char name[32];

	if (peer->known && fresh->peer.known && peer->uid != fresh->peer.uid)
		return vuc_error_set(why, -EACCES,
			"the server is run by user %u, and was run by user %u before",
			(unsigned int)fresh->peer.uid, (unsigned int)peer->uid);
	if (!fence_on)
		return 0;
	if (peer->pid == 0 || fresh->peer.pid == 0) {
		device_warn(old, DEVICE_FAULT_NO_PEER,
			"the kernel does not name the server's process: after an outage it may "
			"still run when another one takes over");
		return 0;
	}
	if (peer->pid == fresh->peer.pid || !peer_is_running(peer))
		return 0;
	peer_name_program(peer, name, sizeof(name));
	return vuc_error_set(why, -EAGAIN, "process %d (%s)", (int)peer->pid, name);
}

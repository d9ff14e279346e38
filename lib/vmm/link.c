/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "error.h"
#include "fds.h"
#include "names.h"
#include "socket.h"

#define ERRNO_MAX 4095

static int
link_socket(struct vuc_error *err)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 ? fd : vuc_error_set(err, -errno, "no socket: %s", strerror(errno));
}

static bool
is_daemon_socket(int fd)
{
	struct sockaddr_un peer;
	socklen_t size = sizeof(peer), type_size = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 &&
		type == SOCK_SEQPACKET && getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
		peer.sun_family == AF_UNIX;
}

static int
link_duplicate(int given, struct vuc_error *err)
{
	int fd;

	if (!is_daemon_socket(given))
		return vuc_error_set(err, -EINVAL,
			"descriptor %d is no connected UNIX socket of type SOCK_SEQPACKET", given);
	fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
	return fd >= 0 ? fd
		       : vuc_error_set(err, -errno, "no descriptor for the connection: %s",
				 strerror(errno));
}

int
vmm_link_open(struct vmm_link *link, const char *path, struct vuc_error *err)
{
	int rc = vuc_socket_address(path, &link->addr, err);

	if (rc != 0)
		return rc;
	link->fd = link_socket(err);
	return link->fd >= 0 ? 0 : link->fd;
}

int
vmm_link_open_fd(struct vmm_link *link, int fd, struct vuc_error *err)
{
	link->fd = link_duplicate(fd, err);
	if (link->fd < 0)
		return link->fd;
	link->given = true;
	link->connected = true;
	return 0;
}

int
vmm_link_renew(struct vmm_link *link, int fd, struct vuc_error *err)
{
	int fresh = fd >= 0 ? link_duplicate(fd, err) : link_socket(err);

	if (fresh < 0)
		return fresh;
	shutdown(link->fd, SHUT_RDWR);
	if (dup3(fresh, link->fd, O_CLOEXEC) < 0) {
		int rc = vuc_error_set(
			err, -errno, "no descriptor for the connection: %s", strerror(errno));

		close(fresh);
		return rc;
	}
	close(fresh);
	link->given = fd >= 0;
	link->connected = fd >= 0;
	link->ended = false;
	link->retry_ms = 0;
	link->sequence = 0;
	return 0;
}

void
vmm_link_close(struct vmm_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

int
vmm_link_connect(struct vmm_link *link)
{
	int rc;

	do
		rc = connect(link->fd, (const struct sockaddr *)&link->addr, sizeof(link->addr));
	while (rc != 0 && errno == EINTR);
	link->connected = rc == 0;
	return rc == 0 ? 0 : -errno;
}

int
vmm_link_end(struct vmm_link *link, struct vuc_error *err, int rc, const char *fmt, ...)
{
	char text[VUC_ERROR_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	link->ended = true;
	vuc_error_set(&link->reason, rc, "%s", text);
	shutdown(link->fd, SHUT_RDWR);
	return vuc_error_set(err, rc, "%s", text);
}

bool
vmm_link_is_gone(const struct vmm_link *link)
{
	struct pollfd poller = {.fd = link->fd, .events = POLLRDHUP};

	return poll(&poller, 1, 0) == 1;
}

void
vmm_fds_close(struct vmm_fds *fds)
{
	vuc_fds_close(fds->fd, fds->nr);
	fds->nr = 0;
}

static int
header_wrong(struct vuc_vmm_device *dev, unsigned int type, struct vuc_error *err,
	const char *field, int64_t seen, int64_t wanted)
{
	return vmm_link_end(&dev->link, err, -EPROTO,
		"the daemon's reply to %s: %s %" PRId64 " instead of %" PRId64,
		vuc_shm_message_name(type), field, seen, wanted);
}

int
vmm_reply_wrong(struct vuc_vmm_device *dev, const union vmm_packet *reply, struct vuc_error *err,
	const char *field, uint64_t value)
{
	return vmm_link_end(&dev->link, err, -EPROTO,
		"the daemon's reply to %s: invalid %s: %" PRIu64,
		vuc_shm_message_name(reply->header.type), field, value);
}

/* The daemon has hung up; its last words may be in the state page. */
static int
daemon_gone(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	static const char text[] = "the daemon closed the connection";
	const struct vuc_shm_state *page = dev->pages.state;
	uint32_t state = page != NULL ? __atomic_load_n(&page->state, __ATOMIC_ACQUIRE) : 0;

	if (state == VUC_SHM_REMOVED)
		return vmm_link_end(&dev->link, err, -ECONNRESET,
			"%s: the device was removed or detached", text);
	if (state == VUC_SHM_STOPPING)
		return vmm_link_end(&dev->link, err, -ECONNRESET, "%s: it is stopping", text);
	return vmm_link_end(&dev->link, err, -ECONNRESET, "%s", text);
}

int
vmm_request_send(struct vuc_vmm_device *dev, union vmm_packet *packet, const struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct vmm_link *link = &dev->link;
	struct vuc_shm_header *h = &packet->header;
	ssize_t n;

	h->sequence = link->sequence + 1;
	n = vuc_fds_send(link->fd, packet, h->size, fds->fd, fds->nr, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n == -EPIPE || n == -ECONNRESET)
		return daemon_gone(dev, err);
	if (n < 0)
		return vuc_error_set(err, (int)n, "cannot send %s to the daemon: %s",
			vuc_shm_message_name(h->type), strerror((int)-n));
	link->sequence++;
	return 0;
}

/* Returns what is left of a receive that has brought n bytes. */
static int
accept_packet(struct vmm_fds *fds, ssize_t n, int nr_fds)
{
	fds->nr = nr_fds > 0 ? (unsigned int)nr_fds : 0;
	fds->lost = nr_fds == -EMFILE;
	if (n > 0 && nr_fds != -E2BIG)
		return (int)n;
	vmm_fds_close(fds);
	return n == 0 ? -EPIPE : -EMSGSIZE;
}

/* Returns the size of a packet; -EAGAIN; -EPIPE when the daemon has gone; -EMSGSIZE for more bytes
 * or descriptors than a packet can have. */
static int
receive_packet(const struct vmm_link *link, union vmm_packet *packet, struct vmm_fds *fds)
{
	struct iovec part = {.iov_base = packet, .iov_len = sizeof(*packet)};
	ssize_t n;
	int nr_fds;

	/* Fields of a packet that is too short for them are 0. */
	memset(packet, 0, sizeof(*packet));
	*fds = (struct vmm_fds){.nr = 0};
	n = vuc_fds_receive(
		link->fd, &part, 1, fds->fd, VUC_SHM_MAX_FDS, &nr_fds, MSG_DONTWAIT, NULL);
	if (n >= 0)
		return accept_packet(fds, n, nr_fds);
	return n == -ECONNRESET ? -EPIPE : (int)n;
}

/* What receiving has said instead of a size. */
static int
not_received(struct vuc_vmm_device *dev, unsigned int type, int rc, struct vuc_error *err)
{
	switch (rc) {
	case -EAGAIN:
		return VMM_NOT_YET;
	case -EPIPE:
		return daemon_gone(dev, err);
	case -EMSGSIZE:
		return vmm_link_end(&dev->link, err, -EPROTO,
			"the daemon's reply to %s: more than %u bytes or %u descriptors",
			vuc_shm_message_name(type), VUC_SHM_MAX_PACKET, VUC_SHM_MAX_FDS);
	default:
		return vmm_link_end(&dev->link, err, rc, "the daemon's reply to %s: %s",
			vuc_shm_message_name(type), strerror(-rc));
	}
}

/* Returns the status, with the reason that the daemon gives. */
static int
request_refused(struct vuc_vmm_device *dev, unsigned int type,
	const struct vuc_shm_failure *failure, const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_header *h = &failure->header;

	if (h->status > 0 || h->status < -ERRNO_MAX)
		return header_wrong(dev, type, err, "status", h->status, 0);
	if (h->size != sizeof(*failure))
		return header_wrong(dev, type, err, "size", h->size, sizeof(*failure));
	if (fds->nr > 0 || fds->lost)
		return header_wrong(dev, type, err, "descriptors", fds->nr, 0);
	if (memchr(failure->reason, '\0', sizeof(failure->reason)) == NULL)
		return vmm_link_end(&dev->link, err, -EPROTO,
			"the daemon's reply to %s: unterminated reason",
			vuc_shm_message_name(type));
	if (failure->reason[0] == '\0')
		return vuc_error_set(err, h->status, "the daemon has refused %s: %s",
			vuc_shm_message_name(type), strerror(-h->status));
	return vuc_error_set(err, h->status, "%s", failure->reason);
}

static int
reply_check(struct vuc_vmm_device *dev, unsigned int type, const union vmm_packet *reply,
	size_t size, const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_header *h = &reply->header;

	if (size < sizeof(*h))
		return header_wrong(dev, type, err, "bytes", (int64_t)size, sizeof(*h));
	if (h->size != size)
		return header_wrong(dev, type, err, "size", h->size, (int64_t)size);
	if (h->type != type)
		return header_wrong(dev, type, err, "type", h->type, type);
	if (h->flags != VUC_SHM_REPLY)
		return header_wrong(dev, type, err, "flags", h->flags, VUC_SHM_REPLY);
	if (h->sequence != dev->link.sequence)
		return header_wrong(dev, type, err, "sequence", h->sequence, dev->link.sequence);
	return h->status == 0 ? 0 : request_refused(dev, type, &reply->failure, fds, err);
}

int
vmm_reply_receive(struct vuc_vmm_device *dev, unsigned int type, union vmm_packet *reply,
	struct vmm_fds *fds, struct vuc_error *err)
{
	int rc = receive_packet(&dev->link, reply, fds);

	if (rc < 0)
		return not_received(dev, type, rc, err);
	rc = reply_check(dev, type, reply, (size_t)rc, fds, err);
	if (rc != 0)
		vmm_fds_close(fds);
	return rc;
}

int
vmm_reply_is(struct vuc_vmm_device *dev, const union vmm_packet *reply, size_t size,
	const struct vmm_fds *fds, unsigned int nr_fds, struct vuc_error *err)
{
	unsigned int type = reply->header.type;

	if (reply->header.size != size)
		return header_wrong(dev, type, err, "size", reply->header.size, (int64_t)size);
	if (fds->lost)
		return vuc_error_set(err, -EMFILE,
			"the daemon's reply to %s: this process has too many open descriptors for "
			"those that came",
			vuc_shm_message_name(type));
	if (fds->nr != nr_fds)
		return header_wrong(dev, type, err, "descriptors", fds->nr, nr_fds);
	return 0;
}

int
vmm_memory_map(
	void **memory, int fd, size_t size, int prot, const char *what, struct vuc_error *err)
{
	struct stat st;
	void *p;
	int seals;

	if (fstat(fd, &st) != 0)
		return vuc_error_set(err, -errno, "%s: %s", what, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return vuc_error_set(err, -EPROTO,
			"%s: the daemon's file descriptor is not a memory file (mode 0%o)", what,
			st.st_mode);
	if (st.st_size < 0 || (uint64_t)st.st_size < size)
		return vuc_error_set(err, -EPROTO,
			"%s: the daemon's memory has %lld bytes, not %zu", what,
			(long long)st.st_size, size);
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
		return vuc_error_set(err, -EPROTO,
			"%s: the daemon's memory is not sealed against shrinking", what);
	p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return vuc_error_set(err, errno == ENOMEM ? -ENOMEM : -EPROTO,
			"%s: the daemon's memory cannot be mapped: %s", what, strerror(errno));
	*memory = p;
	return 0;
}

int
vmm_eventfd_check(int fd, const char *what, struct vuc_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return vuc_error_set(err, -errno, "%s: %s", what, strerror(errno));
	if ((st.st_mode & S_IFMT) == 0)
		return 0;
	return vuc_error_set(err, -EPROTO,
		"%s: the daemon's file descriptor is not an eventfd (mode 0%o)", what, st.st_mode);
}

int
vmm_eventfd_unblock(int fd, const char *what, struct vuc_error *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && ((flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0))
		return 0;
	return vuc_error_set(err, -errno, "%s: %s", what, strerror(errno));
}

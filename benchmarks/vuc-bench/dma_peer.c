/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_peer.h"

#include <errno.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"
#include "error.h"
#include "stream.h"
#include "vfio_user.h"

#define MAX_COMMAND 4096u /* of the negotiation */

_Static_assert(BENCH_DMA_HEAD ==
		sizeof(struct vfio_user_header) + sizeof(struct vfio_user_dma_region_access),
	"the head of a DMA message");

/* In the peer's process. */
struct peer {
	const struct bench_dma_plan *plan;
	struct bench_dma_shared *shared;
	struct bench_stream stream;
	uint8_t *data;
	uint64_t last; /* end of the last sample, in ticks */
};

struct head {
	struct vfio_user_header header;
	struct vfio_user_dma_region_access access;
};

static int
peer_answer(struct peer *p, const struct vfio_user_header *command, const void *body, size_t len)
{
	const struct vfio_user_header header = {
		.msg_id = command->msg_id,
		.cmd = command->cmd,
		.msg_size = (uint32_t)(sizeof(header) + len),
		.flags = VFIO_USER_F_TYPE_REPLY,
	};

	return bench_stream_send(&p->stream, &header, sizeof(header), body, len);
}

static int
answer_version(struct peer *p, const struct vfio_user_header *command)
{
	static const char json[] = "{\"capabilities\":{\"max_data_xfer_size\":1048576}}";
	const struct vfio_user_version version = {
		.major = VFIO_USER_MAJOR, .minor = VFIO_USER_MINOR};
	uint8_t body[sizeof(version) + sizeof(json)];

	memcpy(body, &version, sizeof(version));
	memcpy(body + sizeof(version), json, sizeof(json));
	return peer_answer(p, command, body, sizeof(body));
}

/* A device without regions and interrupts. */
static int
answer_info(struct peer *p, const struct vfio_user_header *command)
{
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info), .flags = VFIO_DEVICE_FLAGS_PCI};

	return peer_answer(p, command, &info, sizeof(info));
}

/* Answer commands until memory has been mapped. */
static int
peer_negotiate(struct peer *p)
{
	struct vfio_user_header command = {0};
	int ret = 0;

	while (ret == 0 && command.cmd != VFIO_USER_DMA_MAP) {
		uint8_t body[MAX_COMMAND];

		ret = bench_stream_receive(&p->stream, &command, sizeof(command));
		if (ret != 0)
			return ret;
		if (command.msg_size < sizeof(command) ||
			command.msg_size - sizeof(command) > sizeof(body))
			return -EMSGSIZE;
		ret = bench_stream_receive(&p->stream, body, command.msg_size - sizeof(command));
		if (ret != 0)
			return ret;
		if (command.cmd == VFIO_USER_VERSION)
			ret = answer_version(p, &command);
		else if (command.cmd == VFIO_USER_DEVICE_GET_INFO)
			ret = answer_info(p, &command);
		else if (command.cmd == VFIO_USER_DMA_MAP)
			ret = peer_answer(p, &command, NULL, 0);
		else
			ret = -ENOTSUP;
	}
	return ret;
}

static void
make_head(struct head *head, const struct bench_dma_plan *plan, uint32_t i, bool reply)
{
	bool data = plan->write != reply;

	*head = (struct head){
		.header = {.msg_id = (uint16_t)i,
			.cmd = plan->write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
			.msg_size = BENCH_DMA_HEAD + (data ? plan->size : 0),
			.flags = reply ? VFIO_USER_F_TYPE_REPLY : VFIO_USER_F_TYPE_COMMAND},
		.access = {.addr = (uint64_t)(i % plan->depth) * plan->size, .count = plan->size},
	};
}

void
bench_dma_head_reply(uint8_t head[BENCH_DMA_HEAD], const struct bench_dma_plan *plan)
{
	struct vfio_user_header header;

	memcpy(&header, head, sizeof(header));
	header.msg_size = BENCH_DMA_HEAD + (plan->write ? 0 : plan->size);
	header.flags = VFIO_USER_F_TYPE_REPLY;
	memcpy(head, &header, sizeof(header));
}

static int
send_access(struct peer *p, uint32_t i)
{
	const struct bench_dma_plan *plan = p->plan;
	struct head head;

	make_head(&head, plan, i, false);
	return bench_stream_send(
		&p->stream, &head, sizeof(head), p->data, plan->write ? plan->size : 0);
}

static int
receive_reply(struct peer *p, uint32_t i)
{
	const struct bench_dma_plan *plan = p->plan;
	struct head head, expected;
	int ret = bench_stream_receive(&p->stream, &head, sizeof(head));

	if (ret != 0)
		return ret;
	make_head(&expected, plan, i, true);
	if (memcmp(&head, &expected, sizeof(head)) != 0)
		return -EPROTO;
	if (plan->write)
		return 0;
	ret = bench_stream_receive(&p->stream, p->data, plan->size);
	if (ret != 0)
		return ret;
	if (p->data[0] != BENCH_DMA_FILL || p->data[plan->size - 1] != BENCH_DMA_FILL)
		return -EBADMSG;
	return 0;
}

static void
peer_record(struct peer *p, uint32_t done)
{
	const struct bench_dma_plan *plan = p->plan;
	uint64_t now;

	if (done % plan->per_sample != 0)
		return;
	now = bench_clock_ticks(p->stream.clock);
	p->shared->ticks[done / plan->per_sample - 1] = now - p->last;
	p->last = now;
}

static int
access_memory(struct peer *p)
{
	const struct bench_dma_plan *plan = p->plan;
	uint32_t total = plan->samples * plan->per_sample;
	uint32_t sent = 0, done = 0;
	int ret = 0;

	p->last = bench_clock_ticks(p->stream.clock);
	while (ret == 0 && done < total) {
		if (sent < total && sent - done < plan->depth) {
			ret = send_access(p, sent++);
			continue;
		}
		ret = receive_reply(p, done++);
		if (ret == 0)
			peer_record(p, done);
	}
	return ret;
}

/* The process. What goes wrong here is told by the status; there is nobody else to hear it. */
static void
run_peer(struct peer *p, unsigned int cpu, pid_t parent)
{
	struct vuc_error err;
	int ret;

	/* A terminal's SIGINT is for the parent, which then ends this process. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	ret = bench_cpu_pin(cpu, &err);
	p->data = malloc(p->plan->size);
	if (p->data == NULL)
		ret = -ENOMEM;
	else
		memset(p->data, BENCH_DMA_FILL, p->plan->size);
	if (ret == 0 && p->plan->negotiate)
		ret = peer_negotiate(p);
	if (ret == 0)
		ret = access_memory(p);
	/* Pairs with the acquire in bench_dma_peer_status(). */
	atomic_store_explicit(&p->shared->status, ret != 0 ? ret : 1, memory_order_release);
	_exit(EXIT_SUCCESS);
}

static int
share_memory(struct bench_dma_peer *peer, uint32_t samples, struct vuc_error *err)
{
	void *shared;

	peer->shared_size = sizeof(*peer->shared) + samples * sizeof(peer->shared->ticks[0]);
	shared = mmap(
		NULL, peer->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return bench_fail(err, -errno, "mmap: %s", strerror(errno));
	peer->shared = shared;
	return 0;
}

static int
fork_peer(struct bench_dma_peer *peer, const struct bench_dma_plan *plan,
	const struct bench_clock *clock, unsigned int cpu, struct vuc_error *err)
{
	struct peer p = {.plan = plan, .shared = peer->shared};
	pid_t parent = getpid();
	int fds[2];
	int ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return bench_fail(err, -errno, "socketpair: %s", strerror(errno));
	peer->fd = fds[0];
	bench_stream_init(&p.stream, clock, fds[1], plan->timeout_ms);
	peer->pid = fork();
	if (peer->pid == 0) {
		close(fds[0]);
		run_peer(&p, cpu, parent);
	}
	ret = peer->pid < 0 ? bench_fail(err, -errno, "fork: %s", strerror(errno)) : 0;
	close(fds[1]);
	return ret;
}

int
bench_dma_peer_start(struct bench_dma_peer *peer, const struct bench_dma_plan *plan,
	const struct bench_clock *clock, unsigned int cpu, struct vuc_error *err)
{
	int ret;

	*peer = (struct bench_dma_peer){.fd = -1};
	ret = share_memory(peer, plan->samples, err);
	if (ret == 0)
		ret = fork_peer(peer, plan, clock, cpu, err);
	if (ret != 0)
		bench_dma_peer_stop(peer);
	return ret;
}

void
bench_dma_peer_stop(struct bench_dma_peer *peer)
{
	if (peer->pid > 0) {
		kill(peer->pid, SIGKILL);
		while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (peer->fd >= 0)
		close(peer->fd);
	if (peer->shared != NULL)
		munmap(peer->shared, peer->shared_size);
	*peer = (struct bench_dma_peer){.fd = -1};
}

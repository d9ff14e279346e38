/* SPDX-License-Identifier: BSD-3-Clause */

/* Descriptors of sub-regions: a server that answers well, and badly. */

#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#include <vuc/io_fds.h>

#include "fake_server.h"
#include "fd_count.h"
#include "fds.h"
#include "outcome.h"

#define REGION   VFIO_PCI_BAR0_REGION_INDEX
#define MAX_SUBS 64u
#define PLAIN    VFIO_USER_IO_FD_TYPE_IOEVENTFD
#define SHADOW   VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW
#define IOREGION VFIO_USER_IO_FD_TYPE_IOREGIONFD

static struct fake_server server;
static struct vuc_device *dev;
static struct vuc_io_fds *io;

/* What the server says of REGION. */
static struct vfio_user_sub_region_ioeventfd subs[MAX_SUBS];
static uint32_t nr_subs;
static int fds[VUC_MAX_MSG_FDS];
static unsigned int nr_fds;
static uint32_t grow;     /* sub-regions that are added with each question */
static uint32_t argsz[8]; /* of the questions */
static unsigned int nr_questions;
static uint32_t more_argsz;  /* a lie about the size */
static bool early_fds;       /* send descriptors with an answer that is cut off, too */
static _Atomic bool held_up; /* answer when told to */
static sem_t asked, answered;

static void
put_fds(struct fake_reply *reply)
{
	for (; reply->nr_fds < nr_fds; reply->nr_fds++)
		reply->fds[reply->nr_fds] = dup(fds[reply->nr_fds]);
}

/* A fake_command_fn. */
static int
serve_command(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	struct vfio_user_region_io_fds body;
	size_t subs_size = nr_subs * sizeof(subs[0]);
	uint32_t room;

	(void)arg;
	CU_ASSERT_EQUAL_FATAL(header->cmd, VFIO_USER_DEVICE_GET_REGION_IO_FDS);
	fake_server_body(request, &body, sizeof(body));
	CU_ASSERT_EQUAL(body.index, REGION);
	if (held_up) {
		sem_post(&asked);
		sem_wait(&answered);
	}
	room = body.argsz;
	argsz[nr_questions++ % 8] = room;
	body.count = nr_subs;
	body.argsz = (uint32_t)(sizeof(body) + subs_size) + more_argsz;
	nr_subs += grow;
	memcpy(reply->body, &body, sizeof(body));
	reply->len = sizeof(body);
	if (room >= body.argsz) {
		memcpy(reply->body + reply->len, subs, subs_size);
		reply->len += subs_size;
	}
	if (room >= body.argsz || early_fds)
		put_fds(reply);
	return 0;
}

static void
set_up(void)
{
	sem_init(&asked, 0, 0);
	sem_init(&answered, 0, 0);
	server = (struct fake_server){.max_msg_fds = 8, .command = serve_command};
	server.regions[REGION].size = 0x1000;
	server.regions[REGION].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	dev = fake_server_open(&server);
	memset(subs, 0, sizeof(subs));
	nr_subs = nr_fds = grow = nr_questions = more_argsz = 0;
	early_fds = false;
	io = NULL;
}

static void
tear_down(void)
{
	vuc_io_fds_free(io);
	vuc_device_close(dev);
	sem_destroy(&asked);
	sem_destroy(&answered);
	while (nr_fds > 0)
		CU_ASSERT_EQUAL(close(fds[--nr_fds]), 0);
}

static void
put_eventfds(unsigned int n)
{
	while (nr_fds < n)
		fds[nr_fds++] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static struct vfio_user_sub_region_ioeventfd *
add(uint32_t type, uint32_t flags, uint64_t offset, uint32_t fd_index)
{
	subs[nr_subs] = (struct vfio_user_sub_region_ioeventfd){
		.offset = offset,
		.size = 4,
		.fd_index = fd_index,
		.type = type,
		.flags = flags,
	};
	return &subs[nr_subs++];
}

static bool
signals(int fd, int server_fd)
{
	uint64_t n = 77;

	if (write(fd, &n, sizeof(n)) != sizeof(n))
		return false;
	n = 0;
	return read(server_fd, &n, sizeof(n)) == sizeof(n) && n == 77;
}

static void
test_ioeventfds(void)
{
	static const int indexes[] = {1, 0, -1, 1};

	put_eventfds(2);
	add(PLAIN, KVM_IOEVENTFD_FLAG_DATAMATCH, 0x10, 1)->datamatch = 0x1234;
	for (uint32_t i = 1; i < 4; i++)
		add(PLAIN, 0, 0x10 + 4 * i, (uint32_t)indexes[i]);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, REGION, &io), 0);
	CU_ASSERT_EQUAL(nr_questions, 2);
	CU_ASSERT_EQUAL(argsz[0], 16);
	CU_ASSERT_EQUAL(argsz[1], 16 + 4 * 48);
	CU_ASSERT_EQUAL_FATAL(io->nr_sub_regions, 4);
	CU_ASSERT_EQUAL_FATAL(io->nr_fds, 2);
	CU_ASSERT_EQUAL(io->sub_regions[0].flags, KVM_IOEVENTFD_FLAG_DATAMATCH);
	CU_ASSERT_EQUAL(io->sub_regions[0].datamatch, 0x1234);
	CU_ASSERT_EQUAL(io->sub_regions[0].shadow_fd_index, -1);
	for (uint32_t i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(io->sub_regions[i].type, VUC_IO_FD_IOEVENTFD);
		CU_ASSERT_EQUAL(io->sub_regions[i].offset, 0x10 + 4 * i);
		CU_ASSERT_EQUAL(io->sub_regions[i].size, 4);
		CU_ASSERT_EQUAL(io->sub_regions[i].fd_index, indexes[i]);
	}
	CU_ASSERT(signals(io->fds[0], fds[0]));
	CU_ASSERT(signals(io->fds[1], fds[1]));
}

/* Memory for the value beside the eventfd, and a type with a field of its own. */
static void
test_shadow_and_ioregionfd(void)
{
	struct vfio_user_sub_region_ioeventfd *sub;
	char byte = 0;
	int shadow;

	put_eventfds(1);
	fds[nr_fds++] = memfd_create("shadow", MFD_CLOEXEC);
	sub = add(SHADOW, 0, 0x20, 0);
	sub->shadow_mem_fd_index = 1;
	sub->shadow_offset = 0x800;
	add(IOREGION, 2, 0x40, 0)->shadow_offset = 0xabcdef; /* where user_data is */
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, REGION, &io), 0);
	CU_ASSERT_EQUAL_FATAL(io->nr_sub_regions, 2);
	CU_ASSERT_EQUAL(io->sub_regions[0].type, VUC_IO_FD_IOEVENTFD_SHADOW);
	CU_ASSERT_EQUAL(io->sub_regions[0].shadow_fd_index, 1);
	CU_ASSERT_EQUAL(io->sub_regions[0].shadow_offset, 0x800);
	CU_ASSERT_EQUAL(io->sub_regions[1].type, VUC_IO_FD_IOREGIONFD);
	CU_ASSERT_EQUAL(io->sub_regions[1].flags, 2);
	CU_ASSERT_EQUAL(io->sub_regions[1].user_data, 0xabcdef);
	shadow = io->fds[1];
	io->fds[1] = -1;
	vuc_io_fds_free(io);
	io = NULL;
	CU_ASSERT_EQUAL(pwrite(shadow, "x", 1, 0), 1);
	CU_ASSERT_EQUAL(pread(fds[1], &byte, 1, 0), 1);
	CU_ASSERT_EQUAL(byte, 'x');
	CU_ASSERT_EQUAL(close(shadow), 0);
}

/* None, and as many descriptors as a message can carry. */
static void
test_numbers(void)
{
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, REGION, &io), 0);
	CU_ASSERT_EQUAL(nr_questions, 1);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 0);
	CU_ASSERT_EQUAL(io->nr_fds, 0);
	vuc_io_fds_free(io);
	vuc_io_fds_free(NULL);
	put_eventfds(VUC_MAX_MSG_FDS);
	for (uint32_t i = 0; i < VUC_MAX_MSG_FDS; i++)
		add(PLAIN, 0, 8 * i, i);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(dev, REGION, &io), 0);
	CU_ASSERT_EQUAL_FATAL(io->nr_fds, VUC_MAX_MSG_FDS);
	for (uint32_t i = 0; i < VUC_MAX_MSG_FDS; i++)
		CU_ASSERT(signals(io->fds[i], fds[i]));
}

static bool
is_get_refused(uint32_t region, int error, const char *reason)
{
	static struct vuc_io_fds none;

	io = &none;
	return is_refused(dev, vuc_io_fds_get(dev, region, &io), error, reason) && io == NULL &&
		vuc_device_connected(dev);
}

/* Sub-regions are added meanwhile: asked again, but not for ever. */
static void
test_growing(void)
{
	put_eventfds(1);
	for (uint32_t i = 0; i < 20; i++)
		add(PLAIN, 0, 8 * i, 0);
	nr_subs = 1;
	grow = 1;
	CU_ASSERT(is_get_refused(REGION, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS: region 0: asked 4 times, and the server requires "
		"an argsz of 208 now"));
	CU_ASSERT_EQUAL(nr_questions, 4);
	grow = 0;
	CU_ASSERT_EQUAL(vuc_io_fds_get(dev, REGION, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 5);
}

#define REPLY "VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region 0: "

/* Answers that make no sense are refused, their descriptors closed, and the connection stands. */
static void
test_bad_answers(void)
{
	static const struct {
		uint32_t type, flags;
		uint64_t offset;
		uint32_t fd_index, more_argsz;
		const char *reason;
	} rows[] = {
		{PLAIN, 0, 0x10, 2, 0,
			REPLY "sub-region 0: fd_index 2, expected the index of a received fd"},
		{PLAIN, 0, 0xffe, 0, 0,
			REPLY "sub-region 0 of 0x4 bytes at 0xffe is outside the region's 0x1000"},
		{PLAIN, KVM_IOEVENTFD_FLAG_DEASSIGN, 0, 0, 0,
			REPLY "sub-region 0: flags 0x4, known are 0xb"},
		{IOREGION, KVM_IOEVENTFD_FLAG_DEASSIGN, 0, 0, 0,
			REPLY "sub-region 0: flags 0x4, known are 0x3"},
		{IOREGION, 0, 0, 0, 1u << 20, REPLY "argsz 1048640, expected 16 to 65536"},
	};

	put_eventfds(2);
	early_fds = true;
	for (size_t i = 0; i < NR(rows); i++) {
		nr_subs = 0;
		add(rows[i].type, rows[i].flags, rows[i].offset, rows[i].fd_index);
		more_argsz = rows[i].more_argsz;
		CU_ASSERT(is_get_refused(REGION, -EPROTO, rows[i].reason));
	}
	server.fault = (struct fake_fault){
		1, VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, FAKE_ERROR, 0, EOPNOTSUPP};
	CU_ASSERT(is_get_refused(REGION, -EOPNOTSUPP,
		"the server answered VFIO_USER_DEVICE_GET_REGION_IO_FDS with error 95 (Operation "
		"not supported)"));
	nr_questions = 0;
	CU_ASSERT(is_get_refused(VFIO_PCI_BAR1_REGION_INDEX, -EINVAL, "there is no region 1"));
	CU_ASSERT(is_get_refused(FAKE_NR_REGIONS, -EINVAL, "there is no region 9"));
	CU_ASSERT_EQUAL(nr_questions, 0);
}

/* ---- descriptors that nobody waits for ---- */

static struct fake_server socket_server;
static int client_fd;
static struct vuc_poll_group *group;
static struct vuc_device *socket_dev;

static void
open_by_socket(const char *transport)
{
	struct vuc_poll_group_opts group_opts;
	struct vuc_device_opts opts;

	vuc_poll_group_opts_init(&group_opts, sizeof(group_opts));
	group_opts.transport = transport;
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&group_opts, &group, NULL), 0);
	socket_server = server;
	client_fd = fake_server_start(&socket_server);
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.fd = client_fd;
	opts.group = group;
	socket_dev = open_well(&opts);
}

static void
close_by_socket(void)
{
	vuc_device_close(socket_dev);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	close(client_fd);
	fake_server_stop(&socket_server);
}

/* A command with a descriptor that it must not have. */
static int
send_stray_fd(void)
{
	const struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
	} command = {
		.header = {.cmd = VFIO_USER_DMA_READ,
			.msg_size = sizeof(command),
			.flags = VFIO_USER_F_TYPE_COMMAND},
		.access = {.count = 4},
	};

	return (int)vuc_fds_send(
		socket_server.fd, &command, sizeof(command), &fds[0], 1, MSG_NOSIGNAL);
}

static const char *const socket_transports[] = {"posix", NULL};

/* The kernel refuses them once the device is open, but for the answers that bring some. */
static void
test_stray_fds_refused(void)
{
	if (!fds_are_refused()) {
		vuc_tap_skip("this kernel refuses no descriptors (SO_PASSRIGHTS, Linux 6.16)");
		return;
	}
	put_eventfds(1);
	add(PLAIN, 0, 0, 0);
	for (size_t t = 0; t < NR(socket_transports); t++) {
		open_by_socket(socket_transports[t]);
		for (unsigned int i = 0; i < 2; i++) {
			CU_ASSERT_EQUAL(send_stray_fd(), -EPERM);
			CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(socket_dev, REGION, &io), 0);
			CU_ASSERT_EQUAL(io->nr_fds, 1);
			vuc_io_fds_free(io);
			io = NULL;
		}
		CU_ASSERT_EQUAL(send_stray_fd(), -EPERM);
		CU_ASSERT_TRUE(vuc_device_connected(socket_dev));
		close_by_socket();
	}
}

/* What was sent before they are refused is received in the way that keeps them, or the kernel would
 * close them on the polling thread. */
static void
test_stray_fds_seen(void)
{
	put_eventfds(1);
	for (size_t t = 0; t < NR(socket_transports); t++) {
		struct outcome o = {0};
		int unread = 0;

		open_by_socket(socket_transports[t]);
		held_up = true;
		CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get_start(socket_dev, REGION, &io, note, &o), 0);
		vuc_poll_group_poll(group);
		/* The answer lies in the socket before the other message. */
		sem_wait(&asked);
		sem_post(&answered);
		while (unread == 0)
			CU_ASSERT_EQUAL_FATAL(ioctl(client_fd, FIONREAD, &unread), 0);
		CU_ASSERT_TRUE(send_stray_fd() > 0);
		while (o.calls == 0 || vuc_device_connected(socket_dev))
			vuc_poll_group_poll(group);
		CU_ASSERT_EQUAL(o.status, 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(
			vuc_device_reason(socket_dev), "carried unexpected file descriptors"));
		held_up = false;
		vuc_io_fds_free(io);
		io = NULL;
		close_by_socket();
	}
}

const struct tap_suite tap_suite = {"io_fds", set_up, tear_down,
	{
		{"ioeventfds", test_ioeventfds},
		{"shadow and ioregionfd", test_shadow_and_ioregionfd},
		{"none and most", test_numbers},
		{"growing", test_growing},
		{"bad answers", test_bad_answers},
		{"stray descriptors are refused", test_stray_fds_refused},
		{"stray descriptors are seen", test_stray_fds_seen},
	}};

/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Servers that break the protocol without harm, as those of others do: a row says what the server
 * does, what becomes of a call, and which warning names it. The device works all the same.
 */

#include <limits.h>
#include <sys/eventfd.h>

#include <vuc/dma.h>
#include <vuc/feature.h>
#include <vuc/io_fds.h>
#include <vuc/irq.h>

#include "deviating_server.h"
#include "fd_count.h"
#include "memfd.h"
#include "peer.h"
#include "source.h"

#define MAX_AT_ONCE  32u /* reads of config space */
#define MAX_WARNINGS 4u

struct scene;

struct row {
	const char *name;
	struct deviation deviation;
	const char *json;   /* version data; NULL: the usual one */
	uint32_t irq_flags; /* of INTx; 0: none */
	uint32_t unread;    /* see struct fake_server */
	int (*call)(struct scene *s);
	int status;              /* of the call, or of opening where there is no call */
	bool ends;               /* the connection */
	const char *reason;      /* part of it */
	const char *warnings[2]; /* parts of those that there are, in their order */
};

/* A client and its server. */
struct scene {
	struct deviating_server server;
	const struct row *row;
	struct vuc_device_opts opts;
	struct vuc_server_faults faults;
	struct vuc_device *dev;
	struct vuc_error err;
	char warnings[MAX_WARNINGS][VUC_ERROR_MAX + 128];
	unsigned int nr_warnings;
	unsigned int fds;
};

/* ---- the client ---- */

static void
keep_warning(void *arg, enum vuc_log_level level, const char *line)
{
	struct scene *s = arg;

	if (level != VUC_LOG_WARNING)
		return;
	if (s->nr_warnings < MAX_WARNINGS)
		snprintf(s->warnings[s->nr_warnings], sizeof(s->warnings[0]), "%s", line);
	s->nr_warnings++;
}

/* Connect anew, with what is known of the server. */
static int
open_scene(struct scene *s)
{
	int fd = fake_server_start(&s->server.fake);
	int rc;

	s->opts.fd = fd;
	rc = vuc_device_open_known(&s->opts, &s->faults, &s->dev, &s->err);
	close(fd);
	return rc;
}

static void
close_scene(struct scene *s)
{
	vuc_device_close(s->dev);
	s->dev = NULL;
	fake_server_stop(&s->server.fake);
}

static void
start(struct scene *s, const struct row *row)
{
	memset(s, 0, sizeof(*s));
	s->fds = fd_count();
	s->row = row;
	deviating_server_init(&s->server, &row->deviation, row->json, row->irq_flags, row->unread);
	vuc_device_opts_init(&s->opts, sizeof(s->opts));
	s->opts.transport = peer_transport();
	s->opts.twin_socket = false;
	s->opts.log = keep_warning;
	s->opts.log_arg = s;
}

static int
read_bar(struct scene *s, uint32_t bar, size_t count)
{
	uint64_t value = 0;
	int rc = vuc_device_read(s->dev, bar, 0, &value, count);

	if (rc == 0)
		CU_ASSERT_EQUAL(value & 0xffffffff, 0xa0a0a0a0u + bar * 0x01010101u);
	return rc;
}

static int
read_4(struct scene *s)
{
	return read_bar(s, 0, 4);
}

static int
read_8(struct scene *s)
{
	return read_bar(s, 0, 8);
}

static int
write_bar(struct scene *s)
{
	return vuc_device_write(s->dev, 0, 0x100, "abcd", 4);
}

/* Only the first one is posted; all arrive, and those behind it. */
static int
post(struct scene *s)
{
	for (uint8_t i = 1; i <= 3; i++) {
		uint8_t got = 0;

		CU_ASSERT_EQUAL(vuc_device_write_posted(s->dev, 0, i, &i, 1), 0);
		CU_ASSERT_EQUAL(read_bar(s, 2, 4), 0);
		CU_ASSERT_EQUAL(vuc_device_read(s->dev, 0, i, &got, 1), 0);
		CU_ASSERT_EQUAL(got, i);
	}
	CU_ASSERT_EQUAL(s->server.posted, 1);
	return 0;
}

/* Many at once, before the first answer has come. */
static int
post_many(struct scene *s)
{
	char got = 0;

	for (unsigned int i = 0; i < 500; i++)
		CU_ASSERT_EQUAL(vuc_device_write_posted(s->dev, 0, i, "x", 1), 0);
	CU_ASSERT_EQUAL(read_bar(s, 2, 4), 0);
	CU_ASSERT_EQUAL(vuc_device_read(s->dev, 0, 499, &got, 1), 0);
	CU_ASSERT_EQUAL(got, 'x');
	return 0;
}

static int
reset(struct scene *s)
{
	int rc = vuc_device_reset(s->dev);

	CU_ASSERT_EQUAL(
		(vuc_device_info(s->dev)->flags & VFIO_DEVICE_FLAGS_RESET) == 0, rc == -EOPNOTSUPP);
	return rc;
}

static const struct vuc_irq_range intx = {.index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1};

static int
mask_irq(struct scene *s)
{
	return vuc_irq_act(s->dev, &intx, VUC_IRQ_MASK);
}

static int
assign_irq(struct scene *s)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	int rc = vuc_irq_assign(s->dev, &intx, VUC_IRQ_TRIGGER, &fd, NULL);

	if (rc == 0)
		rc = vuc_irq_assign(s->dev, &intx, VUC_IRQ_UNMASK, &fd, NULL);
	close(fd);
	return rc;
}

/* Map memory by descriptor, with an address to access it by or without. */
static int
map(struct scene *s, uint64_t iova, bool with_addr)
{
	struct vuc_dma_mapping mapping = {.iova = iova,
		.size = BAR_SIZE,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
		.addr = with_addr ? s->server.bar0 : NULL};
	int rc;

	mapping.fd = vuc_memfd_create("memory", BAR_SIZE, 0);
	rc = vuc_dma_map(s->dev, &mapping);
	close(mapping.fd);
	return rc;
}

static int
map_one(struct scene *s)
{
	int rc = map(s, 0, true);

	return rc == 0 ? vuc_dma_commit(s->dev) : rc;
}

static int
map_without_address(struct scene *s)
{
	return map(s, 0, false);
}

/* All of two at once, and single ones where the server does not know that. */
static int
unmap_all(struct scene *s)
{
	int rc = map(s, 0, true);

	if (rc == 0)
		rc = map(s, 4 * BAR_SIZE, true);
	if (rc == 0)
		rc = vuc_dma_commit(s->dev);
	if (rc == 0)
		rc = vuc_dma_unmap_all(s->dev);
	if (rc == 0)
		rc = vuc_dma_commit(s->dev);
	CU_ASSERT_EQUAL(vuc_dma_server_count(s->dev), 0);
	return rc;
}

static int
get_io_fds(struct scene *s)
{
	struct vuc_io_fds *io_fds;
	int rc = vuc_io_fds_get(s->dev, 0, &io_fds);

	CU_ASSERT_EQUAL(io_fds == NULL, rc != 0);
	vuc_io_fds_free(io_fds);
	return rc;
}

static int
probe_feature(struct scene *s)
{
	int rc = vuc_feature_probe(s->dev, 1, VUC_FEATURE_GET);

	/* What is left unread shows with the next command. */
	return rc != 0 && vuc_device_connected(s->dev) ? read_bar(s, 2, 4) : rc;
}

/* What a poller does for a queue; of a write that is posted the next access tells. */
static void
access_done(void *arg, const struct vuc_session_reply *reply)
{
	*(int *)arg = reply->status;
}

static int
access_of_queue(struct scene *s, enum vuc_op op, uint64_t offset, uint8_t *data, uint32_t count)
{
	int status = op == VUC_OP_WRITE_POSTED ? 0 : INT_MAX;
	const struct vuc_session_access access = {
		.region = CONFIG,
		.offset = offset,
		.data = data,
		.count = count,
		.done = access_done,
		.arg = &status,
	};
	int rc;

	while ((rc = vuc_device_access_begin(s->dev, op, &access)) == -EAGAIN)
		vuc_poll_group_poll(vuc_device_poll_group(s->dev));
	while (rc == 0 && status == INT_MAX)
		vuc_poll_group_poll(vuc_device_poll_group(s->dev));
	return rc != 0 ? rc : status;
}

static int
access_of_caller(struct scene *s, enum vuc_op op, uint64_t offset, uint8_t *data, uint32_t count)
{
	switch (op) {
	case VUC_OP_READ:
		return vuc_device_read(s->dev, CONFIG, offset, data, count);
	case VUC_OP_WRITE_POSTED:
		return vuc_device_write_posted(s->dev, CONFIG, offset, data, count);
	default:
		return vuc_device_write(s->dev, CONFIG, offset, data, count);
	}
}

/* By registers, however much of it is accessed, and by whom. */
static int
access_config_at(struct scene *s, uint64_t offset, uint32_t count)
{
	static int (*const ways[])(struct scene *, enum vuc_op, uint64_t, uint8_t *, uint32_t) = {
		access_of_caller, access_of_queue};
	static const enum vuc_op writes[] = {VUC_OP_WRITE, VUC_OP_WRITE_POSTED};
	uint8_t bytes[CONFIG_SIZE], got[CONFIG_SIZE];
	int rc = 0;

	for (size_t n = 0; rc == 0 && n < 4; n++) {
		for (size_t i = 0; i < count; i++)
			bytes[i] = (uint8_t)(n * 50 + offset + i);
		rc = ways[n / 2](s, writes[n % 2], offset, bytes, count);
		if (rc == 0)
			rc = ways[n % 2](s, VUC_OP_READ, offset, got, count);
		CU_ASSERT_EQUAL(memcmp(got, bytes, count), 0);
	}
	return rc;
}

static int
access_config(struct scene *s)
{
	int rc = 0;

	for (uint64_t offset = 0; offset < 8; offset++) {
		for (uint32_t n = 1; rc == 0 && n < 24; n++)
			rc = access_config_at(s, offset, n);
	}
	return rc == 0 ? access_config_at(s, 0, CONFIG_SIZE) : rc;
}

static int
region_is_absent(struct scene *s)
{
	CU_ASSERT_EQUAL(vuc_device_region(s->dev, 8)->size, 0);
	CU_ASSERT_EQUAL(vuc_device_region(s->dev, 8)->index, 8);
	return 0;
}

static int
irq_is_absent(struct scene *s)
{
	CU_ASSERT_EQUAL(vuc_device_irq(s->dev, 0)->count, 0);
	return 0;
}

#define JSON(caps) "{\"capabilities\":{" caps "}}"

/* clang-format off */
#define READ   VFIO_USER_REGION_READ
#define WRITE  VFIO_USER_REGION_WRITE
#define RESET  VFIO_USER_DEVICE_RESET
#define REGION VFIO_USER_DEVICE_GET_REGION_INFO
#define IRQ    VFIO_USER_DEVICE_GET_IRQ_INFO
#define INFO   VFIO_USER_DEVICE_GET_INFO
#define IRQS   VFIO_USER_DEVICE_SET_IRQS
#define MAP    VFIO_USER_DMA_MAP
#define UNMAP  VFIO_USER_DMA_UNMAP
#define IO_FDS VFIO_USER_DEVICE_GET_REGION_IO_FDS

#define ANSWERED "the server answered a posted VFIO_USER_REGION_WRITE"
#define TYPE(cmd) "an error reply to VFIO_USER_" cmd " has the type of a command"
#define NO_RESET "flags have VFIO_DEVICE_FLAGS_RESET, but the server answered"

static const struct row rows[] = {
	{"nothing wrong", .call = post_many},

	/* Posted writes that are answered. */
	{"posted write answered", {WRITE, ANSWER, 0}, .call = post,
		.warnings = {ANSWERED ": later writes request a reply"}},
	{"many posted writes answered", {WRITE, ANSWER, 0}, .call = post_many,
		.warnings = {ANSWERED}},
	{"posted write refused", {WRITE, REFUSE, 0, 22}, .call = post,
		.warnings = {ANSWERED " with an error"}},
	{"posted write refused as a command", {WRITE, REFUSE_AS_CMD, 0, 0}, .call = post,
		.warnings = {ANSWERED " with an error"}},
	{"posted write refused with its data", {WRITE, REFUSE_WITH_BODY, 0, 5}, .call = post_many,
		.warnings = {ANSWERED " with an error"}},

	/* Errors without the type of a reply, and with a body. */
	{"read refused as a command", {READ, REFUSE_AS_CMD, 0, 22}, .call = read_4,
		.status = -EINVAL, .reason = "VFIO_USER_REGION_READ with error 22",
		.warnings = {TYPE("REGION_READ")}},
	{"mask refused as a command", {IRQS, REFUSE_AS_CMD, 0, 22}, .irq_flags = 7,
		.call = mask_irq, .status = -EINVAL, .reason = "SET_IRQS with error 22",
		.warnings = {TYPE("DEVICE_SET_IRQS")}},
	{"reset refused as a command", {RESET, REFUSE_AS_CMD, ANY, 0}, .call = reset,
		.status = -EOPNOTSUPP, .warnings = {TYPE("DEVICE_RESET"), NO_RESET}},
	{"region refused as a command", {REGION, REFUSE_AS_CMD, 8, 22}, .call = region_is_absent,
		.warnings = {TYPE("DEVICE_GET_REGION_INFO"), "region 8: "}},
	{"mapping refused with a body", {MAP, REFUSE_WITH_BODY, ANY, 22}, .call = map_one,
		.status = -EINVAL, .reason = "VFIO_USER_DMA_MAP with error 22",
		.warnings = {"error reply to VFIO_USER_DMA_MAP has a body of 32 bytes"}},

	/* Optional things. */
	{"reset: error 0", {RESET, REFUSE, ANY, 0}, .call = reset, .status = -EOPNOTSUPP,
		.warnings = {NO_RESET}},
	{"reset: error 38", {RESET, REFUSE, ANY, 38}, .call = reset, .status = -EOPNOTSUPP,
		.warnings = {NO_RESET}},
	{"reset: error 95", {RESET, REFUSE, ANY, 95}, .call = reset, .status = -EOPNOTSUPP,
		.warnings = {NO_RESET}},
	{"reset: error 16", {RESET, REFUSE, ANY, 16}, .call = reset, .status = -EBUSY},
	{"reset closes", {RESET, CLOSE, ANY}, .call = reset, .status = -ECONNRESET, .ends = true,
		.reason = "closed the connection instead of answering VFIO_USER_DEVICE_RESET"},
	{"IO fds: error 0", {IO_FDS, REFUSE, ANY, 0}, .call = get_io_fds, .status = -EOPNOTSUPP},
	{"IO fds: error 22", {IO_FDS, REFUSE, ANY, 22}, .call = get_io_fds, .status = -EOPNOTSUPP},
	{"IO fds: error 38", {IO_FDS, REFUSE, ANY, 38}, .call = get_io_fds, .status = -EOPNOTSUPP},
	{"IO fds: error 95", {IO_FDS, REFUSE, ANY, 95}, .call = get_io_fds, .status = -EOPNOTSUPP},
	{"IO fds: error 12", {IO_FDS, REFUSE, ANY, 12}, .call = get_io_fds, .status = -ENOMEM},
	{"unmap all: error 0", {UNMAP, REFUSE, ANY, 0}, .call = unmap_all},
	{"unmap all: error 2", {UNMAP, REFUSE, ANY, 2}, .call = unmap_all},
	{"unmap all: error 14", {UNMAP, REFUSE, ANY, 14}, .call = unmap_all},
	{"unmap all: error 38", {UNMAP, REFUSE, ANY, 38}, .call = unmap_all},

	/* What there is. */
	{"region 8: error 22", {REGION, REFUSE, 8, 22}, .call = region_is_absent,
		.warnings = {"region 8: the server answered"}},
	{"region 8: error 0", {REGION, REFUSE, 8, 0}, .call = region_is_absent,
		.warnings = {"region 8: the server answered"}},
	{"ROM: error 95", {REGION, REFUSE, 6, 95}, .call = read_4,
		.warnings = {"region 6: the server answered"}},
	{"BAR 1: error 22", {REGION, REFUSE, 1, 22}, .status = -EINVAL,
		.reason = "region 1: the server answered"},
	{"config space: error 22", {REGION, REFUSE, 7, 22}, .status = -EINVAL,
		.reason = "region 7: the server answered"},
	{"all IRQ indexes: error 22", {IRQ, REFUSE, ANY, 22}, .call = irq_is_absent,
		.warnings = {"IRQ index 0 and 4 more: "}},
	{"region: argsz of the request", {REGION, SET_ARGSZ, 2, 1024}, .call = read_4,
		.warnings = {"region 2: argsz 1024, and a body of 32 bytes"}},
	{"region: argsz 0", {REGION, SET_ARGSZ, ANY, 0}, .call = read_4,
		.warnings = {"region 0: argsz 0, and a body of 32 bytes"}},
	{"region: capabilities at 0", {REGION, SET_FLAGS, 2, VFIO_REGION_INFO_FLAG_CAPS},
		.call = read_4, .warnings = {"region 2: VFIO_REGION_INFO_FLAG_CAPS with"}},
	{"device: 81 bytes", {INFO, CUT, ANY, 81 - HEADER}, .call = read_4},
	{"device: 144 bytes", {INFO, CUT, ANY, 144 - HEADER}, .call = read_4},
	{"IRQ index: 144 bytes", {IRQ, CUT, ANY, 144 - HEADER}, .call = read_4},
	{"device: 1041 bytes", {INFO, CUT, ANY, 1041 - HEADER}, .status = -EPROTO,
		.reason = "msg_size 1041, expected 32 to 1040"},
	{"device: argsz 0", {INFO, SET_ARGSZ, ANY, 0}, .call = read_4,
		.warnings = {"GET_INFO: argsz 0"}},
	{"device: not PCI", {INFO, CLEAR_FLAGS, ANY, VFIO_DEVICE_FLAGS_PCI}, .call = read_4,
		.warnings = {"lack VFIO_DEVICE_FLAGS_PCI"}},
	{"IRQ index: argsz 8", {IRQ, SET_ARGSZ, ANY, 8}, .call = read_4,
		.warnings = {"index 0: argsz 8"}},
	{"IRQ index without flags", .irq_flags = 0, .call = assign_irq,
		.warnings = {"IRQ index 0: its flags 0x0 lack VFIO_IRQ_INFO_EVENTFD"}},
	{"INTx without MASKABLE", .irq_flags = VFIO_IRQ_INFO_EVENTFD, .call = assign_irq,
		.warnings = {"IRQ index 0: its flags 0x1 lack VFIO_IRQ_INFO_MASKABLE"}},

	/* Accesses. */
	{"read: no body", {READ, CUT, 0, 0}, .call = read_4, .status = -EPROTO,
		.reason = "a reply without data", .warnings = {"a reply without data"}},
	{"read: short", {READ, CUT, 0, ACCESS + 4}, .call = read_8, .status = -EPROTO,
		.reason = "4 bytes of data, requested count 8",
		.warnings = {"4 bytes of data, requested count 8"}},
	{"read: data alone", {READ, CUT, 0, 4}, .call = read_4, .status = -EPROTO, .ends = true,
		.reason = "msg_size 20, expected 32 to 36"},
	{"read: count 0", {READ, SET_COUNT, 0, 0}, .call = read_4,
		.warnings = {"a reply of 20 bytes with count 0, requested 4"}},
	{"config space by registers only", {READ, CLOSE_ON_ODD_SIZE, CONFIG},
		.call = access_config},
	{"read closes", {READ, CLOSE, 0}, .call = read_4, .status = -ECONNRESET, .ends = true,
		.reason = "closed the connection instead of answering VFIO_USER_REGION_READ"},
	{"write", .call = write_bar},

	/* Limits. */
	{"no descriptors, memory by message", .json = JSON("\"max_msg_fds\":0"), .call = map_one,
		.warnings = {"max_msg_fds is 0"}},
	{"no descriptors, no address", .json = JSON("\"max_msg_fds\":0"),
		.call = map_without_address, .status = -EINVAL,
		.reason = "the server accepts no file descriptors (max_msg_fds 0)"},
	{"7 bytes a message", .json = JSON("\"max_data_xfer_size\":7"), .status = -EPROTO,
		.reason = "max_data_xfer_size is 7, expected 8"},
	{"8 bytes a message", .json = JSON("\"max_data_xfer_size\":8"), .call = access_config},
	{"limits that are none",
		.json = JSON("\"max_msg_fds\":100000,\"max_data_xfer_size\":4294967296,"
			"\"max_dma_maps\":1099511627776"), .call = map_one},
	{"most bytes a message", .json = JSON("\"max_data_xfer_size\":4294967295"),
		.call = access_config},
	{"capabilities are null", .json = "{\"capabilities\":null}", .call = map_one},
	{"pages of 1 byte", .json = JSON("\"pgsizes\":1"), .status = -EPROTO,
		.reason = "pgsizes is 1, expected 4096"},
	{"pages of odd sizes", .json = JSON("\"pgsizes\":12344"), .status = -EPROTO,
		.reason = "pgsizes is 12344, expected a multiple of 4096"},

	/* A command that is refused before all of it was read. */
	{"IO fds unread", .unread = 1u << IO_FDS, .call = get_io_fds, .status = -EOPNOTSUPP},
	{"feature unread", .unread = 1u << VFIO_USER_DEVICE_FEATURE, .call = probe_feature,
		.status = -EPROTO, .ends = true,
		.reason = "after the server had refused VFIO_USER_DEVICE_FEATURE"},
};
/* clang-format on */

static bool
has_warnings(const struct scene *s)
{
	unsigned int nr = 0;

	for (; nr < 2 && s->row->warnings[nr] != NULL; nr++) {
		if (nr >= s->nr_warnings || strstr(s->warnings[nr], s->row->warnings[nr]) == NULL)
			return false;
	}
	return nr == s->nr_warnings;
}

static void
print_scene(const struct scene *s, int status, const char *reason)
{
	printf("# %s: status %d, reason '%s', %u warnings\n", s->row->name, status, reason,
		s->nr_warnings);
	for (unsigned int i = 0; i < s->nr_warnings && i < MAX_WARNINGS; i++)
		printf("# %s\n", s->warnings[i]);
}

static void
run_row(const struct row *row)
{
	static struct scene s;
	const char *reason;
	bool right;
	int status;

	start(&s, row);
	status = open_scene(&s);
	CU_ASSERT_EQUAL(status != 0, row->call == NULL);
	if (status == 0 && row->call != NULL)
		status = row->call(&s);
	reason = s.dev != NULL ? vuc_device_reason(s.dev) : s.err.text;
	right = status == row->status && has_warnings(&s) &&
		(row->reason == NULL || strstr(reason, row->reason) != NULL);
	CU_ASSERT(right);
	if (!right)
		print_scene(&s, status, reason);
	if (s.dev != NULL && row->unread == 0) {
		CU_ASSERT_EQUAL(vuc_device_connected(s.dev), !row->ends);
		CU_ASSERT_EQUAL(read_bar(&s, 2, 4), row->ends ? status : 0);
	}
	CU_ASSERT_EQUAL(s.server.odd, 0);
	CU_ASSERT(s.server.at_once <= MAX_AT_ONCE);
	close_scene(&s);
	CU_ASSERT_EQUAL(fd_count(), s.fds);
}

static void
test_deviations(void)
{
	for (size_t i = 0; i < NR(rows); i++)
		run_row(&rows[i]);
}

/* A question that broke the connection is not asked again, nor is a fault named again. */
static void
test_remembered(void)
{
	static const struct row row = {"remembered", {WRITE, ANSWER, 0}, .unread = 1u << IO_FDS};
	static struct scene s;

	start(&s, &row);
	CU_ASSERT_EQUAL_FATAL(open_scene(&s), 0);
	CU_ASSERT_EQUAL(post(&s), 0);
	CU_ASSERT_EQUAL(get_io_fds(&s), -EOPNOTSUPP);
	while (vuc_device_connected(s.dev))
		vuc_poll_group_poll(vuc_device_poll_group(s.dev));
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(s.dev),
		"after the server had refused VFIO_USER_DEVICE_GET_REGION_IO_FDS"));
	close_scene(&s);

	CU_ASSERT_EQUAL_FATAL(open_scene(&s), 0);
	CU_ASSERT_EQUAL(get_io_fds(&s), -EOPNOTSUPP);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(s.dev),
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS is not sent: it has closed a connection"));
	CU_ASSERT_EQUAL(vuc_device_write_posted(s.dev, 0, 0, "x", 1), 0);
	CU_ASSERT_EQUAL(read_bar(&s, 2, 4), 0);
	CU_ASSERT_EQUAL(s.server.posted, 1);
	CU_ASSERT_EQUAL(s.nr_warnings, 1);
	close_scene(&s);
}

/* The same for a server that dies of the question, and for one that is not to be asked at all. */
static void
test_not_asked(void)
{
	static const struct row row = {"not asked", {IO_FDS, CLOSE, ANY}};
	static struct scene s;

	start(&s, &row);
	CU_ASSERT_EQUAL_FATAL(open_scene(&s), 0);
	CU_ASSERT_EQUAL(get_io_fds(&s), -ECONNRESET);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(s.dev),
		"instead of answering VFIO_USER_DEVICE_GET_REGION_IO_FDS"));
	close_scene(&s);
	CU_ASSERT_EQUAL_FATAL(open_scene(&s), 0);
	CU_ASSERT_EQUAL(get_io_fds(&s), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(read_bar(&s, 2, 4), 0);
	close_scene(&s);

	start(&s, &row);
	s.opts.io_fds = false;
	CU_ASSERT_EQUAL_FATAL(open_scene(&s), 0);
	CU_ASSERT_EQUAL(get_io_fds(&s), -EOPNOTSUPP);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(s.dev), "io_fds is off"));
	CU_ASSERT_EQUAL(s.server.asked[IO_FDS], 0);
	close_scene(&s);
}

/* Fewer than the server says that it takes. */
static void
test_max_dma_maps(void)
{
	static const struct row row = {"max_dma_maps"};
	static struct scene s;

	start(&s, &row);
	s.opts.max_dma_maps = 2;
	CU_ASSERT_EQUAL_FATAL(open_scene(&s), 0);
	CU_ASSERT_EQUAL(vuc_device_version(s.dev)->max_dma_maps, 2);
	CU_ASSERT_EQUAL(map(&s, 0, true), 0);
	CU_ASSERT_EQUAL(map(&s, 4 * BAR_SIZE, true), 0);
	CU_ASSERT_EQUAL(map(&s, 8 * BAR_SIZE, true), -ENOSPC);
	CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
	CU_ASSERT_EQUAL(s.server.asked[VFIO_USER_DMA_MAP], 2);
	close_scene(&s);
}

const struct tap_suite tap_suite = {"servers", NULL, NULL,
	{
		{"deviations", test_deviations},
		{"what is remembered of a server", test_remembered},
		{"what is not asked", test_not_asked},
		{"max_dma_maps", test_max_dma_maps},
	},
	.begin = peer_begin};

/* SPDX-License-Identifier: BSD-3-Clause */

/* DMA mappings as a server sees them, which keeps a record and refuses when told. */

#include <vuc/dma.h>

#include "fake_server.h"
#include "memfd.h"
#include "outcome.h"

#define PAGE  0x1000u
#define RW    (VUC_DMA_READ | VUC_DMA_WRITE)
#define MAP   VFIO_USER_DMA_MAP
#define UNMAP VFIO_USER_DMA_UNMAP
#define NONE  UINT64_MAX

static struct fake_server server;
static struct vuc_device *dev;
static uint8_t memory[16 * PAGE];
static int file;

/* Which messages are refused: all of a command, and those about an address. */
static uint16_t refused_cmd;
static uint64_t refused_iova;
static int refused_errno;

/* Which of the first pages it has. It refuses what does not go with them, as any server does. */
static bool has_page[4096];

static unsigned int moves; /* of memory, by the library */

void *
memmove(void *to, const void *from, size_t len)
{
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	moves++;
	if ((uintptr_t)to < (uintptr_t)from) {
		for (size_t i = 0; i < len; i++)
			t[i] = f[i];
	} else {
		while (len-- > 0)
			t[len] = f[len];
	}
	return to;
}

/* A mapping as "M3+2@5", of 2 pages at page 3, at page 5 of its file, with "r" when it is
 * read-only; an unmapping as "U3+2", with "*" when it is of all. */
static void
record(uint16_t cmd, uint64_t iova, uint64_t size, uint32_t flags, const char *from)
{
	static const struct {
		uint16_t cmd;
		uint32_t flags;
		const char *text;
	} known[] = {
		{MAP, VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE, ""},
		{MAP, VFIO_USER_F_DMA_REGION_READ, "r"},
		{UNMAP, 0, ""},
		{UNMAP, VFIO_DMA_UNMAP_FLAG_ALL, "*"},
	};
	const char *text = "?";

	for (size_t i = 0; i < NR(known); i++)
		text = known[i].cmd == cmd && known[i].flags == flags ? known[i].text : text;
	fake_server_log(&server, "%c%x+%x%s%s ", cmd == MAP ? 'M' : 'U',
		(unsigned int)(iova / PAGE), (unsigned int)(size / PAGE), from, text);
}

/* Whether all these pages change. */
static bool
change_pages(uint64_t iova, uint64_t size, bool has)
{
	for (uint64_t n = iova / PAGE; n < (iova + size) / PAGE && n < NR(has_page); n++) {
		if (has_page[n] == has)
			return false;
		has_page[n] = has;
	}
	return true;
}

/* A fake_command_fn. */
static int
serve_command(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	struct vfio_user_dma_map map;
	struct vfio_user_dma_unmap unmap;
	char from[16] = "";
	uint64_t iova = NONE - 1;

	(void)arg;
	if (header->cmd == MAP) {
		fake_server_body(request, &map, sizeof(map));
		if (request->nr_fds > 0 || map.offset != 0)
			snprintf(from, sizeof(from), "@%x", (unsigned int)(map.offset / PAGE));
		record(MAP, map.addr, map.size, map.flags, from);
		iova = map.addr;
	} else if (header->cmd == UNMAP) {
		fake_server_body(request, &unmap, sizeof(unmap));
		record(UNMAP, unmap.addr, unmap.size, unmap.flags, from);
		iova = unmap.addr;
		memcpy(reply->body, &unmap, sizeof(unmap));
		reply->len = sizeof(unmap);
	}
	if (iova == refused_iova || header->cmd == refused_cmd)
		return refused_errno;
	if (header->cmd == MAP)
		return change_pages(map.addr, map.size, true) ? 0 : EEXIST;
	if (header->cmd == UNMAP && (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0)
		memset(has_page, 0, sizeof(has_page));
	else if (header->cmd == UNMAP)
		return change_pages(unmap.addr, unmap.size, false) ? 0 : ENOENT;
	return 0;
}

static void
start(enum vuc_dma_policy policy, unsigned int max_dma_maps)
{
	struct vuc_device_opts opts;
	static char json[96];

	memset(has_page, 0, sizeof(has_page));
	snprintf(json, sizeof(json), "{\"capabilities\":{\"max_msg_fds\":8,\"max_dma_maps\":%u}}",
		max_dma_maps);
	server = (struct fake_server){
		.json = json, .flags = VFIO_DEVICE_FLAGS_RESET, .command = serve_command};
	fake_server_opts(&server, &opts);
	opts.dma = policy;
	dev = open_well(&opts);
	server.nr_seen = 0;
}

static void
restart(enum vuc_dma_policy policy, unsigned int max_dma_maps)
{
	vuc_device_close(dev);
	start(policy, max_dma_maps);
}

static void
set_up(void)
{
	file = vuc_memfd_create("guest", 1024 * PAGE, 0);
	refused_cmd = 0;
	refused_iova = NONE;
	refused_errno = ENOMEM;
	start(VUC_DMA_SHARED, 64);
}

static void
tear_down(void)
{
	vuc_device_close(dev);
	CU_ASSERT_EQUAL(close(file), 0);
}

static int
map(uint64_t iova, uint64_t size, uint32_t flags, int fd, uint64_t offset)
{
	const struct vuc_dma_mapping m = {iova, size, flags, fd, offset, memory};

	return vuc_dma_map(dev, &m);
}

static int
unmap(unsigned int page, unsigned int pages)
{
	return vuc_dma_unmap(dev, page * PAGE, pages * PAGE);
}

/* Page n of the memory at iova n pages, with descriptor or without. */
static void
map_page(unsigned int n, int fd)
{
	const struct vuc_dma_mapping m = {
		n * PAGE, PAGE, RW, fd, fd >= 0 ? n * PAGE : 0, memory + n * PAGE};

	CU_ASSERT_EQUAL(vuc_dma_map(dev, &m), 0);
}

static void
map_pages(unsigned int first, unsigned int last, unsigned int step, int fd)
{
	for (unsigned int n = first; n <= last; n += step)
		map_page(n, fd);
}

/* Commit, for a reason that it is refused, or NULL. These messages are seen, and count mappings are
 * there then, server_count of them in the server. */
static void
commit(const char *reason, const char *expected, uint32_t count, uint32_t server_count)
{
	int rc = vuc_dma_commit(dev);

	CU_ASSERT(reason == NULL ? rc == 0 : is_refused(dev, rc, -ENOMEM, reason));
	CU_ASSERT(fake_server_saw(&server, expected));
	CU_ASSERT_EQUAL(vuc_dma_count(dev), count);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), server_count);
}

static void
test_map_and_unmap(void)
{
	int fd = dup(file);

	CU_ASSERT_EQUAL(map(0x10000, 2 * PAGE, VUC_DMA_READ, fd, 3 * PAGE), 0);
	CU_ASSERT(fake_server_saw(&server, ""));
	CU_ASSERT_EQUAL(vuc_dma_count(dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 0);
	close(fd);
	commit(NULL, "M10+2@3r ", 1, 1);
	commit(NULL, "", 1, 1);
	CU_ASSERT_EQUAL(unmap(0x10, 2), 0);
	commit(NULL, "U10+2 ", 0, 0);
}

static void
test_coalesce(void)
{
	for (unsigned int n = 0; n < 16; n++)
		map_page((n * 5) % 16, file);
	commit(NULL, "M0+10@0 ", 16, 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
	commit(NULL, "U0+10 U0+0* ", 0, 0);
}

/* A piece of a coalesced mapping goes, and what is around it stays. */
static void
test_unmap_a_piece(void)
{
	map_pages(0, 7, 1, file);
	commit(NULL, "M0+8@0 ", 8, 1);
	CU_ASSERT_EQUAL(unmap(3, 2), 0);
	commit(NULL, "U0+8 M0+3@0 M5+3@5 ", 6, 2);
	CU_ASSERT_EQUAL(unmap(5, 3), 0);
	commit(NULL, "U5+3 ", 3, 1);
}

/* As a VMM does while firmware moves things about: all in one commit, in this order. */
static void
test_replace(void)
{
	restart(VUC_DMA_SHARED, 8);
	map_pages(0, 7, 1, file);
	commit(NULL, "M0+8@0 ", 8, 1);
	CU_ASSERT_EQUAL(unmap(2, 1), 0);
	CU_ASSERT_EQUAL(map(2 * PAGE, PAGE, VUC_DMA_READ, file, 0), 0);
	commit(NULL, "U0+8 M0+2@0 M3+5@3 M2+1@0r ", 8, 3);
}

static void
test_nothing_to_say(void)
{
	commit(NULL, "", 0, 0);
	map_page(0, -1);
	CU_ASSERT_EQUAL(unmap(0, 1), 0);
	commit(NULL, "", 0, 0);
}

static void
test_message_policy(void)
{
	const struct vuc_dma_mapping no_addr = {.iova = 0x100000, .size = PAGE, .flags = RW};

	restart(VUC_DMA_MESSAGE, 64);
	map_page(1, file);
	CU_ASSERT_EQUAL(map(0x8000, PAGE, RW | VUC_DMA_MMAP, file, PAGE), 0);
	commit(NULL, "M1+1 M8+1 ", 2, 2);
	CU_ASSERT_EQUAL(vuc_dma_map(dev, &no_addr), -EINVAL);
}

/* In this order, with room for two mappings. */
static void
test_refused_here(void)
{
	static const struct {
		bool unmap;
		uint64_t iova, size;
		uint32_t flags;
		int fd;
		uint64_t offset;
		int rc;
		const char *reason;
	} rows[] = {
		{false, 0, 0, RW, -1, 0, -EINVAL, "*0x0 + 0x0: empty*"},
		{false, 0x800, PAGE, RW, -1, 0, -EINVAL, "*page size*"},
		{false, 0, 0x800, RW, -1, 0, -EINVAL, "*page size*"},
		{false, 0, PAGE, RW, 1000000, 0x800, -EINVAL, "*page size*"},
		{false, 0xfffffffffffff000, PAGE, RW, -1, 0, -EINVAL, "*beyond the end*"},
		{false, 0, PAGE, 0, -1, 0, -EINVAL, "*neither readable nor writable*"},
		{false, 0, PAGE, RW | 0x100, -1, 0, -EINVAL, "*unknown flags*"},
		{false, 0, PAGE, RW | VUC_DMA_MMAP, -1, 0, -EINVAL, "*without a file descriptor*"},
		{false, 0, PAGE, RW, -1, PAGE, -EINVAL, "*without a file descriptor*"},
		{false, 0, PAGE, RW, 1000000, 0, -EBADF, "*Bad file descriptor*"},
		{false, PAGE, PAGE, RW, -1, 0, 0, "*"},
		{false, PAGE, PAGE, RW, -1, 0, -EEXIST, "*0x1000 + 0x1000: overlaps*"},
		{false, 0, 8 * PAGE, RW, -1, 0, -EEXIST, "*overlaps*"},
		{false, 3 * PAGE, PAGE, RW, -1, 0, 0, "*"},
		{false, 0x100000, PAGE, RW, -1, 0, -ENOSPC, "*max_dma_maps*"},
		{true, 0x200000, PAGE, 0, 0, 0, -ENOENT, "*is not mapped*"},
		{true, PAGE, 0x800, 0, 0, 0, -EINVAL, "*covers only a part of a mapping*"},
		{true, 0, 0, 0, 0, 0, -EINVAL, "*empty*"},
	};
	const struct vuc_dma_mapping bare = {.iova = 0x100000, .size = PAGE, .flags = RW, .fd = -1};

	restart(VUC_DMA_SHARED, 2);
	CU_ASSERT(is_refused(
		dev, vuc_dma_map(dev, &bare), -EINVAL, "*no file descriptor and no address*"));
	for (size_t i = 0; i < NR(rows); i++) {
		int rc = rows[i].unmap ? vuc_dma_unmap(dev, rows[i].iova, rows[i].size)
				       : map(rows[i].iova, rows[i].size, rows[i].flags, rows[i].fd,
						 rows[i].offset);

		CU_ASSERT(is_refused(dev, rc, rows[i].rc, rows[i].reason));
	}
	CU_ASSERT(fake_server_saw(&server, ""));
	commit(NULL, "M1+1 M3+1 ", 2, 2);
}

/* The rest is done all the same, and the table says what is. */
static void
test_refused_there(void)
{
	map_pages(1, 9, 2, -1);
	refused_iova = 5 * PAGE;
	commit("*DMA mapping of 0x5000 + 0x1000: the server answered VFIO_USER_DMA_MAP*",
		"M1+1 M3+1 M5+1 M7+1 M9+1 ", 4, 4);
	CU_ASSERT_EQUAL(unmap(5, 1), -ENOENT);
	refused_iova = 7 * PAGE;
	CU_ASSERT_EQUAL(unmap(0, 16), 0);
	commit("*DMA unmapping of 0x7000 + 0x1000: the server answered VFIO_USER_DMA_UNMAP*",
		"U1+1 U3+1 U7+1 U9+1 ", 1, 1);
	refused_iova = NONE;
	CU_ASSERT_EQUAL(unmap(7, 1), 0);
	commit(NULL, "U7+1 ", 0, 0);
}

/* What stays of a mapping that goes is mapped anew. Where the server refuses that, each piece is
 * named, and may be mapped again. */
static void
test_refused_rest(void)
{
	map_pages(0, 7, 1, file);
	commit(NULL, "M0+8@0 ", 8, 1);
	CU_ASSERT_EQUAL(unmap(2, 1), 0);
	CU_ASSERT_EQUAL(unmap(5, 1), 0);
	refused_cmd = MAP;
	commit("*DMA mapping of 0x0 + 0x2000, which was mapped before and is lost*"
	       "; lost, too: 0x3000 + 0x2000; lost, too: 0x6000 + 0x2000*",
		"U0+8 M0+2@0 M3+2@3 M6+2@6 ", 0, 0);
	refused_cmd = 0;
	map_page(3, file);
	commit(NULL, "M3+1@3 ", 1, 1);
}

#define NR_MANY 256u

/* What the server keeps goes back in one go, and not one after the other before all that there is.
 */
static void
test_refused_unmaps(void)
{
	restart(VUC_DMA_SHARED, 2 * NR_MANY);
	for (uint64_t n = 0; n < 2 * NR_MANY; n++)
		CU_ASSERT_EQUAL(map(2 * n * PAGE, PAGE, RW, -1, 0), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(unmap(0, 2 * NR_MANY), 0);
	CU_ASSERT_EQUAL(vuc_dma_count(dev), NR_MANY);
	refused_cmd = UNMAP;
	moves = 0;
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), -ENOMEM);
	CU_ASSERT(moves < NR_MANY / 4);
	CU_ASSERT_EQUAL(vuc_dma_count(dev), 2 * NR_MANY);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 2 * NR_MANY);
	refused_cmd = 0;
	server.nr_seen = 0;
	CU_ASSERT_EQUAL(unmap(0, 4 * NR_MANY), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(server.nr_seen, 2 * NR_MANY);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 0);
}

/* What the server has not let go of cannot be replaced, and is unmapped by the next commit. */
static void
test_refused_replacement(void)
{
	map_page(1, -1);
	commit(NULL, "M1+1 ", 1, 1);
	refused_iova = PAGE;
	CU_ASSERT_EQUAL(unmap(1, 1), 0);
	CU_ASSERT_EQUAL(map(PAGE, 2 * PAGE, VUC_DMA_READ, -1, 0), 0);
	commit("*DMA unmapping of 0x1000*", "U1+1 ", 0, 0);
	refused_iova = NONE;
	commit(NULL, "U1+1 ", 0, 0);
}

static void
unmap_all_inside(struct vuc_request *req, int status)
{
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), -EDEADLK);
	req->arg = NULL;
}

/* One message for each mapping, and one for what nobody knows of, whatever comes of that. */
static void
test_unmap_all(void)
{
	struct vuc_request reset = {.op = VUC_OP_RESET, .done = unmap_all_inside, .arg = dev};

	map_pages(1, 9, 2, -1);
	commit(NULL, "M1+1 M3+1 M5+1 M7+1 M9+1 ", 5, 5);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
	map_page(3, -1);
	commit(NULL, "U1+1 U3+1 U5+1 U7+1 U9+1 U0+0* M3+1 ", 1, 1);
	map_page(5, -1);
	commit(NULL, "M5+1 ", 2, 2);
	refused_iova = 0;
	refused_errno = EINVAL;
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(dev), 0);
	commit(NULL, "U3+1 U5+1 U0+0* ", 0, 0);
	/* A callback may ask for it, but not wait for it. */
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(dev, &reset), 0);
	while (reset.arg != NULL)
		vuc_poll_group_poll(vuc_device_poll_group(dev));
	commit(NULL, "U0+0* ", 0, 0);
}

/* More than there is room for, in the session and in the socket. */
static void
test_many(void)
{
	restart(VUC_DMA_SHARED, 2000);
	for (uint64_t n = 0; n < 1024; n++)
		CU_ASSERT_EQUAL(map(2 * n * PAGE, PAGE, RW, file, n * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(server.nr_seen, 1024);
	CU_ASSERT_EQUAL(vuc_dma_server_count(dev), 1024);
	for (unsigned int n = 0; n < 1024; n++)
		CU_ASSERT_EQUAL(unmap(2 * n, 1), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
	CU_ASSERT_EQUAL(server.nr_seen, 2048);
}

const struct tap_suite tap_suite = {"dma", set_up, tear_down,
	{
		{"map and unmap", test_map_and_unmap},
		{"coalesce", test_coalesce},
		{"unmap a piece", test_unmap_a_piece},
		{"replace in one commit", test_replace},
		{"nothing to say", test_nothing_to_say},
		{"no descriptor leaves", test_message_policy},
		{"refused before sending", test_refused_here},
		{"refused by the server", test_refused_there},
		{"refused rest", test_refused_rest},
		{"refused unmaps", test_refused_unmaps},
		{"refused, with a replacement", test_refused_replacement},
		{"unmap all", test_unmap_all},
		{"a thousand", test_many},
	}};

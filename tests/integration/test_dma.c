/* SPDX-License-Identifier: BSD-3-Clause */

/* DMA mappings as a server sees them: the reference device, with a witness before it. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vuc/dma.h>

#include "fd_count.h"
#include "memfd.h"
#include "refdev.h"
#include "tap.h"
#include "vfio_user.h"

#define PAGE     0x1000u
#define RW       (VUC_DMA_READ | VUC_DMA_WRITE)
#define MAX_SEEN 4096

/* A DMA message that the server got. */
struct seen {
	uint16_t cmd;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
	unsigned int nr_fds;
};

struct witness {
	struct refdev *refdev;
	struct vuc_loopback_server inner;
	struct vuc_loopback_server outer;
	struct vuc_device *dev;
	unsigned int nr;
	struct seen seen[MAX_SEEN];
	uint64_t refuse_iova; /* the messages about this address are answered by an error */
	uint32_t refuse_errno;
	bool refuse_maps;
	bool refuse_unmaps;
};

static uint8_t memory[16 * PAGE];
static unsigned int fds_before;
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

static int
refuse(const struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply, uint32_t error_no)
{
	struct vfio_user_header header;

	memcpy(&header, req->bytes, sizeof(header));
	header.flags = VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR;
	header.error_no = error_no;
	header.msg_size = sizeof(header);
	memcpy(reply->bytes, &header, sizeof(header));
	reply->len = sizeof(header);
	return 0;
}

static int
watch(void *arg, struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply)
{
	struct witness *w = arg;
	struct seen s = {.nr_fds = req->nr_fds};
	struct vfio_user_header header;
	struct vfio_user_dma_map map;
	struct vfio_user_dma_unmap unmap;

	memcpy(&header, req->bytes, sizeof(header));
	s.cmd = header.cmd;
	if (header.cmd == VFIO_USER_DMA_MAP) {
		memcpy(&map, req->bytes + sizeof(header), sizeof(map));
		s.flags = map.flags;
		s.iova = map.addr;
		s.size = map.size;
		s.offset = map.offset;
	} else if (header.cmd == VFIO_USER_DMA_UNMAP) {
		memcpy(&unmap, req->bytes + sizeof(header), sizeof(unmap));
		s.flags = unmap.flags;
		s.iova = unmap.addr;
		s.size = unmap.size;
	} else {
		return w->inner.handle(w->inner.arg, req, reply);
	}
	CU_ASSERT_FATAL(w->nr < MAX_SEEN);
	w->seen[w->nr++] = s;
	if (s.iova == w->refuse_iova || (w->refuse_maps && s.cmd == VFIO_USER_DMA_MAP) ||
		(w->refuse_unmaps && s.cmd == VFIO_USER_DMA_UNMAP))
		return refuse(req, reply, w->refuse_errno);
	return w->inner.handle(w->inner.arg, req, reply);
}

static void
forward_disconnect(void *arg)
{
	struct witness *w = arg;

	w->inner.disconnect(w->inner.arg);
}

static struct witness *
begin(enum vuc_dma_policy policy, uint32_t max_dma_maps)
{
	struct witness *w = calloc(1, sizeof(*w));
	struct refdev_config config;
	struct vuc_device_opts opts;

	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	refdev_config_init(&config);
	config.max_dma_maps = max_dma_maps;
	w->refdev = refdev_create(&config);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w->refdev);
	refdev_loopback(w->refdev, &w->inner);
	w->outer = (struct vuc_loopback_server){
		.handle = watch, .disconnect = forward_disconnect, .arg = w};
	w->refuse_iova = UINT64_MAX;
	w->refuse_errno = ENOMEM;
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.loopback = &w->outer;
	opts.dma = policy;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &w->dev, NULL), 0);
	return w;
}

static void
end(struct witness *w)
{
	vuc_device_close(w->dev);
	refdev_destroy(w->refdev);
	free(w);
}

static int
map(struct witness *w, uint64_t iova, uint64_t size, uint32_t flags, int fd, uint64_t offset)
{
	const struct vuc_dma_mapping m = {.iova = iova,
		.size = size,
		.flags = flags,
		.fd = fd,
		.offset = offset,
		.addr = memory};

	return vuc_dma_map(w->dev, &m);
}

/* Page n of the memory at iova n pages, with descriptor or without. */
static void
map_page(struct witness *w, unsigned int n, int fd)
{
	const struct vuc_dma_mapping m = {.iova = n * PAGE,
		.size = PAGE,
		.flags = RW,
		.fd = fd,
		.offset = fd >= 0 ? n * PAGE : 0,
		.addr = memory + n * PAGE};

	CU_ASSERT_EQUAL(vuc_dma_map(w->dev, &m), 0);
}

static void
check_seen(const struct witness *w, unsigned int i, uint16_t cmd, unsigned int page,
	unsigned int pages)
{
	CU_ASSERT_FATAL(i < w->nr);
	CU_ASSERT_EQUAL(w->seen[i].cmd, cmd);
	CU_ASSERT_EQUAL(w->seen[i].iova, page * PAGE);
	CU_ASSERT_EQUAL(w->seen[i].size, pages * PAGE);
}

static int
new_file(void)
{
	int fd = vuc_memfd_create("guest", 1024 * PAGE, 0);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static void
test_map_and_unmap(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);
	int fd = new_file();

	CU_ASSERT_EQUAL(map(w, 0x10000, 2 * PAGE, VUC_DMA_READ, fd, 3 * PAGE), 0);
	CU_ASSERT_EQUAL(w->nr, 0);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 0);
	close(fd);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL_FATAL(w->nr, 1);
	check_seen(w, 0, VFIO_USER_DMA_MAP, 0x10, 2);
	CU_ASSERT_EQUAL(w->seen[0].flags, VFIO_USER_F_DMA_REGION_READ);
	CU_ASSERT_EQUAL(w->seen[0].offset, 3 * PAGE);
	CU_ASSERT_EQUAL(w->seen[0].nr_fds, 1);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 0x10000, 2 * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 2);
	check_seen(w, 1, VFIO_USER_DMA_UNMAP, 0x10, 2);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 0);
	end(w);
}

static void
test_coalesce(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);
	int fd = new_file();

	for (unsigned int n = 0; n < 16; n++)
		map_page(w, (n * 5) % 16, fd);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 1);
	check_seen(w, 0, VFIO_USER_DMA_MAP, 0, 16);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 16);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 3);
	check_seen(w, 1, VFIO_USER_DMA_UNMAP, 0, 16);
	check_seen(w, 2, VFIO_USER_DMA_UNMAP, 0, 0);
	close(fd);
	end(w);
}

/* A piece of a coalesced mapping goes, and what is around it stays. */
static void
test_unmap_a_piece(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);
	int fd = new_file();

	for (unsigned int n = 0; n < 8; n++)
		map_page(w, n, fd);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 3 * PAGE, 2 * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL_FATAL(w->nr, 4);
	check_seen(w, 1, VFIO_USER_DMA_UNMAP, 0, 8);
	check_seen(w, 2, VFIO_USER_DMA_MAP, 0, 3);
	check_seen(w, 3, VFIO_USER_DMA_MAP, 5, 3);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 6);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 2);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 5 * PAGE, 3 * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 5);
	check_seen(w, 4, VFIO_USER_DMA_UNMAP, 5, 3);
	close(fd);
	end(w);
}

/* As a VMM does while firmware moves things about: all in one commit, in this order. */
static void
test_replace(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 8);
	int fd = new_file();

	for (unsigned int n = 0; n < 8; n++)
		map_page(w, n, fd);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 2 * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(map(w, 2 * PAGE, PAGE, VUC_DMA_READ, fd, 0), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL_FATAL(w->nr, 5);
	check_seen(w, 1, VFIO_USER_DMA_UNMAP, 0, 8);
	check_seen(w, 2, VFIO_USER_DMA_MAP, 0, 2);
	check_seen(w, 3, VFIO_USER_DMA_MAP, 3, 5);
	check_seen(w, 4, VFIO_USER_DMA_MAP, 2, 1);
	CU_ASSERT_EQUAL(w->seen[4].flags, VFIO_USER_F_DMA_REGION_READ);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 8);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 3);
	close(fd);
	end(w);
}

static void
test_nothing_to_say(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);

	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	map_page(w, 0, -1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 0, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 0);
	end(w);
}

static void
test_message_policy(void)
{
	struct witness *w = begin(VUC_DMA_MESSAGE, 64);
	const struct vuc_dma_mapping no_addr = {.iova = 0x100000, .size = PAGE, .flags = RW};
	int fd = new_file();

	map_page(w, 1, fd);
	CU_ASSERT_EQUAL(map(w, 0x8000, PAGE, RW | VUC_DMA_MMAP, fd, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL_FATAL(w->nr, 2);
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(w->seen[i].nr_fds, 0);
		CU_ASSERT_EQUAL(w->seen[i].offset, 0);
		CU_ASSERT_EQUAL(w->seen[i].flags, RW);
	}
	CU_ASSERT_EQUAL(vuc_dma_map(w->dev, &no_addr), -EINVAL);
	close(fd);
	end(w);
}

static void
refused(struct witness *w, int rc, int expected, const char *why)
{
	char reason[VUC_ERROR_MAX];

	CU_ASSERT_EQUAL(rc, expected);
	snprintf(reason, sizeof(reason), "%s", vuc_device_reason(w->dev));
	CU_ASSERT_PTR_NOT_NULL(strstr(reason, why));
	if (strstr(reason, why) == NULL)
		printf("# got: %s\n", reason);
}

static void
test_refused_here(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 2);
	const struct vuc_dma_mapping bare = {.iova = 0x100000, .size = PAGE, .flags = RW, .fd = -1};

	refused(w, map(w, 0, 0, RW, -1, 0), -EINVAL, "0x0 + 0x0: empty");
	refused(w, map(w, 0x800, PAGE, RW, -1, 0), -EINVAL, "page size");
	refused(w, map(w, 0, 0x800, RW, -1, 0), -EINVAL, "page size");
	refused(w, map(w, 0xfffffffffffff000, PAGE, RW, -1, 0), -EINVAL, "beyond the end");
	refused(w, map(w, 0, PAGE, 0, -1, 0), -EINVAL, "neither readable nor writable");
	refused(w, map(w, 0, PAGE, RW | 0x100, -1, 0), -EINVAL, "unknown flags");
	refused(w, map(w, 0, PAGE, RW | VUC_DMA_MMAP, -1, 0), -EINVAL, "without a file descriptor");
	refused(w, map(w, 0, PAGE, RW, -1, PAGE), -EINVAL, "without a file descriptor");
	refused(w, map(w, 0, PAGE, RW, 1000000, 0), -EBADF, "Bad file descriptor");
	refused(w, vuc_dma_map(w->dev, &bare), -EINVAL, "no file descriptor and no address");
	map_page(w, 1, -1);
	refused(w, map(w, PAGE, PAGE, RW, -1, 0), -EEXIST, "0x1000 + 0x1000: overlaps");
	refused(w, map(w, 0, 8 * PAGE, RW, -1, 0), -EEXIST, "overlaps");
	map_page(w, 3, -1);
	refused(w, map(w, 0x100000, PAGE, RW, -1, 0), -ENOSPC, "max_dma_maps");
	refused(w, vuc_dma_unmap(w->dev, 0x200000, PAGE), -ENOENT, "is not mapped");
	refused(w, vuc_dma_unmap(w->dev, PAGE, 0x800), -EINVAL, "covers only a part of a mapping");
	refused(w, vuc_dma_unmap(w->dev, 0, 0), -EINVAL, "empty");
	CU_ASSERT_EQUAL(w->nr, 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 2);
	end(w);
}

/* The rest is done all the same, and the table says what is. */
static void
test_refused_there(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);

	for (unsigned int n = 1; n < 10; n += 2)
		map_page(w, n, -1);
	w->refuse_iova = 5 * PAGE;
	refused(w, vuc_dma_commit(w->dev), -ENOMEM,
		"DMA mapping of 0x5000 + 0x1000: the server answered VFIO_USER_DMA_MAP");
	CU_ASSERT_EQUAL(w->nr, 5);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 4);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 4);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 5 * PAGE, PAGE), -ENOENT);

	w->refuse_iova = 7 * PAGE;
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 0, 16 * PAGE), 0);
	refused(w, vuc_dma_commit(w->dev), -ENOMEM,
		"DMA unmapping of 0x7000 + 0x1000: the server answered VFIO_USER_DMA_UNMAP");
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 1);
	w->refuse_iova = UINT64_MAX;
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 7 * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 0);
	end(w);
}

/* What stays of a mapping that goes is mapped anew. Where the server refuses that, each piece is
 * named, and may be mapped again. */
static void
test_refused_rest(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);
	int fd = new_file();

	for (unsigned int n = 0; n < 8; n++)
		map_page(w, n, fd);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 2 * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 5 * PAGE, PAGE), 0);
	w->refuse_maps = true;
	refused(w, vuc_dma_commit(w->dev), -ENOMEM,
		"DMA mapping of 0x0 + 0x2000, which was mapped before and is lost");
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(w->dev),
		"; lost, too: 0x3000 + 0x2000; lost, too: 0x6000 + 0x2000"));
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 0);
	w->refuse_maps = false;
	w->nr = 0;
	map_page(w, 3, fd);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 1);
	check_seen(w, 0, VFIO_USER_DMA_MAP, 3, 1);
	close(fd);
	end(w);
}

#define NR_MANY 256u

/* What the server keeps goes back in one go, and not one after the other before all that there is.
 */
static void
test_refused_unmaps(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 2 * NR_MANY);

	for (uint64_t n = 0; n < 2 * NR_MANY; n++)
		CU_ASSERT_EQUAL(map(w, 2 * n * PAGE, PAGE, RW, -1, 0), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 0, 2 * NR_MANY * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), NR_MANY);
	w->refuse_unmaps = true;
	moves = 0;
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), -ENOMEM);
	CU_ASSERT(moves < NR_MANY / 4);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 2 * NR_MANY);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 2 * NR_MANY);
	w->refuse_unmaps = false;
	w->nr = 0;
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 0, 4 * NR_MANY * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 2 * NR_MANY);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 0);
	end(w);
}

/* What the server has not let go of cannot be replaced, and is unmapped by the next commit. */
static void
test_refused_replacement(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);

	map_page(w, 1, -1);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	w->refuse_iova = PAGE;
	CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(map(w, PAGE, 2 * PAGE, VUC_DMA_READ, -1, 0), 0);
	refused(w, vuc_dma_commit(w->dev), -ENOMEM, "DMA unmapping of 0x1000");
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 0);
	w->refuse_iova = UINT64_MAX;
	w->nr = 0;
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 1);
	check_seen(w, 0, VFIO_USER_DMA_UNMAP, 1, 1);
	end(w);
}

static void
unmap_all_inside(struct vuc_request *req, int status)
{
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(req->arg), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(req->arg), -EDEADLK);
	req->arg = NULL;
}

/* One message for each mapping, and one for what nobody knows of, whatever comes of that. */
static void
test_unmap_all(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 64);
	struct vuc_request reset = {.op = VUC_OP_RESET, .done = unmap_all_inside, .arg = w->dev};

	for (unsigned int n = 1; n < 10; n += 2)
		map_page(w, n, -1);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	w->nr = 0;
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(w->dev), 0);
	map_page(w, 3, -1);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 1);
	CU_ASSERT_EQUAL(w->nr, 7);
	for (unsigned int n = 0; n < 5; n++)
		check_seen(w, n, VFIO_USER_DMA_UNMAP, 2 * n + 1, 1);
	check_seen(w, 5, VFIO_USER_DMA_UNMAP, 0, 0);
	CU_ASSERT_EQUAL(w->seen[5].flags, VFIO_DMA_UNMAP_FLAG_ALL);
	check_seen(w, 6, VFIO_USER_DMA_MAP, 3, 1);

	map_page(w, 5, -1);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	w->nr = 0;
	w->refuse_iova = 0;
	w->refuse_errno = EINVAL;
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(w->dev), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 3);
	check_seen(w, 0, VFIO_USER_DMA_UNMAP, 3, 1);
	check_seen(w, 1, VFIO_USER_DMA_UNMAP, 5, 1);
	check_seen(w, 2, VFIO_USER_DMA_UNMAP, 0, 0);
	CU_ASSERT_EQUAL(vuc_dma_count(w->dev), 0);

	w->nr = 0;
	/* A callback may ask for it, but not wait for it. */
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(w->dev, &reset), 0);
	while (reset.arg != NULL)
		vuc_poll_group_poll(vuc_device_poll_group(w->dev));
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 1);
	check_seen(w, 0, VFIO_USER_DMA_UNMAP, 0, 0);
	end(w);
}

/* More than there is room for, in the session and in the socket. */
static void
test_many(void)
{
	struct witness *w = begin(VUC_DMA_SHARED, 2000);
	int fd = new_file();

	for (uint64_t n = 0; n < 1024; n++)
		CU_ASSERT_EQUAL(map(w, 2 * n * PAGE, PAGE, RW, fd, n * PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 1024);
	CU_ASSERT_EQUAL(vuc_dma_server_count(w->dev), 1024);
	for (uint64_t n = 0; n < 1024; n++)
		CU_ASSERT_EQUAL(vuc_dma_unmap(w->dev, 2 * n * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit(w->dev), 0);
	CU_ASSERT_EQUAL(w->nr, 2048);
	close(fd);
	end(w);
}

static void
set_up(void)
{
	fds_before = fd_count();
}

static void
tear_down(void)
{
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static CU_TestInfo tests[] = {
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
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("dma", set_up, tear_down, tests);
}

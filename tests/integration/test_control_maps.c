/* SPDX-License-Identifier: BSD-3-Clause */

/* Regions that VMMs map: whether they can, and what the control plane does for the files. */

#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "rig.h"

static const uint32_t mappable[] = {BAR2, BAR4};

/* A VMM that has asked for what it can map writes as PCI would. */
static void
write_pci(struct shm_queue *q)
{
	const struct vuc_shm_request write = {.op = VUC_SHM_WRITE_PCI, .region = BAR2, .count = 4};
	struct vuc_shm_completion done;

	shm_submit(q, &write);
	CU_ASSERT_EQUAL_FATAL(shm_complete(q, &done, RIG_WAIT_MS), 0);
	CU_ASSERT_EQUAL(done.status, 0);
}

/* With `none` there is nothing to map, so that writes are still posted. */
static void
test_map(void)
{
	static const struct {
		enum vuc_control_map map;
		uint32_t nr_areas[2]; /* of BAR2 and BAR4 */
		uint64_t posted;
	} rows[] = {
		{VUC_CONTROL_MAP_DIRECT, {1, 2}, 0},
		{VUC_CONTROL_MAP_NONE, {0, 0}, 1},
	};
	const struct vuc_shm_region_reply *r = &client.reply.region;

	for (unsigned int i = 0; i < 2; i++) {
		rig_start_attached(&(struct rig_opts){.map = rows[i].map});
		for (unsigned int k = 0; k < 2; k++) {
			uint32_t nr = rows[i].nr_areas[k];

			CU_ASSERT_EQUAL_FATAL(
				shm_index(&client, VUC_SHM_REGION_INFO, mappable[k]), 0);
			CU_ASSERT_EQUAL(r->nr_areas, nr);
			CU_ASSERT_EQUAL(client.nr_fds, nr > 0);
			CU_ASSERT_EQUAL((r->flags & VFIO_REGION_INFO_FLAG_MMAP) != 0, nr > 0);
			CU_ASSERT_EQUAL(client.len, sizeof(*r) + nr * sizeof(r->areas[0]));
		}
		write_pci(rig_open_queue(&client, 4, 64));
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).posted, rows[i].posted);
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).writes, 1 - rows[i].posted);
	}
}

#define KEPT "kept"

/* What vuc-refdev leaves. */
static void
files_remove(void)
{
	char path[VUC_TEMPDIR_SIZE + 16];

	for (unsigned int k = 0; k < 2; k++) {
		snprintf(path, sizeof(path), "%s/device1-bar%u", rig.folder, mappable[k]);
		unlink(path);
	}
}

/* A server that comes back with another file, or the same: a VMM that has mapped a region is told
 * to map it anew if it has to. */
static void
test_remap(void)
{
	static const struct {
		bool same;   /* the server keeps its files */
		bool mapped; /* the VMM has asked for them */
		uint64_t remaps;
	} rows[] = {{false, true, 1}, {false, false, 0}, {true, true, 0}};
	struct rig_opts o = {.outage = VUC_CONTROL_OUTAGE_HOLD};
	char option[VUC_TEMPDIR_SIZE + 16];
	const char *options[2] = {NULL};
	struct stat before = {0}, after;
	struct vuc_device_opts opts;
	struct peer *peer;

	for (unsigned int i = 0; i < NR(rows); i++) {
		rig_start(NULL);
		options[0] = rows[i].same ? option : NULL;
		snprintf(option, sizeof(option), "--bar-file=%s", rig.folder);
		peer = peer_start_with(1, options);
		peer_opts(peer, 0, &opts);
		rig_add_device(&o, KEPT, opts.path);
		rig_attach(&client, KEPT);
		if (rows[i].mapped) {
			CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR2), 0);
			CU_ASSERT_EQUAL_FATAL(client.nr_fds, 1);
			CU_ASSERT_EQUAL(fstat(client.fds[0], &before), 0);
		}
		/* Behind this, the record of the device has begun. */
		rig_read(rig_open_queue(&client, 4, 64), REFDEV_REG_ID, 4);
		peer_kill(peer);
		CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST));
		peer_restart_with(peer, options);
		CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_BACK));
		CU_ASSERT_EQUAL(shm_state(&client).remaps, rows[i].remaps);
		CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR2), 0);
		CU_ASSERT_EQUAL_FATAL(client.nr_fds, 1);
		CU_ASSERT_EQUAL(fstat(client.fds[0], &after), 0);
		CU_ASSERT_EQUAL(before.st_ino == after.st_ino, rows[i].same);
		shm_close(&client);
		CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, KEPT, true, NULL), 0);
		peer_stop(peer);
		files_remove();
	}
}

/* ---- a restore behind the back of a reply ---- */

static _Atomic bool armed; /* the next reply with descriptors waits for a restore */
static struct peer *lost;
static struct stat sent;

/* What the control plane sends by. */
ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int first;

	if (c != NULL && atomic_exchange(&armed, false)) {
		memcpy(&first, CMSG_DATA(c), sizeof(first));
		CU_ASSERT_EQUAL(fstat(first, &sent), 0);
		peer_kill(lost);
		peer_restart(lost);
		while (rig_look(KEPT).generation < 2)
			sched_yield();
	}
	return syscall(SYS_sendmsg, fd, msg, flags);
}

/* A VMM that asks for a region gets the files that the device had, whatever becomes of it
 * meanwhile. */
static void
test_reply_and_restore(void)
{
	struct rig_opts o = {.outage = VUC_CONTROL_OUTAGE_HOLD};
	struct vuc_device_opts opts;
	struct stat got;

	rig_start(NULL);
	lost = peer_start(1, NULL);
	peer_opts(lost, 0, &opts);
	rig_add_device(&o, KEPT, opts.path);
	rig_attach(&client, KEPT);
	rig_read(rig_open_queue(&client, 4, 64), REFDEV_REG_ID, 4);
	atomic_store(&armed, true);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR2), 0);
	CU_ASSERT_FALSE(armed);
	CU_ASSERT_EQUAL_FATAL(client.nr_fds, 1);
	CU_ASSERT_EQUAL(fstat(client.fds[0], &got), 0);
	CU_ASSERT_EQUAL(got.st_ino, sent.st_ino);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_BACK));
	CU_ASSERT_EQUAL(shm_state(&client).remaps, 1);
	/* What was learned is known while the server is away, too. */
	peer_kill(lost);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST));
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR2), 0);
	CU_ASSERT_EQUAL(client.reply.region.nr_areas, 1);
	shm_close(&client);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, KEPT, true, NULL), 0);
	peer_stop(lost);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"map", test_map},
		{"remap", test_remap},
		{"reply_and_restore", test_reply_and_restore},
	}};

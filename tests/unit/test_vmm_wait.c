/* SPDX-License-Identifier: BSD-3-Clause */

/* Waiting for a daemon, or for a device of it, that is to come. */

#include <sys/socket.h>

#include "fake_vucd.h"

static int
attach_waiting(uint32_t wait_ms, uint32_t reattach_wait_ms)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_detach(dev);
	fake_opts(&opts);
	opts.wait_ms = wait_ms;
	opts.reattach_wait_ms = reattach_wait_ms;
	return vuc_vmm_attach(&opts, &dev, &err);
}

/* The fake daemon's thread counts. */
struct refusals {
	int status;
	_Atomic unsigned int left;
};

static void
refuse_some(struct fake_reply *reply, void *arg)
{
	struct refusals *r = arg;

	if (r->left == 0)
		return;
	r->left--;
	fake_refuse(reply, &r->status);
}

/* Waiting is for what may pass. */
static void
test_wait(void)
{
	static const struct {
		int status;
		bool waits;
	} rows[] = {{-EBUSY, true}, {-ENOENT, true}, {-ENOTCONN, true}, {-EACCES, false},
		{-EPROTONOSUPPORT, false}};

	for (size_t i = 0; i < NR(rows); i++) {
		struct refusals r = {rows[i].status, 2};

		fake_twist(VUC_SHM_ATTACH, 0, refuse_some, &r);
		CU_ASSERT_EQUAL(attach_waiting(60000, 0), rows[i].waits ? 0 : rows[i].status);
		CU_ASSERT_EQUAL(r.left, rows[i].waits ? 0 : 1);
		r.left = 2;
		fake_restart();
		if (rows[i].waits)
			CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
		fake_twist(0, 0, NULL, NULL);
	}
	/* It does end. */
	fake_twist(VUC_SHM_ATTACH, 0, fake_refuse, &(int){-EBUSY});
	CU_ASSERT(fake_failed(attach_waiting(100, 0), -EBUSY, "because"));
	fake_twist(0, 0, NULL, NULL);
}

/* Each call has a time of its own, and one with a descriptor has none. */
static void
test_wait_again(void)
{
	struct refusals r = {-EBUSY, 2};
	int fd;

	CU_ASSERT_EQUAL_FATAL(attach_waiting(0, 60000), 0);
	fake_restart();
	fake_twist(VUC_SHM_ATTACH, 0, refuse_some, &r);
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	CU_ASSERT_EQUAL(r.left, 0);
	r.left = 2;
	fake_restart();
	fd = fake_connect(SOCK_SEQPACKET);
	CU_ASSERT(fake_failed(vuc_vmm_reattach(dev, fd, &err), -EBUSY, "because"));
	CU_ASSERT_EQUAL(r.left, 1);
	close(fd);
	CU_ASSERT(fake_failed(attach_waiting(0, 60000), -EBUSY, "because"));
	CU_ASSERT_EQUAL(r.left, 0);
	fake_twist(0, 0, NULL, NULL);
}

/* A daemon that is not there yet. */
static void
test_wait_for_path(void)
{
	struct vuc_vmm_attach_opts opts;
	struct fake_outcome o = {0};
	char other[128];

	fake_detach();
	snprintf(other, sizeof(other), "%s.other", fake.path);
	CU_ASSERT_EQUAL_FATAL(rename(fake.path, other), 0);
	CU_ASSERT(fake_failed(attach_waiting(30, 0), -ENOENT, "cannot connect to the daemon at *"));
	fake_opts(&opts);
	opts.wait_ms = 60000;
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach_start(&opts, &dev, fake_keep_outcome, &o, NULL), 0);
	vuc_vmm_events(dev);
	CU_ASSERT_EQUAL(o.calls, 0);
	CU_ASSERT_EQUAL_FATAL(rename(other, fake.path), 0);
	fake_run_until(&o);
	CU_ASSERT_EQUAL(o.status, 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), 0);
}

const struct tap_suite tap_suite = {"vmm", fake_start_attached, fake_stop,
	{
		{"waiting", test_wait},
		{"waiting again", test_wait_again},
		{"waiting for a daemon", test_wait_for_path},
	}};

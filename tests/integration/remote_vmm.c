/* SPDX-License-Identifier: BSD-3-Clause */
#include "remote_vmm.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "internal.h"
#include "memfd.h"
#include "rig.h"

/* ---- the poller's side ---- */

static struct vmm_memory
make_memory(size_t size)
{
	struct vmm_memory m = {.size = size};

	m.fd = vuc_memfd_create("vmm", size, 0);
	CU_ASSERT_FATAL(m.fd >= 0);
	m.addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0);
	CU_ASSERT_FATAL(m.addr != MAP_FAILED);
	return m;
}

static void
free_memory(struct vmm_memory *m)
{
	munmap(m->addr, m->size);
	close(m->fd);
}

void
vmm_attach_device(struct vmm *v, unsigned int device)
{
	struct vuc_poller_remote_opts opts = {.dev = rig.dev[device]};
	struct vuc_error err = {0};

	*v = (struct vmm){.remote = NULL};
	v->bell = make_memory(sizeof(struct vuc_shm_bell));
	v->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CU_ASSERT_FATAL(v->kick_fd >= 0);
	opts.bell = v->bell.addr;
	opts.kick_fd = v->kick_fd;
	if (vuc_poller_add_remote(rig.poller, &opts, &v->remote, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(v->remote);
}

struct vmm_queue *
vmm_add_queue(struct vmm *v, uint32_t depth, uint32_t max_data)
{
	struct vmm_queue *q = &v->queues[v->nr_queues];
	struct vuc_queue_back_opts memory;
	struct vuc_error err = {0};
	int rc;

	CU_ASSERT_FATAL(v->nr_queues < VUC_SHM_MAX_QUEUES);
	q->geometry = (struct vuc_queue_geometry){.depth = depth, .chunk = max_data};
	q->requests = make_memory(vuc_queue_requests_size(&q->geometry));
	q->completions = make_memory(vuc_queue_completions_size(&q->geometry));
	memory = (struct vuc_queue_back_opts){
		.geometry = q->geometry,
		.requests = q->requests.addr,
		.completions = q->completions.addr,
	};
	rc = vuc_poller_remote_open_queue(v->remote, &memory, &q->index, &err);
	if (rc != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	v->nr_queues++;
	return q;
}

void
vmm_detach_device(struct vmm *v)
{
	vuc_poller_remove_remote(v->remote);
	for (unsigned int i = 0; i < v->nr_queues; i++) {
		free_memory(&v->queues[i].requests);
		free_memory(&v->queues[i].completions);
	}
	free_memory(&v->bell);
	close(v->kick_fd);
}

void
vmm_attach_one(struct vmm *v, unsigned int device)
{
	vmm_attach_device(v, device);
	vmm_add_queue(v, VMM_DEPTH, VMM_MAX_DATA);
}

void *
vmm_run_closing(void *arg)
{
	const struct vmm *v = arg;

	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(v->remote, 0), 0);
	return NULL;
}

int
vmm_sees_closing(void *arg)
{
	const struct vmm *v = arg;

	return v->remote->queues[0] != NULL && v->remote->queues[0]->closing != NULL;
}

/* ---- the other side ---- */

static void *
map(int fd, size_t size, int prot)
{
	void *addr = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

	return addr != MAP_FAILED ? addr : NULL;
}

static void
unmap(const volatile void *addr, size_t size)
{
	if (addr != NULL)
		munmap((void *)(uintptr_t)addr, size);
}

void
vmm_front_open(struct vmm_front *f, const struct vmm *v, unsigned int nr)
{
	const struct vmm_queue *q = &v->queues[nr];
	struct vuc_queue_front_opts *o = &f->opts;

	*f = (struct vmm_front){.vmm = v, .memory = q};
	*o = (struct vuc_queue_front_opts){
		.geometry = q->geometry,
		.requests = map(q->requests.fd, q->requests.size, PROT_READ | PROT_WRITE),
		.completions = map(q->completions.fd, q->completions.size, PROT_READ),
		.bell =
			{
				.word = map(v->bell.fd, v->bell.size, PROT_READ | PROT_WRITE),
				.bit = UINT64_C(1) << q->index,
				.sleeps = map(vuc_poller_sleeps_fd(rig.poller),
					sizeof(struct vuc_shm_poller), PROT_READ),
				.kick_fd = v->kick_fd,
			},
	};
	if (o->requests != NULL && o->completions != NULL && o->bell.word != NULL &&
		o->bell.sleeps != NULL)
		f->queue = vuc_queue_create(o);
}

void
vmm_front_close(struct vmm_front *f)
{
	vuc_queue_destroy(f->queue);
	unmap(f->opts.requests, f->memory->requests.size);
	unmap(f->opts.completions, f->memory->completions.size);
	unmap(f->opts.bell.word, f->vmm->bell.size);
	unmap(f->opts.bell.sleeps, sizeof(struct vuc_shm_poller));
}

void
vmm_pair_start(struct vmm_pair *p, unsigned int device)
{
	vmm_attach_one(&p->vmm, device);
	vmm_front_open(&p->front, &p->vmm, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->front.queue);
}

void
vmm_pair_stop(struct vmm_pair *p)
{
	vmm_front_close(&p->front);
	vmm_detach_device(&p->vmm);
}

/* ---- processes ---- */

static void *
run_thread(void *arg)
{
	struct vmm_process *p = arg;

	p->result = p->fn(p->vmm, p->shared);
	return NULL;
}

void
vmm_start(struct vmm_process *p, int (*fn)(const struct vmm *v, struct vmm_shared *shared),
	const struct vmm *v)
{
	*p = (struct vmm_process){.fn = fn, .vmm = v};
	p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(p->shared != MAP_FAILED);
	if (VMM_IS_THREAD) {
		CU_ASSERT_EQUAL_FATAL(pthread_create(&p->thread, NULL, run_thread, p), 0);
		return;
	}
	p->pid = fork();
	CU_ASSERT_FATAL(p->pid >= 0);
	if (p->pid == 0)
		_exit(fn(v, p->shared));
}

/* Without taking its status. */
static bool
has_ended(const struct vmm_process *p)
{
	siginfo_t info = {0};

	return !VMM_IS_THREAD &&
		waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid != 0;
}

void
vmm_await(struct vmm_process *p, uint32_t progress)
{
	while (atomic_load(&p->shared->progress) < progress) {
		CU_ASSERT_FALSE_FATAL(has_ended(p));
		sched_yield();
	}
}

static void
join(struct vmm_process *p)
{
	if (VMM_IS_THREAD)
		pthread_join(p->thread, NULL);
	else
		CU_ASSERT_EQUAL(waitpid(p->pid, &p->result, 0), p->pid);
	munmap(p->shared, sizeof(*p->shared));
}

void
vmm_stop(struct vmm_process *p)
{
	atomic_store(&p->shared->stop, true);
	join(p);
	CU_ASSERT_EQUAL(p->result, 0);
}

void
vmm_kill(struct vmm_process *p)
{
	CU_ASSERT_EQUAL(kill(p->pid, SIGKILL), 0);
	join(p);
	CU_ASSERT_TRUE(WIFSIGNALED(p->result));
}

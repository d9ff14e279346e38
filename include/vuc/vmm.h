/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_H
#define VUC_VMM_H

/**
 * @file
 * libvuc-vmm: a VMM's way to a device that vucd owns.
 *
 * The library needs libc and nothing else, starts no threads and installs no signal handlers.
 * Link with -lvuc-vmm; pkg-config knows it as libvuc-vmm. It has the functions of this header and
 * those of <vuc/queue.h>.
 *
 * A VMM attaches to a device and has it for itself until it detaches or dies: then the daemon takes
 * its interrupts and its memory away from the device, makes it clean, and gives it to the next one.
 *
 * - Register accesses go through queues, one for each thread, without a system call while both
 *   sides are awake.
 * - Everything else is a message to the daemon and waits for its reply; those functions may be
 *   called by any thread, at the same time as well, and take their turns.
 * - Each function that waits has a twin whose name ends with _start. It returns at once, and the
 *   end is told by vuc_vmm_events(): see vuc_vmm_done_fn. No function holds a lock while it waits,
 *   so these never wait for another thread either.
 *
 * vuc_vmm_detach() is called by one thread when no other one uses the device any more. After a
 * fork() one of both processes may use it, and it stays attached until both have ended or called
 * exec().
 *
 * Functions return 0 or a negative errno, and fill err (which may be NULL) with one line that says
 * what failed. Beside what is said of each, those that take err return -ECONNRESET when the daemon
 * has ended the connection, -EPROTO when it breaks the rules of <vuc/shm.h>, -ETIMEDOUT when it
 * does not answer, -EMFILE and -ENOMEM; -ENOTCONN before the device is attached, -ECANCELED when it
 * is being detached; and those that wait, -EDEADLK when they are called by a vuc_vmm_done_fn. After
 * -EPROTO or -ETIMEDOUT of the daemon there is no connection any more: later calls return
 * -ECONNRESET, with that reason. VUC_VMM_EVENT_GONE tells of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>
#include <vuc/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A device that this process is attached to. */
struct vuc_vmm_device;

/**
 * What was started has ended: the completion of the functions whose names end with _start. They
 * return 0 or a negative errno, with err filled: with 0, this is called exactly once, by
 * vuc_vmm_events() on the thread that calls it, or by vuc_vmm_detach(), and never before the
 * function has returned; with an errno, nothing was begun, and it is not called at all.
 *
 * What is started for one device is carried out, and told of, in the order in which it was started;
 * devices do not wait for each other. The time that each has, timeout_ms, runs from its start, also
 * while it waits for its turn. When it is over, or the connection ends, all that was started ends.
 * What a function needs of its arguments is copied and descriptors are duplicated by the start,
 * except for memory that results go to, which has to live until this is called.
 *
 * May call any function of this header but those that wait, which return -EDEADLK;
 * vuc_vmm_close_queue() and vuc_vmm_detach() do wait here as well.
 *
 * @param arg     what was given with it
 * @param status  0 or a negative errno, as the function that waits returns it; -ECANCELED when the
 *                device was detached before it had ended
 * @param err     one line about what went wrong; empty with status 0; valid during the call
 */
typedef void (*vuc_vmm_done_fn)(void *arg, int status, const struct vuc_error *err);

/** How to attach. Fill it with vuc_vmm_attach_opts_init() first. */
struct vuc_vmm_attach_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_vmm_attach_opts_init(). */
	size_t size;
	/** Path of the daemon's socket; NULL: $VUCD_SOCKET, else where vucd has it by default. */
	const char *socket;
	/** Name of the device in the daemon's configuration. */
	const char *device;
	/** Names this VMM in the daemon's logs; NULL: the name of the program. */
	const char *name;
	/** Milliseconds that attaching and each function that asks the daemon may take, from the
	 * call on; the daemon may have to wait for the device's server. */
	uint32_t timeout_ms;
};

#define VUC_VMM_DEFAULT_TIMEOUT_MS 65000 /**< default of timeout_ms */

/** Set every field of opts to its default. Size is sizeof(*opts): a library that knows more fields,
 * or fewer, heeds it. */
void vuc_vmm_attach_opts_init(struct vuc_vmm_attach_opts *opts, size_t size);

/**
 * Attach to a device.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the device on success, to NULL on failure
 * @param err   filled on failure; may be NULL
 * @return 0; what connect(2) says; -EPROTONOSUPPORT when daemon and library have no version of the
 *         protocol in common; -ENOENT when the daemon has no device of this name; -EACCES when it
 *         is not for this user; -EBUSY when another VMM has it; -ENOTCONN while its server is away;
 *         -ETIMEDOUT; -EINVAL for options that cannot be; -ENAMETOOLONG for the path of the socket
 */
int vuc_vmm_attach(
	const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev, struct vuc_error *err);

/**
 * The same without waiting: see vuc_vmm_done_fn. vuc_vmm_event_fd() and vuc_vmm_events() serve the
 * device from here on; nothing else can be done with it until done was called with status 0, except
 * for detaching it, which the caller does whatever becomes of it.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the device on success, to NULL on failure
 * @param done  called when the device is attached, or cannot be
 * @param arg   first argument of done
 * @param err   filled on failure; may be NULL
 * @return 0; -EINVAL for options that cannot be or without done
 */
int vuc_vmm_attach_start(const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/**
 * Give the device back and free it: queues that are open are closed as vuc_vmm_close_queue() does,
 * before anything else is taken away; their memory is gone. Waits until the daemon has taken its
 * memory away from the device, so that it can be freed or used otherwise; a daemon that does not
 * answer is waited for no longer than timeout_ms. NULL does nothing.
 *
 * What was started and has not ended ends with -ECANCELED, before the call returns. Called by a
 * vuc_vmm_done_fn, it leaves the device to vuc_vmm_events(), which frees it.
 */
void vuc_vmm_detach(struct vuc_vmm_device *dev);

/**
 * The same without waiting: see vuc_vmm_done_fn. What was started and has not ended is told of
 * first, with -ECANCELED; done is the last function that is called, and vuc_vmm_events() frees the
 * device behind it: stop watching its descriptor there. Its status is 0 when the daemon has taken
 * the memory away from the device; with -ECONNRESET or -ETIMEDOUT nobody knows.
 *
 * The daemon carries out one request of a VMM after the other. So what is told of with -ECANCELED
 * may go on there, and done comes behind its end: not later than timeout_ms from this call, as
 * everything that is started.
 *
 * @return 0; -EALREADY when it is being detached; -EINVAL without done
 */
int vuc_vmm_detach_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** What there is to know of a device. */
struct vuc_vmm_info {
	uint64_t generation;   /**< how often the daemon has connected to the device, from 1 */
	uint64_t pgsizes;      /**< page sizes of DMA mappings, or'ed together */
	uint32_t flags;        /**< VFIO_DEVICE_FLAGS_* of <linux/vfio.h> */
	uint32_t num_regions;  /**< regions 0 … num_regions - 1 can be asked about */
	uint32_t num_irqs;     /**< IRQ indexes 0 … num_irqs - 1 can be asked about */
	uint32_t max_dma_maps; /**< DMA mappings at a time */
	uint32_t max_queues;   /**< queues at a time */
	uint32_t max_depth;    /**< requests of a queue that can be outstanding */
	uint32_t max_data;     /**< bytes of a request of a queue */
	bool dma_message; /**< the device's server never gets the memory: its accesses are messages,
			     which the daemon carries out */
};

/** The device's info; valid until the device is detached. Any thread. */
const struct vuc_vmm_info *vuc_vmm_info(const struct vuc_vmm_device *dev);

/** A part of a region that can be mapped into the VMM and its guest. */
struct vuc_vmm_area {
	uint64_t offset;      /**< from the start of the region; a multiple of the page size */
	uint64_t size;        /**< bytes; a multiple of the page size, not 0 */
	uint64_t file_offset; /**< for mmap(2) */
	int fd;               /**< for mmap(2); stays the device's, open until it is detached */
};

/** A region. */
struct vuc_vmm_region {
	uint64_t size;     /**< bytes; 0: there is no such region */
	uint32_t index;    /**< VFIO_PCI_*_REGION_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags;    /**< VFIO_REGION_INFO_FLAG_* of <linux/vfio.h> */
	uint32_t type;     /**< VFIO_REGION_INFO_CAP_TYPE, 0 without one */
	uint32_t subtype;  /**< goes with type */
	uint32_t nr_areas; /**< parts that can be mapped */
	const struct vuc_vmm_area *areas; /**< nr_areas of them, ascending and apart. The pages of
					     the MSI-X table and the pending bits are in none */
};

/**
 * Look at a region; the daemon is asked once. The result is valid until the device is detached.
 * A server that truncates a file that is mapped makes accesses raise SIGBUS.
 *
 * @return 0; -EINVAL when index is not below num_regions
 */
int vuc_vmm_region(struct vuc_vmm_device *dev, uint32_t index, const struct vuc_vmm_region **region,
	struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn; region has to live until then. A region that was
 * asked about is there at once: vuc_vmm_region() does not wait for it. @return 0; -EINVAL */
int vuc_vmm_region_start(struct vuc_vmm_device *dev, uint32_t index,
	const struct vuc_vmm_region **region, vuc_vmm_done_fn done, void *arg,
	struct vuc_error *err);

/** An IRQ index. */
struct vuc_vmm_irq {
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags; /**< VFIO_IRQ_INFO_* of <linux/vfio.h> */
	uint32_t count; /**< interrupts of this index; 0: there are none */
};

/** Look at an IRQ index. @return 0; -EINVAL when index is not below num_irqs */
int vuc_vmm_irq(
	struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq, struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn; irq has to live until then. @return 0; -EINVAL */
int vuc_vmm_irq_start(struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/**
 * Open a queue, for one thread at a time: most often one for each vCPU. What is done with it is in
 * <vuc/queue.h>; it costs no system call while daemon and VMM are awake. When the daemon dies,
 * whoever waits is told -ECONNRESET after 100 ms at most; who only polls hears of it by
 * vuc_vmm_events().
 *
 * @param dev    the device
 * @param opts   depth and bytes of a request; NULL takes the defaults; not used after the call
 * @param queue  set to the queue on success, to NULL on failure
 * @param err    filled on failure; may be NULL
 * @return 0; -EINVAL for options out of bounds; -ENOSPC when there are max_queues
 */
int vuc_vmm_open_queue(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts,
	struct vuc_queue **queue, struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn; queue has to live until then. @return 0; -EINVAL
 */
int vuc_vmm_open_queue_start(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts,
	struct vuc_queue **queue, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/**
 * Close a queue that no thread uses any more, and free it. What was submitted before is carried
 * out, posted writes included, unless the device's server does not take it within the timeout that
 * the daemon has for it; results are dropped. A VMM that dies leaves its queues to the daemon,
 * which does the same. NULL does nothing.
 */
void vuc_vmm_close_queue(struct vuc_vmm_device *dev, struct vuc_queue *queue);

/** The same without waiting: see vuc_vmm_done_fn. From here on nobody may use the queue. @return 0;
 * -EINVAL when the device has no such queue, or it is being closed */
int vuc_vmm_close_queue_start(struct vuc_vmm_device *dev, struct vuc_queue *queue,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

#define VUC_VMM_DMA_READ  (1u << 0) /**< the device may read the memory */
#define VUC_VMM_DMA_WRITE (1u << 1) /**< the device may write the memory */

/** A piece of memory, and where the device sees it. */
struct vuc_vmm_dma {
	uint64_t iova;   /**< address as the device sees it, a multiple of the page size */
	uint64_t size;   /**< bytes, a multiple of the page size, not 0 */
	uint64_t offset; /**< of the memory in the file, a multiple of the page size */
	uint32_t flags;  /**< VUC_VMM_DMA_READ and VUC_VMM_DMA_WRITE, at least one of them */
	int fd; /**< the file: a memfd, hugetlbfs, /dev/shm. With dma_message a memfd has to be
		   sealed by F_SEAL_SHRINK. Stays the caller's, and may be closed after the
		   commit */
};

/**
 * Queue mappings; vuc_vmm_dma_commit() makes them so. A device has one such queue, for all threads.
 *
 * @return 0; -EINVAL for flags or addresses that cannot be, or a descriptor that is not open;
 *         nothing was queued then. What daemon and device think of them is told by the commit
 */
int vuc_vmm_dma_map(struct vuc_vmm_device *dev, const struct vuc_vmm_dma *mappings, size_t nr,
	struct vuc_error *err);

/** Queue the unmapping of all mappings in [iova, iova + size), which must not cut one. @return 0;
 * -EINVAL for a range that cannot be */
int vuc_vmm_dma_unmap(
	struct vuc_vmm_device *dev, uint64_t iova, uint64_t size, struct vuc_error *err);

/** Queue the unmapping of everything. */
int vuc_vmm_dma_unmap_all(struct vuc_vmm_device *dev, struct vuc_error *err);

/**
 * Make what is queued so, and wait for it: when 0 is returned, the device's server has let go of
 * all that was unmapped. After an error of a mapping or unmapping, those queued behind it are
 * forgotten, and those before it were done.
 *
 * @return 0; -EINVAL, -EEXIST for mappings that overlap, -ENOENT for an unmapping without a
 *         mapping, -ENOSPC when there are too many, -EPERM for memory that could shrink, -EDQUOT
 *         for more than the daemon's max-dma-message-mb allows, what the device's server has
 *         answered, -ETIMEDOUT
 */
int vuc_vmm_dma_commit(struct vuc_vmm_device *dev, struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn. What is mapped and unmapped after this call is
 * for the next commit; memory that is unmapped stays in use until done is called. Descriptors of
 * mappings may be closed after this call. @return 0; -EMFILE and -ENOMEM, and all is queued as it
 * was */
int vuc_vmm_dma_commit_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** Some interrupts of an IRQ index: start … start + count - 1. */
struct vuc_vmm_irq_range {
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t start; /**< the first one */
	uint32_t count; /**< how many, at least 1 */
};

/** What can be done with an interrupt, and what an eventfd can be told of. */
enum vuc_vmm_irq_action {
	VUC_VMM_IRQ_TRIGGER = 0, /**< it is raised */
	VUC_VMM_IRQ_MASK = 1,    /**< it is masked */
	VUC_VMM_IRQ_UNMASK = 2,  /**< it is unmasked */
};

/**
 * Assign eventfds to interrupts, in place of those that were assigned before. The device's server
 * signals them itself: one that is a KVM irqfd reaches the guest directly.
 *
 * @param dev       the device
 * @param range     the interrupts
 * @param action    what the eventfds are signalled for
 * @param eventfds  range->count of them, or -1 to take that interrupt's away. They stay the
 *                  caller's and may be closed after the call
 * @param err       filled on failure; may be NULL
 * @return 0; -EINVAL for interrupts that there are not, or a descriptor that is no eventfd;
 *         -EOPNOTSUPP when the server takes no descriptors; what the server has answered, also
 * about what the flags of the index rule out
 */
int vuc_vmm_irq_assign(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn. Also here eventfds may be closed after the call.
 * @return 0; -EINVAL; -EMFILE; -ENOMEM */
int vuc_vmm_irq_assign_start(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, vuc_vmm_done_fn done, void *arg,
	struct vuc_error *err);

/** Trigger, mask or unmask all interrupts of a range; as vuc_vmm_irq_assign(). */
int vuc_vmm_irq_act(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn. @return 0; -EINVAL */
int vuc_vmm_irq_act_start(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** Disable all interrupts of an index and take away their eventfds. */
int vuc_vmm_irq_disable(struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn. @return 0; -EINVAL */
int vuc_vmm_irq_disable_start(struct vuc_vmm_device *dev, uint32_t index, vuc_vmm_done_fn done,
	void *arg, struct vuc_error *err);

/** How a part of a region is accessed by descriptor. */
enum vuc_vmm_io_type {
	VUC_VMM_IO_EVENTFD = 0,        /**< a write signals an eventfd: for KVM_IOEVENTFD */
	VUC_VMM_IO_REGIONFD = 1,       /**< accesses are messages on the descriptor */
	VUC_VMM_IO_EVENTFD_SHADOW = 2, /**< as an eventfd, and the value goes into memory */
};

/** A part of a region that is accessed by descriptor. */
struct vuc_vmm_io {
	enum vuc_vmm_io_type type; /**< which of the fields below count */
	uint32_t flags;            /**< KVM_IOEVENTFD_FLAG_* of <linux/kvm.h> */
	uint64_t offset;           /**< from the start of the region */
	uint64_t size;             /**< bytes; 0: of any size */
	uint64_t datamatch;        /**< of an eventfd */
	uint64_t user_data;        /**< of a regionfd */
	uint64_t shadow_offset;    /**< of the value in the shadow memory */
	int fd;                    /**< -1: none, access it by the queue */
	int shadow_fd;             /**< the shadow memory, or -1; its size has to be checked */
};

/** What the device's server has to say of a region. */
struct vuc_vmm_io_fds {
	uint32_t nr;                 /**< parts; 0: there are none */
	const struct vuc_vmm_io *io; /**< nr of them; they may share descriptors */
};

/**
 * Ask which parts of a region are accessed by descriptor, for KVM_IOEVENTFD.
 *
 * @return 0 with *fds the caller's, to be freed by vuc_vmm_io_fds_free(); -EINVAL for a region that
 *         there is not; -EOPNOTSUPP when the server does not know the question
 */
int vuc_vmm_io_fds(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn; fds has to live until then. @return 0; -EINVAL */
int vuc_vmm_io_fds_start(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** Free them and close their descriptors. NULL does nothing. */
void vuc_vmm_io_fds_free(struct vuc_vmm_io_fds *fds);

/** Reset the device and wait for it. What was submitted to its queues before, posted writes
 * included, reaches the device before the reset. @return 0; -EOPNOTSUPP when it has no
 * VFIO_DEVICE_FLAGS_RESET; what the server has answered; -ETIMEDOUT */
int vuc_vmm_reset(struct vuc_vmm_device *dev, struct vuc_error *err);

/** The same without waiting: see vuc_vmm_done_fn. @return 0 */
int vuc_vmm_reset_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

#define VUC_VMM_EVENT_LOST    (1u << 0) /**< the device's server is away: requests fail */
#define VUC_VMM_EVENT_BACK    (1u << 1) /**< it is there again: detach, and attach anew */
#define VUC_VMM_EVENT_RESET   (1u << 2) /**< the guest's driver has to reset the device */
#define VUC_VMM_EVENT_REMOVED (1u << 3) /**< the operator has taken the device away: detach */
#define VUC_VMM_EVENT_GONE    (1u << 4) /**< the daemon ends or is dead: detach */
#define VUC_VMM_EVENT_SILENT  (1u << 5) /**< the server has stopped answering: requests time out */
#define VUC_VMM_EVENT_ANSWERS (1u << 6) /**< it answers again */

/** A descriptor that can be read (poll(2), epoll(7)) while there are events, or something is to be
 * done about what was started; the device's, and only vuc_vmm_events() may read it. Any thread. */
int vuc_vmm_event_fd(const struct vuc_vmm_device *dev);

/**
 * Take the events that have come since the last call, carry on with what was started, and call the
 * vuc_vmm_done_fn of what has ended. Never blocks. One thread at a time; in such a function it does
 * nothing. The device is gone after this call when one of them has detached it, or was that of
 * vuc_vmm_detach_start().
 *
 * @return VUC_VMM_EVENT_*, or'ed together; 0: none
 */
uint32_t vuc_vmm_events(struct vuc_vmm_device *dev);

/** What the daemon has counted for this VMM. */
struct vuc_vmm_counters {
	uint64_t reads;  /**< reads */
	uint64_t writes; /**< writes */
	uint64_t posted; /**< posted writes */
	uint64_t errors; /**< of these, the ones that failed */
};

/** The daemon's counters, a second old at most, and 0 of a device that was never attached; no
 * system call. Any thread. */
void vuc_vmm_counters(const struct vuc_vmm_device *dev, struct vuc_vmm_counters *counters);

#ifdef __cplusplus
}
#endif

#endif /* VUC_VMM_H */

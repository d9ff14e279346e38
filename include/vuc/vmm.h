/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_H
#define VUC_VMM_H

/**
 * @file
 * libvuc-vmm: the library by which a VMM uses a device that vucd owns.
 *
 * The library needs only libc, starts no threads and installs no signal handlers. Link with
 * -lvuc-vmm; its pkg-config name is libvuc-vmm. It contains the functions of this header and of
 * <vuc/queue.h>.
 *
 * A VMM attaches to a device and has exclusive use of it until it detaches or exits. Then the
 * daemon removes the VMM's interrupts and memory from the device and resets it, and another VMM can
 * attach.
 *
 * - Register accesses go through queues, one for each thread, without a system call while both
 *   sides are awake.
 * - All other functions send a message to the daemon and wait for the reply. Any thread may call
 *   them, also concurrently: their requests are processed one after another.
 * - Each function that waits for the daemon, except vuc_vmm_read(), vuc_vmm_write() and
 *   vuc_vmm_write_pci(), has an asynchronous variant, whose name ends in _start. It returns at
 *   once, and vuc_vmm_events() reports completion: see vuc_vmm_done_fn. No function holds a lock
 *   while it waits, so the asynchronous variants do not wait for other threads either.
 *
 * Call vuc_vmm_detach() when no other thread uses the device any more. After a fork(), only one of
 * the two processes may use the device, and it stays attached until both have exited or called
 * exec().
 *
 * Functions return 0 or a negative errno, and fill err (which may be NULL) with a one-line error
 * text. In addition to the errors listed for each function, all functions with err return
 * -ECONNRESET when the daemon has closed the connection, -EPROTO when it violates the protocol of
 * <vuc/shm.h>, -ETIMEDOUT when it does not reply, -EMFILE, -ENOMEM, -ENOTCONN before the device is
 * attached, and -ECANCELED while it is being detached. Functions that wait return -EDEADLK when a
 * vuc_vmm_done_fn calls them. After -EPROTO or -ETIMEDOUT, the connection to the daemon is closed:
 * VUC_VMM_EVENT_GONE is reported, and later calls return -ECONNRESET with the same reason.
 *
 * Later versions may add fields at the end of structs that begin with their size, and bits to flags
 * and events, which callers should ignore. A caller sets `argsz` to the sizeof of the struct.
 * -EINVAL is returned for a size that no version has had, and for a field that is not 0 and that
 * the library does not know; fields that the library does not know are filled with 0. In structs
 * that the library provides, argsz is the library's size. All other structs stay as they are.
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
 * Completion callback of the asynchronous functions, whose names end in _start. If such a function
 * returns 0, its callback is called exactly once, by vuc_vmm_events() on the calling thread or by
 * vuc_vmm_detach(), and never before the function has returned. If it returns a negative errno, it
 * has filled err, the operation was not started, and the callback is not called.
 *
 * The operations of a device are executed and completed in the order in which they were started;
 * operations of different devices are independent. The timeout of an operation, timeout_ms, begins
 * when it is started, even if it has to wait for earlier ones. When an operation times out or the
 * connection is closed, all operations of the device complete with an error. The start function
 * copies its arguments and duplicates file descriptors, except for the memory for results, which
 * must stay valid until the callback is called. With NULL in its place, the function returns
 * -EINVAL.
 *
 * The callback may call any function of this header except those that wait, which return -EDEADLK.
 * vuc_vmm_close_queue() and vuc_vmm_detach() are allowed and do wait.
 *
 * @param arg     the arg of the start function
 * @param status  0 or a negative errno, as the synchronous function returns it; -ECANCELED when the
 *                device was detached before the operation was complete
 * @param err     one-line error text; empty with status 0; valid during the call
 */
typedef void (*vuc_vmm_done_fn)(void *arg, int status, const struct vuc_error *err);

/** How to attach. Fill it with vuc_vmm_attach_opts_init() first. */
struct vuc_vmm_attach_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_vmm_attach_opts_init(). */
	size_t size;
	/** Path of the daemon's socket; NULL: $VUCD_SOCKET if it is set, else vucd's default path.
	 */
	const char *socket;
	/** Name of the device in the daemon's configuration. */
	const char *device;
	/** Names this VMM in the daemon's logs; NULL: the name of the program. */
	const char *name;
	/** Timeout in milliseconds for attaching and for each function that sends a message to the
	 * daemon, from the call on; the daemon may have to wait for the device's server. */
	uint32_t timeout_ms;
	/** A UNIX socket of type SOCK_SEQPACKET that is connected to the daemon, for VMMs that may
	 * not open one; it is duplicated. -1, the default: connect to `socket`. */
	int fd;
	/** How long to wait, in milliseconds and in addition to timeout_ms, while the daemon, the
	 * device or its server is not there, or another VMM has the device; 0, the default: not at
	 * all. Not with fd. */
	uint32_t wait_ms;
	/** The same for vuc_vmm_reattach(); 0, the default: wait_ms. */
	uint32_t reattach_wait_ms;
};

#define VUC_VMM_DEFAULT_TIMEOUT_MS 65000 /**< default of timeout_ms */

/** Set every field of opts to its default. Size is sizeof(*opts), so that the library supports
 * callers whose struct has more or fewer fields. */
void vuc_vmm_attach_opts_init(struct vuc_vmm_attach_opts *opts, size_t size);

/**
 * Attach to a device.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the device on success, to NULL on failure
 * @param err   filled on failure; may be NULL
 * @return 0; the errors of connect(2); -EPROTONOSUPPORT when daemon and library have no version of
 * the protocol in common; -ENOENT when the daemon has no device of this name; -EACCES when this
 *         user may not attach to it; -EBUSY when another VMM uses it; -ENOTCONN while its server is
 *         away; -ETIMEDOUT; -EINVAL for invalid options; -ENAMETOOLONG for the path of the socket.
 *         With wait_ms, errors that may go away are returned only after that time
 */
int vuc_vmm_attach(
	const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev, struct vuc_error *err);

/**
 * Asynchronous variant, see vuc_vmm_done_fn. vuc_vmm_event_fd() and vuc_vmm_events() can be used
 * from here on. All other functions except the detach functions must wait until done is called with
 * status 0. The caller must detach the device even if attaching fails.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the device on success, to NULL on failure
 * @param done  called when the device is attached or attaching has failed
 * @param arg   first argument of done
 * @param err   filled on failure; may be NULL
 * @return 0; -EINVAL for invalid options or without done
 */
int vuc_vmm_attach_start(const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

#define VUC_VMM_LISTED_IN_USE    (1u << 0) /**< a VMM is attached, or is being cleaned up after */
#define VUC_VMM_LISTED_CONNECTED (1u << 1) /**< the device's server is there */

/** A device of a daemon. */
struct vuc_vmm_listed {
	size_t argsz;     /**< bytes of this struct, as the library knows it */
	const char *name; /**< for struct vuc_vmm_attach_opts */
	uint32_t flags;   /**< VUC_VMM_LISTED_* */
};

/** Devices of a daemon. */
struct vuc_vmm_list {
	size_t argsz; /**< bytes of this struct, as the library knows it */
	uint32_t nr;  /**< number of devices; may be 0 */
	const struct vuc_vmm_listed *const *devices; /**< nr of them, in the daemon's order */
};

/**
 * List the devices that this process's user may attach to.
 *
 * @param opts  options, of which `device` is not used; may be NULL
 * @param list  set on success; must be freed with vuc_vmm_list_free()
 * @param err   filled on failure; may be NULL
 * @return 0; as vuc_vmm_attach(), but for the device
 */
int vuc_vmm_list(
	const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_list **list, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn. dev is set to a device that is never attached, for
 * vuc_vmm_event_fd() and vuc_vmm_events(); the caller must detach it. list must stay valid until
 * done is called. @return 0; -EINVAL */
int vuc_vmm_list_start(const struct vuc_vmm_attach_opts *opts, struct vuc_vmm_device **dev,
	struct vuc_vmm_list **list, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** NULL is ignored. */
void vuc_vmm_list_free(struct vuc_vmm_list *list);

/**
 * Detach from the device and free it. First closes and frees open queues, as vuc_vmm_close_queue()
 * does. Waits until the daemon has removed the VMM's memory from the device, so that the memory can
 * be freed or reused; if the daemon does not reply, the function returns after timeout_ms. NULL is
 * ignored.
 *
 * Pending asynchronous operations complete with -ECANCELED before the function returns. If a
 * vuc_vmm_done_fn calls it, vuc_vmm_events() frees the device afterwards.
 */
void vuc_vmm_detach(struct vuc_vmm_device *dev);

/**
 * Asynchronous variant, see vuc_vmm_done_fn. Pending operations complete first, with -ECANCELED.
 * done is the last callback; vuc_vmm_events() frees the device after it, so stop watching the
 * device's file descriptor there. The status is 0 when the daemon has removed the memory from the
 * device; with -ECONNRESET or -ETIMEDOUT, the state of the memory is unknown.
 *
 * The daemon processes the requests of a VMM one after another. An operation that was completed
 * with -ECANCELED may still run there, and done is called only after it has finished, but no later
 * than timeout_ms after this call.
 *
 * @return 0; -EALREADY when the device is being detached; -EINVAL without done
 */
int vuc_vmm_detach_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/**
 * Attach again to the device when the daemon has gone (VUC_VMM_EVENT_GONE), at the same path, and
 * restore what the VMM has set up: mappings, eventfds and masks of interrupts, and queues. The
 * library keeps a record of that, with a descriptor of each file and of each eventfd. The device
 * that the new daemon has under the name must be the same: its flags, numbers and sizes of regions
 * are compared. Threads may use the device meanwhile:
 *
 * - Requests that were submitted to a queue before end with -ECONNRESET: they may or may not have
 *   reached the device, and none is sent again. Posted writes among them may be lost. A thread that
 *   waits in a queue returns within 100 ms. Until this operation has succeeded, each access returns
 *   -ECONNRESET; from then on the same queues work. If a thread has requests outstanding that it
 *   has not waited for, vuc_queue_submit() returns -ECONNRESET until vuc_queue_poll() has returned
 *   their results.
 * - Functions that are waiting end with -ECONNRESET; those called from here on wait for this one.
 *
 * On success, each eventfd of INTx, MSI and MSI-X that is signalled when an interrupt is raised has
 * been written once, and vuc_vmm_events() reports VUC_VMM_EVENT_RESET and VUC_VMM_EVENT_REMAP: the
 * device is as after a reset, and its regions are in other files. vuc_vmm_info() does not change,
 * and counters begin at 0. After a call that has returned -ECONNRESET, what it was to map, assign
 * or unmask is not restored, and neither is what it was to unmap, replace or disable.
 *
 * @param dev  the device
 * @param fd   a descriptor as in struct vuc_vmm_attach_opts; -1: connect to the same path
 * @param err  filled on failure; may be NULL
 * @return 0; as vuc_vmm_attach(), with the timeout_ms and reattach_wait_ms of attaching; -ENODEV
 *         when the device is another one; -EALREADY while it is being attached again; the
 *         first error of restoring. After a failure it can be called again
 */
int vuc_vmm_reattach(struct vuc_vmm_device *dev, int fd, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn; fd may be closed after this call. @return 0;
 * -EALREADY; -EINVAL; -EMFILE; -ENOMEM */
int vuc_vmm_reattach_start(
	struct vuc_vmm_device *dev, int fd, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** Information about a device. */
struct vuc_vmm_info {
	size_t argsz;          /**< bytes of this struct, as the library knows it */
	uint64_t generation;   /**< number of the daemon's connections to the device so far */
	uint64_t pgsizes;      /**< bitmap of the page sizes of DMA mappings */
	uint32_t flags;        /**< VFIO_DEVICE_FLAGS_* of <linux/vfio.h> */
	uint32_t num_regions;  /**< valid region indexes are 0 … num_regions - 1 */
	uint32_t num_irqs;     /**< valid IRQ indexes are 0 … num_irqs - 1 */
	uint32_t max_dma_maps; /**< maximum number of DMA mappings */
	uint32_t max_queues;   /**< maximum number of open queues */
	uint32_t max_depth;    /**< maximum number of outstanding requests of a queue */
	uint32_t max_data;     /**< maximum bytes of a request of a queue */
	bool dma_message; /**< the server has no access to the VMM's memory: it sends a message for
			     each access, which the daemon executes */
};

/** Get information about the device; valid until the device is detached. Any thread. */
const struct vuc_vmm_info *vuc_vmm_info(const struct vuc_vmm_device *dev);

/** A part of a region that can be mapped into the VMM and its guest. */
struct vuc_vmm_area {
	uint64_t offset;      /**< from the start of the region; a multiple of the page size */
	uint64_t size;        /**< bytes; a multiple of the page size, not 0 */
	uint64_t file_offset; /**< for mmap(2) */
	int fd;               /**< for mmap(2); owned by the device, open until it is detached */
};

/** A region. */
struct vuc_vmm_region {
	size_t argsz;      /**< bytes of this struct, as the library knows it */
	uint64_t size;     /**< bytes; 0: the region does not exist */
	uint32_t index;    /**< VFIO_PCI_*_REGION_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags;    /**< VFIO_REGION_INFO_FLAG_* of <linux/vfio.h> */
	uint32_t type;     /**< VFIO_REGION_INFO_CAP_TYPE, 0 without one */
	uint32_t subtype;  /**< goes with type */
	uint32_t nr_areas; /**< parts that can be mapped */
	const struct vuc_vmm_area *areas; /**< nr_areas of them, ascending, without overlaps. They
					     do not contain the pages of the MSI-X table and PBA */
	int fd; /**< descriptor of all areas, if they have one in common and `offset` of an area
		     plus fd_offset is its file_offset; else -1. May be duplicated */
	uint64_t fd_offset; /**< see fd */
};

/**
 * Query a region. The library caches the result until VUC_VMM_EVENT_REMAP is reported: call it
 * again then. A result, with its descriptors, is valid until the device is detached, or until the
 * event is reported for the second time after the call, and duplicates of descriptors for as long
 * as the caller has them.
 * If the server truncates a mapped file, accesses to the mapping raise SIGBUS.
 *
 * @return 0; -EINVAL when index is not below num_regions
 */
int vuc_vmm_region(struct vuc_vmm_device *dev, uint32_t index, const struct vuc_vmm_region **region,
	struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn; region must stay valid until then. After it,
 * vuc_vmm_region() returns the cached result without waiting. @return 0; -EINVAL */
int vuc_vmm_region_start(struct vuc_vmm_device *dev, uint32_t index,
	const struct vuc_vmm_region **region, vuc_vmm_done_fn done, void *arg,
	struct vuc_error *err);

/** An IRQ index. */
struct vuc_vmm_irq {
	size_t argsz;   /**< bytes of this struct, as the caller knows it */
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags; /**< VFIO_IRQ_INFO_* of <linux/vfio.h> */
	uint32_t count; /**< number of interrupts of this index; may be 0 */
};

/** Query an IRQ index; argsz of irq must be set. @return 0; -EINVAL when index is not below
 * num_irqs, or for argsz */
int vuc_vmm_irq(
	struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn; irq must stay valid until then. @return 0; -EINVAL */
int vuc_vmm_irq_start(struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/**
 * Open a queue, which one thread may use at a time; a VMM typically opens one for each vCPU. For
 * its functions, see <vuc/queue.h>; they need no system call while the daemon and the VMM are
 * awake. If the daemon exits, waiting functions return -ECONNRESET within 100 ms; a thread that
 * only polls has to call vuc_vmm_events() to detect it.
 *
 * @param dev    the device
 * @param opts   depth and maximum bytes of a request; NULL: defaults; not used after the call
 * @param queue  set to the queue on success, to NULL on failure
 * @param err    filled on failure; may be NULL
 * @return 0; -EINVAL for options out of range; -ENOSPC when max_queues queues are open
 */
int vuc_vmm_open_queue(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts,
	struct vuc_queue **queue, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn; queue must stay valid until then. @return 0; -EINVAL
 */
int vuc_vmm_open_queue_start(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts,
	struct vuc_queue **queue, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/**
 * Close and free a queue that no thread uses any more. Requests that were submitted before,
 * including posted writes, are still executed, unless the server does not read them within the
 * daemon's timeout; their results are discarded. If a VMM exits, the daemon closes its queues in
 * the same way. NULL is ignored.
 */
void vuc_vmm_close_queue(struct vuc_vmm_device *dev, struct vuc_queue *queue);

/** Asynchronous variant, see vuc_vmm_done_fn. The queue must not be used after this call. @return
 * 0; -EINVAL when the device has no such queue, or it is being closed */
int vuc_vmm_close_queue_start(struct vuc_vmm_device *dev, struct vuc_queue *queue,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/**
 * Read count bytes at offset of a region, as vuc_queue_read(). For callers without a queue of their
 * own: the device has one for all threads, which take turns. It is opened at the first call, with
 * defaults. Open queues for threads that access registers often.
 *
 * @return 0; an error reply of the server; -EINVAL for an access outside of the region; errors of
 *         vuc_vmm_open_queue()
 */
int vuc_vmm_read(struct vuc_vmm_device *dev, uint32_t region, uint64_t offset, void *data,
	uint32_t count, struct vuc_error *err);

/** Write count bytes at offset of a region and wait for the result, as vuc_queue_write(). See
 * vuc_vmm_read(). */
int vuc_vmm_write(struct vuc_vmm_device *dev, uint32_t region, uint64_t offset, const void *data,
	uint32_t count, struct vuc_error *err);

/** Write count bytes at offset of a region as PCI does, as vuc_queue_write_pci(). See
 * vuc_vmm_read(). */
int vuc_vmm_write_pci(struct vuc_vmm_device *dev, uint32_t region, uint64_t offset,
	const void *data, uint32_t count, struct vuc_error *err);

#define VUC_VMM_DMA_READ  (1u << 0) /**< the device may read the memory */
#define VUC_VMM_DMA_WRITE (1u << 1) /**< the device may write the memory */

/** A DMA mapping: a range of memory and its address for the device. */
struct vuc_vmm_dma {
	size_t argsz;    /**< bytes of this struct, as the caller knows it */
	uint64_t iova;   /**< address for the device, a multiple of the page size */
	uint64_t size;   /**< bytes, a multiple of the page size, not 0 */
	uint64_t offset; /**< of the memory in the file, a multiple of the page size */
	uint32_t flags;  /**< VUC_VMM_DMA_READ and VUC_VMM_DMA_WRITE, at least one of them */
	int fd; /**< the file: a memfd, hugetlbfs, /dev/shm. With dma_message, a memfd must be
		   sealed with F_SEAL_SHRINK. Owned by the caller, who may close it after the
		   commit. -1: memory without a file (a ROM, another device's BAR): accepted, but
		   the device has no access to it */
};

/**
 * Queue mappings; vuc_vmm_dma_commit() executes them. All threads share the device's one queue of
 * mappings.
 *
 * @return number of mappings without a file, usually 0; -EINVAL for invalid flags or addresses, a
 *         closed file descriptor, or an argsz that is not that of the first one, in which case
 *         nothing is queued. Errors of the daemon and the
 *         device are returned by the commit
 */
int vuc_vmm_dma_map(struct vuc_vmm_device *dev, const struct vuc_vmm_dma *mappings, size_t nr,
	struct vuc_error *err);

/** Queue the unmapping of all mappings in [iova, iova + size), which must not contain only a part
 * of one. @return 0; -EINVAL for an invalid range */
int vuc_vmm_dma_unmap(
	struct vuc_vmm_device *dev, uint64_t iova, uint64_t size, struct vuc_error *err);

/** The same, but without an error of the commit if the range has no mapping. */
int vuc_vmm_dma_unmap_if_mapped(
	struct vuc_vmm_device *dev, uint64_t iova, uint64_t size, struct vuc_error *err);

/** Queue the unmapping of all mappings. */
int vuc_vmm_dma_unmap_all(struct vuc_vmm_device *dev, struct vuc_error *err);

/**
 * Execute all queued mappings and unmappings, and wait for their completion: after 0, the server no
 * longer accesses unmapped memory. If one fails, those before it are done, and those after it are
 * discarded.
 *
 * @return 0; -EINVAL, -EEXIST for mappings that overlap, -ENOENT for an unmapping without a
 *         mapping, -ENOSPC for too many mappings, -EPERM for memory that can shrink, -EDQUOT for
 *         more than the daemon's max-dma-message-mb allows; an error reply of the server;
 *         -ETIMEDOUT. After -ECONNRESET, see vuc_vmm_reattach()
 */
int vuc_vmm_dma_commit(struct vuc_vmm_device *dev, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn. Mappings and unmappings that are queued after this
 * call belong to the next commit. Unmapped memory stays in use until done is called. File
 * descriptors of mappings may be closed after this call. @return 0; -EMFILE and -ENOMEM, which
 * leave the queue unchanged */
int vuc_vmm_dma_commit_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** A range of interrupts of an IRQ index: start … start + count - 1. */
struct vuc_vmm_irq_range {
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t start; /**< the first one */
	uint32_t count; /**< how many, at least 1 */
};

/** Actions on an interrupt, and events that an eventfd can signal. */
enum vuc_vmm_irq_action {
	VUC_VMM_IRQ_TRIGGER = 0, /**< raise the interrupt */
	VUC_VMM_IRQ_MASK = 1,    /**< mask the interrupt */
	VUC_VMM_IRQ_UNMASK = 2,  /**< unmask the interrupt */
};

/**
 * Assign eventfds to interrupts, and replace those that were assigned before. The device's server
 * signals the eventfds itself: with a KVM irqfd, the interrupt reaches the guest directly.
 *
 * @param dev       the device
 * @param range     the interrupts
 * @param action    event that signals the eventfds
 * @param eventfds  range->count of them; -1 removes the eventfd of that interrupt. The caller owns
 *                  them and may close them after the call
 * @param err       filled on failure; may be NULL
 * @return 0; -EINVAL for interrupts that do not exist, or a file descriptor that is not an eventfd;
 *         -EOPNOTSUPP when the server accepts no file descriptors; an error reply of the server,
 *         which also decides whether the flags of the index allow the action
 */
int vuc_vmm_irq_assign(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn. The eventfds may be closed after this call. @return
 * 0; -EINVAL; -EMFILE; -ENOMEM */
int vuc_vmm_irq_assign_start(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, vuc_vmm_done_fn done, void *arg,
	struct vuc_error *err);

/** Trigger, mask or unmask all interrupts of a range. @return as vuc_vmm_irq_assign() */
int vuc_vmm_irq_act(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn. @return 0; -EINVAL */
int vuc_vmm_irq_act_start(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** Disable all interrupts of an index and remove their eventfds. */
int vuc_vmm_irq_disable(struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn. @return 0; -EINVAL */
int vuc_vmm_irq_disable_start(struct vuc_vmm_device *dev, uint32_t index, vuc_vmm_done_fn done,
	void *arg, struct vuc_error *err);

struct vfio_irq_set;

/**
 * What ioctl(VFIO_DEVICE_SET_IRQS) does, with its struct of <linux/vfio.h>: each combination of
 * DATA_NONE, DATA_BOOL or DATA_EVENTFD with ACTION_TRIGGER, ACTION_MASK or ACTION_UNMASK. A count
 * of 0 with DATA_NONE and ACTION_TRIGGER disables the index.
 *
 * @return as vuc_vmm_irq_assign(); -EINVAL also for invalid flags or an invalid argsz
 */
int vuc_vmm_irq_set(
	struct vuc_vmm_device *dev, const struct vfio_irq_set *set, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn. The eventfds may be closed after this call. @return
 * 0; -EINVAL; -EMFILE; -ENOMEM */
int vuc_vmm_irq_set_start(struct vuc_vmm_device *dev, const struct vfio_irq_set *set,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** How a part of a region is accessed through a file descriptor. */
enum vuc_vmm_io_type {
	VUC_VMM_IO_EVENTFD = 0,        /**< a write signals an eventfd: for KVM_IOEVENTFD */
	VUC_VMM_IO_REGIONFD = 1,       /**< accesses are messages on the file descriptor */
	VUC_VMM_IO_EVENTFD_SHADOW = 2, /**< like an eventfd, and the value is written to memory */
};

/** A part of a region that is accessed through a file descriptor. */
struct vuc_vmm_io {
	enum vuc_vmm_io_type type; /**< determines which of the fields below are valid */
	uint32_t flags;            /**< KVM_IOEVENTFD_FLAG_* of <linux/kvm.h> */
	uint64_t offset;           /**< from the start of the region */
	uint64_t size;             /**< bytes; 0: of any size */
	uint64_t datamatch;        /**< of an eventfd */
	uint64_t user_data;        /**< of a regionfd */
	uint64_t shadow_offset;    /**< of the value in the shadow memory */
	int fd;                    /**< -1: none, use a queue for accesses */
	int shadow_fd;             /**< the shadow memory, or -1; check its size before use */
};

/** The parts of a region that are accessed through file descriptors. */
struct vuc_vmm_io_fds {
	size_t argsz;                /**< bytes of this struct, as the library knows it */
	uint32_t nr;                 /**< number of parts; may be 0 */
	const struct vuc_vmm_io *io; /**< nr of them; they may share file descriptors */
};

/**
 * Query the parts of a region that are accessed through file descriptors, for KVM_IOEVENTFD.
 *
 * @return 0, and the caller must free *fds with vuc_vmm_io_fds_free(); -EINVAL for a region that
 *         does not exist; -EOPNOTSUPP when the server does not support the command
 */
int vuc_vmm_io_fds(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn; fds must stay valid until then. @return 0; -EINVAL */
int vuc_vmm_io_fds_start(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

/** Free fds and close its file descriptors. NULL is ignored. */
void vuc_vmm_io_fds_free(struct vuc_vmm_io_fds *fds);

/** Reset the device and wait for completion. Requests that were submitted to its queues before,
 * including posted writes, reach the device before the reset. @return 0; -EOPNOTSUPP without
 * VFIO_DEVICE_FLAGS_RESET; an error reply of the server; -ETIMEDOUT */
int vuc_vmm_reset(struct vuc_vmm_device *dev, struct vuc_error *err);

/** Asynchronous variant, see vuc_vmm_done_fn. @return 0 */
int vuc_vmm_reset_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err);

#define VUC_VMM_EVENT_LOST    (1u << 0) /**< the connection to the server is lost */
#define VUC_VMM_EVENT_BACK    (1u << 1) /**< the device is restored: go on; with EVENT_RESET */
#define VUC_VMM_EVENT_RESET   (1u << 2) /**< the guest's driver must reset the device */
#define VUC_VMM_EVENT_REMOVED (1u << 3) /**< the operator has removed or detached it: detach */
#define VUC_VMM_EVENT_GONE    (1u << 4) /**< the daemon exits or has crashed: reattach, or detach */
#define VUC_VMM_EVENT_SILENT  (1u << 5) /**< the server stopped replying: requests time out */
#define VUC_VMM_EVENT_ANSWERS (1u << 6) /**< the server replies again */
#define VUC_VMM_EVENT_STALE   (1u << 7) /**< the daemon has reconnected: detach, and attach again */
#define VUC_VMM_EVENT_REMAP   (1u << 8) /**< regions are in other files: query and map them again */
#define VUC_VMM_EVENT_RELEASE (1u << 9) /**< the operator wants the device back: detach soon */

/** Get a file descriptor that is readable (poll(2), epoll(7)) while vuc_vmm_events() has to be
 * called for events or pending operations. The device owns it; only vuc_vmm_events() may read it.
 * Any thread. */
int vuc_vmm_event_fd(const struct vuc_vmm_device *dev);

/**
 * Get the events since the last call, make progress on pending operations, and call the
 * vuc_vmm_done_fn of completed ones. Never blocks. One thread at a time; does nothing inside a
 * vuc_vmm_done_fn. The device is freed by this call if a callback has detached it, or if the
 * callback of vuc_vmm_detach_start() was called.
 *
 * @return bitmap of VUC_VMM_EVENT_*; 0: none
 */
uint32_t vuc_vmm_events(struct vuc_vmm_device *dev);

/** The daemon's counters for this VMM. */
struct vuc_vmm_counters {
	size_t argsz;    /**< bytes of this struct, as the caller knows it */
	uint64_t reads;  /**< reads */
	uint64_t writes; /**< writes */
	uint64_t posted; /**< posted writes */
	uint64_t errors; /**< of these, the ones that failed */
};

/** Get the daemon's counters, without a system call; argsz of counters must be set. They are at
 * most a second old, and 0 for a device that was never attached. Any thread. @return 0; -EINVAL for
 * argsz
 */
int vuc_vmm_counters(const struct vuc_vmm_device *dev, struct vuc_vmm_counters *counters);

#ifdef __cplusplus
}
#endif

#endif /* VUC_VMM_H */

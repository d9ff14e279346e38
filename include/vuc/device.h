/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_H
#define VUC_DEVICE_H

/**
 * @file
 * A vfio-user device as its client sees it: open, look at, read, write, reset, close.
 *
 * "Specification" below is QEMU's docs/interop/vfio-user.rst.
 *
 * Every function here is called by the thread that owns the device's poll group, see
 * <vuc/poll_group.h>. Two ways of use, which may be mixed:
 *
 * - the synchronous calls (vuc_device_read() and the like) return when the device has answered;
 * - vuc_device_submit() queues a request, a function whose name ends with _start begins an
 *   operation, and vuc_poll_group_poll() completes either by its callback.
 *
 * Requests of one device reach it in the order in which they were submitted, posted writes
 * included. An operation goes out behind the requests that were submitted before it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>
#include <vuc/loopback.h>
#include <vuc/poll_group.h>
#include <vuc/trace.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vuc_device;

/**
 * An operation has ended: the completion of the functions whose names end with _start. They return
 * 0 or a negative errno: with 0, this is called exactly once, on the thread that owns the device's
 * poll group, from vuc_poll_group_poll(), vuc_poll_group_wait() or where the device is closed, and
 * never before the function has returned; with an errno, it is not called at all.
 *
 * Operations of one device run one after the other, in the order in which they were started, each
 * behind all requests that were submitted before it. The time that an operation has runs from its
 * start, also while it waits for its turn. What it needs of its arguments is copied and its
 * descriptors are duplicated by the start, except for memory that results go to, which has to live
 * until this is called.
 *
 * May do what a vuc_request_fn may.
 *
 * @param arg     what was given with it
 * @param status  0, or a negative errno; -ECANCELED when the device was closed
 * @param err     one line about what went wrong; empty with status 0; valid during the call
 */
typedef void (*vuc_done_fn)(void *arg, int status, const struct vuc_error *err);

#define VUC_DEFAULT_TIMEOUT_MS         5000    /**< default of timeout_ms */
#define VUC_DEFAULT_LONG_TIMEOUT_MS    60000   /**< default of long_timeout_ms */
#define VUC_DEFAULT_MAX_DATA_XFER_SIZE 1048576 /**< default and maximum of max_data_xfer_size */
#define VUC_DEFAULT_MAX_MSG_FDS        8       /**< default of max_msg_fds */
#define VUC_MAX_MSG_FDS                16      /**< maximum of max_msg_fds */
#define VUC_DEFAULT_MAX_REQUESTS       256     /**< default of max_requests */
#define VUC_MAX_REQUESTS               4096    /**< maximum of max_requests */
#define VUC_MIN_DATA_XFER_SIZE         8       /**< minimum of max_data_xfer_size: a register */
#define VUC_DEFAULT_MAX_DMA_MAPS       65535   /**< default of max_dma_maps */

/** How a device may access the memory that is mapped for it, see <vuc/dma.h>. */
enum vuc_dma_policy {
	VUC_DMA_SHARED,  /**< descriptors of memory go to the server, which maps them */
	VUC_DMA_MESSAGE, /**< they never do: the server asks for each access */
};

/** When writes are posted: sent without asking for an answer. */
enum vuc_posted_writes {
	VUC_POSTED_WRITES_OFF,  /**< never: VUC_OP_WRITE_POSTED is as VUC_OP_WRITE */
	VUC_POSTED_WRITES_ON,   /**< whenever they may be */
	VUC_POSTED_WRITES_AUTO, /**< as ON; but VUC_OP_WRITE_PCI posts only until parts of a region
				   can be accessed without the socket, which a posted write could
				   come after */
};

/** How to open a device. Fill it with vuc_device_opts_init() first. */
struct vuc_device_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_device_opts_init(). -EINVAL
	 * when it is less than the first version of the struct had, or above 4096. */
	size_t size;
	/** Path of the server's socket, at most 107 bytes. Not used with fd or loopback. */
	const char *path;
	/** A connected UNIX stream socket to use instead of path, or -1. Stays the caller's: the
	 * device works on a duplicate of it. O_NONBLOCK, which both share, is cleared. */
	int fd;
	/** The server, for a group whose transport is "loopback". Must outlive the device. */
	const struct vuc_loopback_server *loopback;
	/** The group that the device joins. NULL: the device gets one of its own. */
	struct vuc_poll_group *group;
	/** Transport of the group that is made when group is NULL; NULL chooses, see
	 * struct vuc_poll_group_opts. */
	const char *transport;
	/** Takes the log lines of that group; NULL drops them. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
	/** Milliseconds that opening the device may take, all of it; that the server may take to
	 * answer a request; and that it may read nothing while there is something to send: then
	 * the connection ends. At least 1. */
	uint32_t timeout_ms;
	/** The same for commands that may take long: reset, DMA mappings, and what sets a feature,
	 * as a change of the migration state does. */
	uint32_t long_timeout_ms;
	/** Most bytes of data that one message may carry, announced in VERSION;
	 * VUC_MIN_DATA_XFER_SIZE to VUC_DEFAULT_MAX_DATA_XFER_SIZE. */
	uint32_t max_data_xfer_size;
	/** Most fds that one message of the server may carry, announced in VERSION; at most
	 * VUC_MAX_MSG_FDS. */
	uint16_t max_msg_fds;
	/** Most requests awaiting an answer at once; a power of two, at most VUC_MAX_REQUESTS. */
	uint16_t max_requests;
	/** How the server accesses memory. */
	enum vuc_dma_policy dma;
	/** Most DMA mappings at a time, at least 1, for servers that take fewer than they announce.
	 * The server's own limit counts when it is lower. */
	uint32_t max_dma_maps;
	/** Whether vuc_io_fds_get() asks the server. Some servers break the connection when they
	 * are asked. */
	bool io_fds;
	/** Let the server send its commands over a socket of their own, if it can. */
	bool twin_socket;
	/** Let posted writes of up to 8 bytes that leave together share a message, if the server
	 * takes those. A server may leave out what lies behind one that fails. */
	bool write_multiple;
	/** Whether writes are posted; VUC_POSTED_WRITES_AUTO by default. */
	enum vuc_posted_writes posted_writes;
	/** Sees each message; NULL: nobody does, which costs nothing. */
	vuc_trace_fn trace;
	/** First argument of trace. */
	void *trace_arg;
};

/** Set every field of opts to its default. Size is sizeof(*opts): a library that
 * knows more fields, or fewer, heeds it. */
void vuc_device_opts_init(struct vuc_device_opts *opts, size_t size);

/** What client and server agreed on. Specification: VFIO_USER_VERSION. */
struct vuc_device_version {
	uint16_t major;              /**< major version */
	uint16_t minor;              /**< minor version, of both sides the lower */
	uint32_t max_msg_fds;        /**< most fds in one message to the server */
	uint32_t max_data_xfer_size; /**< most bytes in one data message, the smaller of both sides
				      */
	uint32_t max_dma_maps;       /**< most DMA mappings at a time, the smaller of the server's
				      limit and max_dma_maps of the options */
	uint64_t pgsizes;            /**< page sizes for DMA mappings, or'ed together */
	bool write_multiple;         /**< the server takes VFIO_USER_REGION_WRITE_MULTI */
	bool twin_socket;            /**< the server's commands come over a socket of their own */
	const char *json;            /**< the server's version data as it came; "" if none */
};

/** Specification: VFIO_USER_DEVICE_GET_INFO. */
struct vuc_device_info {
	uint32_t flags;       /**< VFIO_DEVICE_FLAGS_* of <linux/vfio.h> */
	uint32_t num_regions; /**< regions 0 … num_regions - 1 can be asked about */
	uint32_t num_irqs;    /**< IRQ indexes 0 … num_irqs - 1 can be asked about */
};

/** A part of a region that can be mapped. */
struct vuc_region_area {
	uint64_t offset; /**< from the start of the region */
	uint64_t size;   /**< bytes, never 0 */
};

/** Specification: VFIO_USER_DEVICE_GET_REGION_INFO. Cached by the device when it is opened. A
 * region other than a BAR or config space that the server refuses to tell of has size 0. */
struct vuc_region {
	uint32_t index;    /**< VFIO_PCI_*_REGION_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags;    /**< VFIO_REGION_INFO_FLAG_* of <linux/vfio.h> */
	uint64_t size;     /**< bytes; 0: there is no such region */
	uint64_t offset;   /**< what to add to an area's offset for mmap(2) of its fd */
	uint32_t nr_areas; /**< parts that can be mapped; 0 with the MMAP flag: all of it */
	uint32_t nr_fds;   /**< 0: nothing to map; 1: one for all; else one per area */
	uint32_t type;     /**< VFIO_REGION_INFO_CAP_TYPE, 0 without one */
	uint32_t subtype;  /**< goes with type */
	const struct vuc_region_area *areas; /**< nr_areas of them, ascending, not overlapping */
	const int *fds;                      /**< nr_fds of them; they stay the device's */
};

/** Specification: VFIO_USER_DEVICE_GET_IRQ_INFO. Cached by the device when it is opened. An index
 * that the server refuses to tell of has count 0. */
struct vuc_irq {
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags; /**< VFIO_IRQ_INFO_* of <linux/vfio.h> */
	uint32_t count; /**< interrupts of this index; 0: there are none */
};

/**
 * Connect to a server, negotiate, and learn what the device has. Polls the group until done, so
 * callbacks of other devices in it may run.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the new device on success, to NULL on failure
 * @param err   filled on failure with what failed, on which socket, and the value seen; may be NULL
 * @return 0; -EINVAL for options out of bounds; -ENAMETOOLONG; what connect(2) says;
 *         -ETIMEDOUT; -EPROTO when the server breaks the protocol; -ECONNRESET when it hangs up;
 *         -EDEADLK from a completion callback; -ENOMEM; -EAGAIN when there can be no thread that
 *         looks up path
 */
int vuc_device_open(
	const struct vuc_device_opts *opts, struct vuc_device **dev, struct vuc_error *err);

/**
 * Close a device. Requests that were submitted, posted writes included, are sent and awaited for at
 * most the timeout; what is left then completes with -ECANCELED before the call returns. Polls the
 * group, so callbacks of other devices in it may run. NULL does nothing.
 *
 * Called from a completion callback, also of the device itself, it does not wait: requests complete
 * with -ECANCELED before it returns, what was posted goes out with the polls that follow, or as far
 * as it can when there is none. Nothing of device and group is freed before that poll ends.
 */
void vuc_device_close(struct vuc_device *dev);

/**
 * Begin what vuc_device_open() does. The polls of the group do the rest, within timeout_ms, while
 * other devices of the group are served; may be called from a completion callback.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the device on success: until done has been called with status 0, closing it
 *              is all that can be done with it. Whatever becomes of it, the caller closes it
 * @param done  called when the device is open, or has failed to
 * @param arg   first argument of done
 * @param err   filled on failure; may be NULL
 * @return 0; as vuc_device_open() when nothing was begun: dev is NULL, and done is not called
 */
int vuc_device_open_start(const struct vuc_device_opts *opts, struct vuc_device **dev,
	vuc_done_fn done, void *arg, struct vuc_error *err);

/**
 * Begin to close a device. All that was begun with it ends with -ECANCELED before the call returns;
 * done is the only callback that follows. What was posted and is complete is sent while the group
 * is polled, for at most the timeout; then done is called, and the device freed, with its group if
 * that is its own. May be called from a completion callback, also of the device itself.
 *
 * @return 0; -EALREADY when it is being closed: done is not called
 */
int vuc_device_close_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

/** The version and capabilities agreed on; valid until the device is closed. */
const struct vuc_device_version *vuc_device_version(const struct vuc_device *dev);

/** The device's info; valid until the device is closed. */
const struct vuc_device_info *vuc_device_info(const struct vuc_device *dev);

/** A region by index; valid until the device is closed. NULL when index >= num_regions. */
const struct vuc_region *vuc_device_region(const struct vuc_device *dev, uint32_t index);

/** An IRQ index; valid until the device is closed. NULL when index >= num_irqs. */
const struct vuc_irq *vuc_device_irq(const struct vuc_device *dev, uint32_t index);

/** The poll group that drives the device. */
struct vuc_poll_group *vuc_device_poll_group(const struct vuc_device *dev);

/**
 * Why the last call on this device that failed did so, or its connection ended: one line, "" when
 * none has failed so far. Valid until the next call on the device.
 */
const char *vuc_device_reason(const struct vuc_device *dev);

/** Whether the connection stands. False is final: only closing is left. */
bool vuc_device_connected(const struct vuc_device *dev);

/** What a request does. */
enum vuc_op {
	VUC_OP_READ,         /**< read from a region */
	VUC_OP_WRITE,        /**< write to a region and wait for the device's answer */
	VUC_OP_WRITE_POSTED, /**< write to a region; complete when on its way, no answer asked for
			      */
	VUC_OP_RESET,        /**< reset the device: no request passes it, before or behind */
	VUC_OP_WRITE_PCI,    /**< write as PCI does: posted to memory BARs if posted_writes allows
			      for it, awaited elsewhere (config space, I/O BARs, other regions) */
};

struct vuc_request;

/**
 * A request is complete. Runs inside vuc_poll_group_poll() or vuc_poll_group_wait(); may submit
 * requests, this one again included, begin what has a function with a name in _start, close devices
 * and destroy the group; may not poll or wait, and the synchronous functions return -EDEADLK.
 *
 * @param req     the request; the caller's again
 * @param status  0, or a negative errno: what the server answered, -ETIMEDOUT, -ECANCELED when
 *                the device was closed, otherwise what ended the connection
 */
typedef void (*vuc_request_fn)(struct vuc_request *req, int status);

/**
 * A request to a device. The caller owns the memory; between submit and completion it must
 * neither be changed nor freed, and the same holds for data.
 */
struct vuc_request {
	enum vuc_op op; /**< what to do */
	uint32_t
		region; /**< index of the region; not used by VUC_OP_RESET, like offset and count */
	uint64_t offset;     /**< bytes from the start of the region */
	void *data;          /**< count bytes: read into, or written from */
	size_t count;        /**< bytes, at least 1; split into as many messages as it takes */
	vuc_request_fn done; /**< called exactly once for each successful submit */
	void *arg;           /**< the caller's own */
	struct {
		struct vuc_request *next;
		struct vuc_device *dev;
		size_t submitted;
		uint32_t outstanding;
		int status;
	} priv; /**< vuc's while the request is outstanding */
};

/**
 * Queue a request. It leaves with the next vuc_poll_group_poll(), or later when max_requests are
 * outstanding: however many are submitted, none is refused for want of room.
 *
 * @return 0: done() will be called exactly once, always from vuc_poll_group_poll(),
 *         vuc_poll_group_wait() or vuc_device_close(); -EINVAL for a region that does not exist,
 *         an access outside of it or a count of 0; -EACCES for a region that can't be read or
 *         written; -EOPNOTSUPP for a reset that the device does not support, -ENOMEM for one
 *         without memory; otherwise what ended the connection
 */
int vuc_device_submit(struct vuc_device *dev, struct vuc_request *req);

/**
 * Read count bytes at offset of a region and wait for them.
 * Specification: VFIO_USER_REGION_READ, one message per max_data_xfer_size bytes.
 *
 * @return 0; the errors of vuc_device_submit() and those of vuc_request_fn; -EDEADLK from a
 * completion callback
 */
int vuc_device_read(
	struct vuc_device *dev, uint32_t region, uint64_t offset, void *data, size_t count);

/** Write count bytes at offset of a region and wait until the device has answered; otherwise like
 * vuc_device_read(). Specification: VFIO_USER_REGION_WRITE. */
int vuc_device_write(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

/**
 * Queue a posted write: no answer is asked for, and an error of the device stays unknown. The data
 * is copied. It leaves with the next poll or synchronous call; waits only when the send buffer is
 * full, and behind what was submitted or started before and has to go out first: a request, an
 * operation before its turn, a reset that has not ended. Specification: VFIO_USER_REGION_WRITE with
 * the No_reply flag. Once a server has answered a posted write, later ones ask for an answer, which
 * is dropped, and the call waits as well when max_requests are outstanding.
 *
 * @return as vuc_device_write(), but success says nothing of the device; -EDEADLK in a completion
 *         callback only where it would wait: VUC_OP_WRITE_POSTED never does
 */
int vuc_device_write_posted(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

/** Write as VUC_OP_WRITE_PCI does. @return as vuc_device_write_posted() or vuc_device_write() */
int vuc_device_write_pci(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

/**
 * Reset the device and wait for it. Nothing passes a reset: what was submitted before, also by the
 * queues of a poller, goes out before, what is submitted afterwards when it is answered. One that
 * takes longer than long_timeout_ms ends the connection, since it could undo what is set up later.
 * Specification: VFIO_USER_DEVICE_RESET.
 *
 * @return as vuc_device_read(); -EOPNOTSUPP when the device has no VFIO_DEVICE_FLAGS_RESET. When
 *         the server answers that it has no reset (error 0, ENOSYS or EOPNOTSUPP), the flag is
 *         cleared
 */
int vuc_device_reset(struct vuc_device *dev);

/**
 * The same without waiting: see vuc_done_fn. VUC_OP_RESET is another way to it.
 *
 * @return 0; -EOPNOTSUPP as above; -ENOMEM; what ended the connection
 */
int vuc_device_reset_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VUC_DEVICE_H */

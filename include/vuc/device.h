/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_H
#define VUC_DEVICE_H

/**
 * @file
 * The client's view of a vfio-user device: open, query, read, write, reset and close it.
 *
 * "Specification" below is QEMU's docs/interop/vfio-user.rst.
 *
 * All functions must be called on the thread that owns the device's poll group, see
 * <vuc/poll_group.h>. Synchronous and asynchronous functions may be mixed:
 *
 * - synchronous functions, such as vuc_device_read(), return when the device has replied;
 * - vuc_device_submit() queues a request, functions whose names end in _start start an operation,
 *   and vuc_poll_group_poll() calls the completion callback of both.
 *
 * Requests, including posted writes, reach the device in the order in which they were submitted. An
 * operation is sent after the requests that were submitted before it.
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
 * Completion callback of the asynchronous functions, whose names end in _start. If such a function
 * returns 0, its callback is called exactly once, on the thread that owns the device's poll group,
 * from vuc_poll_group_poll(), vuc_poll_group_wait() or a function that closes the device, and never
 * before the function has returned. If it returns a negative errno, the callback is not called.
 *
 * Operations of one device run one after another, in the order in which they were started, each
 * after all requests that were submitted before it. The timeout of an operation begins when it is
 * started, even if it has to wait for earlier ones. The start function copies its arguments and
 * duplicates file descriptors, except for the memory for results, which must stay valid until the
 * callback is called. With NULL in its place, the function returns -EINVAL.
 *
 * The same functions are allowed as in a vuc_request_fn.
 *
 * @param arg     the arg of the start function
 * @param status  0 or a negative errno; -ECANCELED when the device was closed
 * @param err     one-line error text; empty with status 0; valid during the call
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
	VUC_DMA_SHARED,  /**< the server receives file descriptors of the memory and maps them */
	VUC_DMA_MESSAGE, /**< the server has no access to memory: it sends a message per access */
};

/** When writes are posted, which means that the server sends no reply. */
enum vuc_posted_writes {
	VUC_POSTED_WRITES_OFF,  /**< never: VUC_OP_WRITE_POSTED is the same as VUC_OP_WRITE */
	VUC_POSTED_WRITES_ON,   /**< whenever possible */
	VUC_POSTED_WRITES_AUTO, /**< like ON, but VUC_OP_WRITE_PCI posts only until parts of a
				   region can be accessed without the socket: such an access could
				   overtake a posted write */
};

/** How to open a device. Fill it with vuc_device_opts_init() first. */
struct vuc_device_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_device_opts_init(). -EINVAL
	 * if it is smaller than the first version of the struct, or above 4096. */
	size_t size;
	/** Path of the server's socket, at most 107 bytes. Not used with fd or loopback. */
	const char *path;
	/** A connected UNIX stream socket to use instead of path, or -1. The device uses a
	 * duplicate; the caller keeps this one. Clears O_NONBLOCK, which both share. */
	int fd;
	/** The server, for a group whose transport is "loopback". Must outlive the device. */
	const struct vuc_loopback_server *loopback;
	/** The poll group of the device. NULL: create one for this device. */
	struct vuc_poll_group *group;
	/** Transport of the new group if group is NULL; NULL: default, see
	 * struct vuc_poll_group_opts. */
	const char *transport;
	/** Receives the log lines of the new group; NULL discards them. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
	/** Timeout in milliseconds for opening the device, for each reply of the server, and for
	 * sending while the server does not read, which closes the connection. At least 1. */
	uint32_t timeout_ms;
	/** Timeout for slow commands: reset, DMA mappings, and setting a feature, such as the
	 * migration state. */
	uint32_t long_timeout_ms;
	/** Maximum bytes of data in one message, announced in VERSION;
	 * VUC_MIN_DATA_XFER_SIZE to VUC_DEFAULT_MAX_DATA_XFER_SIZE. */
	uint32_t max_data_xfer_size;
	/** Maximum number of file descriptors in one message of the server, announced in VERSION;
	 * at most VUC_MAX_MSG_FDS. */
	uint16_t max_msg_fds;
	/** Maximum number of outstanding requests; a power of two, at most VUC_MAX_REQUESTS. */
	uint16_t max_requests;
	/** How the device accesses memory. */
	enum vuc_dma_policy dma;
	/** Maximum number of DMA mappings, at least 1, for servers that support fewer than they
	 * announce. A lower limit of the server takes precedence. */
	uint32_t max_dma_maps;
	/** Whether vuc_io_fds_get() is allowed. Some servers close the connection on its command.
	 */
	bool io_fds;
	/** Offer a second socket for the server's commands (twin socket). */
	bool twin_socket;
	/** Send several posted writes of up to 8 bytes in one message, if the server supports it. A
	 * server may skip the writes after one that fails. */
	bool write_multiple;
	/** Whether writes are posted; VUC_POSTED_WRITES_AUTO by default. */
	enum vuc_posted_writes posted_writes;
	/** Called for each message; NULL disables tracing, at no cost. */
	vuc_trace_fn trace;
	/** First argument of trace. */
	void *trace_arg;
};

/** Set every field of opts to its default. Size is sizeof(*opts), so that the library supports
 * callers whose struct has more or fewer fields. */
void vuc_device_opts_init(struct vuc_device_opts *opts, size_t size);

/** The result of the negotiation. Specification: VFIO_USER_VERSION. */
struct vuc_device_version {
	uint16_t major;              /**< major version */
	uint16_t minor;              /**< minor version, the lower one of both sides */
	uint32_t max_msg_fds;        /**< maximum file descriptors in one message to the server */
	uint32_t max_data_xfer_size; /**< maximum bytes of data in one message, the smaller limit of
				      both sides */
	uint32_t max_dma_maps; /**< maximum number of DMA mappings, the smaller one of the server's
				limit and max_dma_maps of the options */
	uint64_t pgsizes;      /**< bitmap of the page sizes for DMA mappings */
	bool write_multiple;   /**< the server supports VFIO_USER_REGION_WRITE_MULTI */
	bool twin_socket;      /**< the server sends its commands over a second socket */
	uint64_t migration_pgsize; /**< page size of the capability `migration`, 4096 if it has
				    none; 0: the server did not announce it. The specification does
				    not have it any more, so that says nothing of what the server
				    supports: see vuc_migration_supported() */
	const char *json;          /**< the server's unmodified version data; "" if none */
};

/** Specification: VFIO_USER_DEVICE_GET_INFO. */
struct vuc_device_info {
	uint32_t flags;       /**< VFIO_DEVICE_FLAGS_* of <linux/vfio.h> */
	uint32_t num_regions; /**< valid region indexes are 0 … num_regions - 1 */
	uint32_t num_irqs;    /**< valid IRQ indexes are 0 … num_irqs - 1 */
};

/** A part of a region that can be mapped. */
struct vuc_region_area {
	uint64_t offset; /**< from the start of the region */
	uint64_t size;   /**< bytes, never 0 */
};

/** Specification: VFIO_USER_DEVICE_GET_REGION_INFO. Cached by the device when it is opened. If
 * the server refuses the command for a region other than a BAR or config space, its size is 0. */
struct vuc_region {
	uint32_t index;    /**< VFIO_PCI_*_REGION_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags;    /**< VFIO_REGION_INFO_FLAG_* of <linux/vfio.h> */
	uint64_t size;     /**< bytes; 0: the region does not exist */
	uint64_t offset;   /**< add it to an area's offset for mmap(2) of its fd */
	uint32_t nr_areas; /**< parts that can be mapped; 0 with the MMAP flag: all of it */
	uint32_t nr_fds;   /**< 0: nothing to map; 1: one for all; else one per area */
	uint32_t type;     /**< VFIO_REGION_INFO_CAP_TYPE, 0 without one */
	uint32_t subtype;  /**< goes with type */
	const struct vuc_region_area *areas; /**< nr_areas of them, ascending, not overlapping */
	const int *fds;                      /**< nr_fds of them, owned by the device */
};

/** Specification: VFIO_USER_DEVICE_GET_IRQ_INFO. Cached by the device when it is opened. If the
 * server refuses the command for an index, its count is 0. */
struct vuc_irq {
	uint32_t index; /**< VFIO_PCI_*_IRQ_INDEX of <linux/vfio.h>, or higher */
	uint32_t flags; /**< VFIO_IRQ_INFO_* of <linux/vfio.h> */
	uint32_t count; /**< number of interrupts of this index; may be 0 */
};

/**
 * Connect to a server, negotiate, and query the device's regions and interrupts. Polls the group
 * until done, so callbacks of other devices in it may run. If the server does not answer the read
 * of the BARs in config space, the device is open after timeout_ms, with a warning in the log, and
 * VUC_OP_WRITE_PCI does not post.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the new device on success, to NULL on failure
 * @param err   filled on failure with the error, the socket and the details; may be NULL
 * @return 0; -EINVAL for options out of range; -ENAMETOOLONG; the errors of connect(2); -ETIMEDOUT;
 *         -EPROTO when the server violates the protocol; -ECONNRESET when it closes the connection;
 *         -EDEADLK from a completion callback; -ENOMEM; -EAGAIN when the thread that looks up path
 *         cannot be created
 */
int vuc_device_open(
	const struct vuc_device_opts *opts, struct vuc_device **dev, struct vuc_error *err);

/**
 * Close a device. Sends submitted requests, including posted writes, and waits for their replies
 * for at most the timeout; the remaining ones complete with -ECANCELED before the call returns.
 * Polls the group, so callbacks of other devices in it may run. NULL is ignored.
 *
 * In a completion callback, also one of the device itself, the call does not wait: requests
 * complete with -ECANCELED before it returns. Posted writes are sent by the following polls; if
 * there are none, as many as possible are sent. Device and group are not freed before the current
 * poll ends.
 */
void vuc_device_close(struct vuc_device *dev);

/**
 * Asynchronous variant of vuc_device_open(). The polls of the group open the device, within
 * timeout_ms, while they serve other devices. May be called from a completion callback.
 *
 * @param opts  options; not used after the call
 * @param dev   set to the device on success. Until done is called with status 0, the device can
 * only be closed. The caller must close it even if opening fails
 * @param done  called when the device is open, or opening has failed
 * @param arg   first argument of done
 * @param err   filled on failure; may be NULL
 * @return 0; else as vuc_device_open(): dev is NULL, and done is not called
 */
int vuc_device_open_start(const struct vuc_device_opts *opts, struct vuc_device **dev,
	vuc_done_fn done, void *arg, struct vuc_error *err);

/**
 * Asynchronous variant of vuc_device_close(). Requests and operations of the device complete with
 * -ECANCELED before the call returns; done is the only callback after that. Completed posted writes
 * are sent by the polls of the group, for at most the timeout. Then done is called and the device
 * is freed, including a group that was created for it. May be called from a completion callback,
 * also one of the device itself.
 *
 * @return 0; -EALREADY when the device is being closed: done is not called
 */
int vuc_device_close_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

/** The negotiated version and capabilities; valid until the device is closed. */
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
 * One-line error text of the last failed call on this device, or of its connection; "" if none has
 * failed. Valid until the next call on the device.
 */
const char *vuc_device_reason(const struct vuc_device *dev);

/** Whether the device is connected. Once false, the device can only be closed. */
bool vuc_device_connected(const struct vuc_device *dev);

/** What a request does. */
enum vuc_op {
	VUC_OP_READ,         /**< read from a region */
	VUC_OP_WRITE,        /**< write to a region and wait for the reply */
	VUC_OP_WRITE_POSTED, /**< write to a region without a reply; complete when it is sent */
	VUC_OP_RESET,        /**< reset the device: no request overtakes it or is overtaken by it */
	VUC_OP_WRITE_PCI,    /**< write as PCI does: posted to memory BARs if posted_writes allows
			      it, with a reply for config space, I/O BARs and other regions */
};

struct vuc_request;

/**
 * Completion callback of a request. Runs inside vuc_poll_group_poll() or vuc_poll_group_wait(). It
 * may submit requests, including the completed one, call functions whose names end in _start, close
 * devices and destroy the group. It must not poll or wait; synchronous functions return -EDEADLK.
 *
 * @param req     the request, which the caller owns again
 * @param status  0 or a negative errno: an error reply of the server, -ETIMEDOUT, -ECANCELED when
 *                the device was closed, otherwise the error of the connection
 */
typedef void (*vuc_request_fn)(struct vuc_request *req, int status);

/**
 * A request to a device. The caller owns the memory; between submit and completion, the
 * request and its data must not be changed or freed.
 */
struct vuc_request {
	enum vuc_op op; /**< what to do */
	uint32_t
		region; /**< index of the region; not used by VUC_OP_RESET, like offset and count */
	uint64_t offset;     /**< bytes from the start of the region */
	void *data;          /**< count bytes: destination of a read, source of a write */
	size_t count;        /**< bytes, at least 1; split into several messages if necessary */
	vuc_request_fn done; /**< called exactly once for each successful submit */
	void *arg;           /**< for the caller */
	struct {
		struct vuc_request *next;
		struct vuc_device *dev;
		size_t submitted;
		uint32_t outstanding;
		int status;
	} priv; /**< used by the library while the request is outstanding */
};

/**
 * Queue a request. The next vuc_poll_group_poll() sends it, or a later one if max_requests are
 * outstanding. Any number of requests can be submitted.
 *
 * @return 0: done() will be called exactly once, always from vuc_poll_group_poll(),
 *         vuc_poll_group_wait() or vuc_device_close(); -EINVAL for a region that does not exist,
 *         an access outside of it or a count of 0; -EACCES for a region that cannot be read or
 *         written; for a reset, -EOPNOTSUPP if the device does not support it, and -ENOMEM;
 *         otherwise the error of the connection
 */
int vuc_device_submit(struct vuc_device *dev, struct vuc_request *req);

/**
 * Read count bytes at offset of a region and wait for the reply.
 * Specification: VFIO_USER_REGION_READ, one message per max_data_xfer_size bytes.
 *
 * @return 0; the errors of vuc_device_submit() and those of vuc_request_fn; -EDEADLK from a
 * completion callback
 */
int vuc_device_read(
	struct vuc_device *dev, uint32_t region, uint64_t offset, void *data, size_t count);

/** Write count bytes at offset of a region and wait for the reply; otherwise like
 * vuc_device_read(). Specification: VFIO_USER_REGION_WRITE. */
int vuc_device_write(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

/**
 * Queue a posted write: the server sends no reply, so errors of the device are not reported. The
 * data is copied, and sent by the next poll or synchronous call. The call waits only if the send
 * buffer is full, or for requests and operations that must be sent before: a submitted request, an
 * operation that is not running yet, a reset that is not complete. Specification:
 * VFIO_USER_REGION_WRITE with the No_reply flag. Once a server has replied to a posted write, later
 * ones request a reply, which is discarded; then the call also waits if max_requests are
 * outstanding.
 *
 * @return as vuc_device_write(), but success does not mean that the device has accepted the write;
 *         -EDEADLK in a completion callback if it would have to wait. VUC_OP_WRITE_POSTED never
 * waits
 */
int vuc_device_write_posted(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

/** Write as VUC_OP_WRITE_PCI does. @return as vuc_device_write_posted() or vuc_device_write() */
int vuc_device_write_pci(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count);

/**
 * Reset the device and wait for completion. Requests that were submitted before, also through the
 * queues of a poller, are sent before the reset; later ones are sent after its reply. A reset that
 * takes longer than long_timeout_ms closes the connection, because it could undo later changes.
 * Specification: VFIO_USER_DEVICE_RESET.
 *
 * @return as vuc_device_read(); -EOPNOTSUPP without VFIO_DEVICE_FLAGS_RESET. If the server replies
 *         that it does not support reset (error 0, ENOSYS or EOPNOTSUPP), the flag is cleared
 */
int vuc_device_reset(struct vuc_device *dev);

/**
 * Asynchronous variant, see vuc_done_fn. VUC_OP_RESET does the same.
 *
 * @return 0; -EOPNOTSUPP as above; -ENOMEM; the error of the connection
 */
int vuc_device_reset_start(struct vuc_device *dev, vuc_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* VUC_DEVICE_H */

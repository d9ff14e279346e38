/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_CONTROL_H
#define VUC_CONTROL_H

/**
 * @file
 * The control plane, daemon's side: devices of pollers, offered to VMM processes through shared
 * memory. vucd is made of it; a program that has pollers of its own can offer its devices, too. It
 * is in libvuc-poller.
 *
 * VMMs are not trusted: whatever one sends or writes ends its own connection at most. The library
 * has a thread that accepts, and one for each connection, of which there are at most max_vmms.
 *
 * Functions may be called by any thread but a poller's, and block until pollers and servers have
 * done their part, unless said otherwise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vuc/device.h>
#include <vuc/error.h>
#include <vuc/log.h>
#include <vuc/poller.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vuc_control;

/** How to create a control plane. Fill it with vuc_control_opts_init() first. */
struct vuc_control_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_control_opts_init(). */
	size_t size;
	/** Path of the socket for VMMs, at most 107 bytes. Must not exist, or be a socket that
	 * nobody listens on, which is replaced. */
	const char *path;
	/** Its mode; 0600 by default. */
	mode_t mode;
	/** Nobody can connect until vuc_control_listen(): devices may be added before, so that no
	 * VMM is told that one is unknown. */
	bool deferred;
	/** Connections at a time. */
	unsigned int max_vmms;
	/** Of these, connections of one user: one user cannot take them all. */
	unsigned int max_vmms_per_user;
	/** Queues of one VMM; at most VUC_SHM_MAX_QUEUES. */
	unsigned int max_queues;
	/** Bytes of memory that the queues of one VMM may take. */
	uint64_t max_queue_memory;
	/** DMA mappings of one VMM, if the device allows for more. */
	unsigned int max_dma_maps;
	/** Bytes of memory that accesses of its device by message may cost this process for one
	 * VMM: pages that they are the first to touch, and page tables. A VMM whose device needs
	 * more loses its connection. */
	uint64_t max_dma_message;
	/** Milliseconds until a connection has to have attached to a device. */
	uint32_t handshake_timeout_ms;
	/** Takes log lines, on any thread, one at a time; NULL drops them. Calls no function of the
	 * control plane. Of lines that a connection or a user causes, too many are left out, and
	 * counted. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default; path to NULL. Size is sizeof(*opts): a library that
 * knows more fields, or fewer, heeds it. */
void vuc_control_opts_init(struct vuc_control_opts *opts, size_t size);

/**
 * Create a control plane, and listen, unless that is deferred.
 *
 * The first one in a process sets a handler for SIGBUS, which stays: a VMM that truncates memory
 * that is mapped here loses its connection. Other faults go to the handler that was set before;
 * one that is set afterwards takes its place.
 *
 * @param opts     options; not used after the call
 * @param control  set to it on success, to NULL on failure
 * @param err      filled on failure; may be NULL
 * @return 0; -EINVAL for options that cannot be; -ENAMETOOLONG for the path of the socket;
 *         -EADDRINUSE when somebody listens on it;
 *         what socket(2), bind(2) and the like say; -ENOMEM
 */
int vuc_control_create(
	const struct vuc_control_opts *opts, struct vuc_control **control, struct vuc_error *err);

/** Let VMMs connect, where that was deferred. @return 0; what listen(2) says; -EAGAIN when there
 * can be no more threads */
int vuc_control_listen(struct vuc_control *control, struct vuc_error *err);

/**
 * Tell all VMMs that the end has come, take their devices away, close all devices, remove the
 * socket and free everything. What was started and has not ended ends before this returns. Devices
 * end side by side, and what is waited for is logged. NULL does nothing.
 */
void vuc_control_destroy(struct vuc_control *control);

/** How a device is made clean for the next VMM. */
enum vuc_control_reset {
	/** By a new connection and a DEVICE_RESET on it, if the device has one: for servers that
	 * answer a reset without doing all of it. */
	VUC_CONTROL_RESET_ON,
	/** By a DEVICE_RESET on the same connection: for servers that are known to do it, and for
	 * those that end with their first client. */
	VUC_CONTROL_RESET_TRUST,
	/** By a new connection only: for servers that a reset ends. VMMs cannot reset the device
	 * either. */
	VUC_CONTROL_RESET_NEVER,
};

/** How to offer a device. Fill it with vuc_control_device_opts_init() first. */
struct vuc_control_device_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_control_device_opts_init(). */
	size_t size;
	/** Its name: 1 to 63 bytes of letters, digits and "._-". Copied. */
	const char *name;
	/** The poller that drives it, which lives until the device is removed. */
	struct vuc_poller *poller;
	/** How to open it, by path (or loopback): a descriptor could not be connected to again.
	 * group, transport and max_msg_fds are not used. Copied, with path. */
	const struct vuc_device_opts *device;
	/** Users who may have it. Root and the daemon's own user always may. Copied. */
	const uid_t *users;
	/** How many of them. */
	unsigned int nr_users;
	/** Groups whose members may have it: the primary and the supplementary groups of a process
	 * when it connects count. Copied. */
	const gid_t *groups;
	/** How many of them. */
	unsigned int nr_groups;
	/** How it is made clean when it is connected to, and when a VMM has left. */
	enum vuc_control_reset reset;
	/** Milliseconds between attempts to connect to a server that is away: the first and the
	 * longest one, which each attempt doubles up to. Once three connections in a row have ended
	 * on DEVICE_RESET, the server is tried every 12 * retry_max_ms only. */
	uint32_t retry_min_ms;
	/** The longest one. */
	uint32_t retry_max_ms;
};

/** Set every field of opts to its default; name, poller and device to NULL. Size is
 * sizeof(*opts): a library that knows more fields, or fewer, heeds it. */
void vuc_control_device_opts_init(struct vuc_control_device_opts *opts, size_t size);

/**
 * Offer a device. Its server may be away: it is connected to when it is there, and the device is
 * reset, unless reset says otherwise, for servers keep what clients have left in it. The device is
 * there when this returns; a VMM that attaches before it is connected to waits for that, for half
 * of handshake_timeout_ms at most.
 *
 * @param control  the control plane
 * @param opts     how; not used after the call
 * @param done     called when the first attempt to connect has ended, with 0 whether it has
 * succeeded or not; or when the device is removed before
 * @param arg      goes to done
 * @param err      filled on failure; may be NULL
 * @return 0, and done will be called; else it will not: -EINVAL for options that cannot be; -EEXIST
 *         when there is a device of that name; -ESHUTDOWN while the control plane is being
 *         destroyed; -ENOMEM
 */
int vuc_control_add_device_start(struct vuc_control *control,
	const struct vuc_control_device_opts *opts, vuc_done_fn done, void *arg,
	struct vuc_error *err);

/** vuc_control_add_device_start(), and wait for its end. */
int vuc_control_add_device(struct vuc_control *control, const struct vuc_control_device_opts *opts,
	struct vuc_error *err);

/**
 * Take a device away and close it. Nobody finds it any more when this returns; its name is free
 * when done is called.
 *
 * @param control  the control plane
 * @param name     the device's
 * @param force    take it away from the VMM that has it, which is told
 * @param done     called with 0 when it is closed
 * @param arg      goes to done
 * @param err      filled on failure; may be NULL
 * @return 0, and done will be called; else it will not: -ENOENT; -EBUSY when a VMM has it and force
 *         is false; -ENOMEM
 */
int vuc_control_remove_device_start(struct vuc_control *control, const char *name, bool force,
	vuc_done_fn done, void *arg, struct vuc_error *err);

/** vuc_control_remove_device_start(), and wait for its end. */
int vuc_control_remove_device(
	struct vuc_control *control, const char *name, bool force, struct vuc_error *err);

/**
 * Take a device away from the VMM that has it, so that another one may attach. A server that does
 * not answer has a second: then its connection is ended, so that the VMM leaves.
 *
 * @return 0, and done will be called with 0 when the VMM has left; else it will not: -ENOENT for a
 *         device that there is not; -ENOTCONN for one that no VMM has; -ENOMEM
 */
int vuc_control_detach_start(struct vuc_control *control, const char *name, vuc_done_fn done,
	void *arg, struct vuc_error *err);

/** vuc_control_detach_start(), and wait for its end. */
int vuc_control_detach(struct vuc_control *control, const char *name, struct vuc_error *err);

/** How a device is. */
enum vuc_control_state {
	VUC_CONTROL_AWAY,     /**< its server is not there, or broke the protocol; tried again */
	VUC_CONTROL_FREE,     /**< a VMM may attach */
	VUC_CONTROL_ATTACHED, /**< a VMM has it */
	VUC_CONTROL_CLEANING, /**< it is being made clean after its last VMM */
	/** Its server has stopped answering: requests time out, and nothing comes. */
	VUC_CONTROL_NOT_ANSWERING,
	/** Its server was connected to again, and its VMM has the connection before: it has to
	 * detach and to attach again. */
	VUC_CONTROL_STALE,
};

#define VUC_CONTROL_STATES (VUC_CONTROL_STALE + 1) /**< how many states there are */

#define VUC_CONTROL_NAME_SIZE 64 /**< of a name, with the NUL at its end */

/** What there is to say of a device. */
struct vuc_control_device {
	char name[VUC_CONTROL_NAME_SIZE]; /**< as it was added with */
	char socket[108];                 /**< of its server */
	char poller[16];                  /**< name of its poller */
	enum vuc_control_state state;     /**< what it is doing */
	uint64_t generation;              /**< how often it was connected to */
	uint64_t since_ms;          /**< how long it has been in this state, in milliseconds */
	char reason[VUC_ERROR_MAX]; /**< why it is away, not answering or stale; else "" */
	/* of the VMM that has it, if one has: */
	pid_t vmm_pid;                        /**< 0: none */
	uid_t vmm_uid;                        /**< its user */
	char vmm_name[VUC_CONTROL_NAME_SIZE]; /**< as it calls itself, made printable */
	unsigned int queues;                  /**< that it has open */
	unsigned int dma_maps;                /**< that it has */
	uint64_t attached_ms;                 /**< how long it has had the device */
	/* since the device was added: */
	uint64_t reads;    /**< reads */
	uint64_t writes;   /**< writes that were waited for */
	uint64_t posted;   /**< posted writes */
	uint64_t errors;   /**< accesses that failed */
	uint64_t timeouts; /**< of these, the ones that the server has not answered in time */
	uint64_t attaches; /**< VMMs that have had it */
};

/** Called for a device; the struct is valid during the call. */
typedef void (*vuc_control_device_fn)(void *arg, const struct vuc_control_device *device);

/** Look at all devices, in the order in which they were added. Does not wait for servers. */
void vuc_control_list(struct vuc_control *control, vuc_control_device_fn fn, void *arg);

/** Look at one device. @return 0; -ENOENT */
int vuc_control_look(
	struct vuc_control *control, const char *name, struct vuc_control_device *device);

/** Connections of VMMs that there are, attached or not. */
unsigned int vuc_control_connections(struct vuc_control *control);

#ifdef __cplusplus
}
#endif

#endif /* VUC_CONTROL_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_CONTROL_H
#define VUC_CONTROL_H

/**
 * @file
 * The control plane: offers devices of pollers to VMM processes through shared memory. vucd is
 * built on it; other programs with pollers can use it, too. It is part of libvuc-poller.
 *
 * VMMs are not trusted: a VMM that breaks the protocol loses only its own connection. The library
 * has one thread that accepts connections, and one thread for each of at most max_vmms connections.
 *
 * Unless noted otherwise, any thread except a poller's may call these functions, and they block
 * until pollers and servers have finished.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vuc/device.h>
#include <vuc/error.h>
#include <vuc/log.h>
#include <vuc/poller.h>
#include <vuc/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vuc_control;

/** How to create a control plane. Fill it with vuc_control_opts_init() first. */
struct vuc_control_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_control_opts_init(). */
	size_t size;
	/** Path of the socket for VMMs, at most 107 bytes. Must not exist, or be a socket that
	 * no process listens on, which is replaced. */
	const char *path;
	/** Mode of the socket; 0600 by default. */
	mode_t mode;
	/** VMMs cannot connect until vuc_control_listen(): add devices before, so that no VMM sees
	 * an incomplete list of devices. */
	bool deferred;
	/** Maximum number of connections. */
	unsigned int max_vmms;
	/** Maximum number of connections of one user, so that one user cannot use all of them. */
	unsigned int max_vmms_per_user;
	/** Maximum number of queues of one VMM; at most VUC_SHM_MAX_QUEUES. */
	unsigned int max_queues;
	/** Maximum bytes of memory of all queues of one VMM. */
	uint64_t max_queue_memory;
	/** Maximum number of DMA mappings of one VMM, if the limit of the device is not lower. */
	unsigned int max_dma_maps;
	/** Maximum bytes of memory that this process spends on DMA by message for one VMM: pages
	 * that are allocated by an access of its device, and page tables. A VMM whose device needs
	 * more is disconnected. */
	uint64_t max_dma_message;
	/** Milliseconds that a VMM has to attach to a device after it has connected. */
	uint32_t handshake_timeout_ms;
	/** Receives log lines, on any thread, one at a time; NULL discards them. Must not call
	 * functions of the control plane, and must not block: locks of it may be held. Lines caused
	 * by a connection or a user are rate-limited; suppressed lines are counted. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default; path to NULL. Size is sizeof(*opts), so that the
 * library supports callers whose struct has more or fewer fields. */
void vuc_control_opts_init(struct vuc_control_opts *opts, size_t size);

/**
 * Create a control plane, and listen for VMMs unless deferred is set.
 *
 * The first control plane in a process installs a permanent handler for SIGBUS: a VMM that
 * truncates memory that is mapped here is disconnected. All other faults are passed to the handler
 * that was installed before. A handler that is installed later replaces this one.
 *
 * @param opts     options; not used after the call
 * @param control  set to the new control plane on success, to NULL on failure
 * @param err      filled on failure; may be NULL
 * @return 0; -EINVAL for invalid options; -ENAMETOOLONG for the path of the socket; -EADDRINUSE
 * when a process listens on it; the errors of socket(2), bind(2) and similar calls; -ENOMEM
 */
int vuc_control_create(
	const struct vuc_control_opts *opts, struct vuc_control **control, struct vuc_error *err);

/** Listen for VMMs if deferred was set. @return 0; the errors of listen(2); -EAGAIN when no thread
 * can be created */
int vuc_control_listen(struct vuc_control *control, struct vuc_error *err);

/**
 * Notify all VMMs, detach their devices, close all devices, remove the socket and free the control
 * plane. Pending operations complete before this function returns. Devices are closed in parallel;
 * the log shows what the function waits for. NULL is ignored.
 */
void vuc_control_destroy(struct vuc_control *control);

/** How a device is reset for the next VMM. */
enum vuc_control_reset {
	/** Reconnect, and send DEVICE_RESET if the device supports it: for servers whose reset is
	 * incomplete. */
	VUC_CONTROL_RESET_ON,
	/** Send DEVICE_RESET on the same connection: for servers that are known to reset
	 * completely, and for servers that exit after their first client. */
	VUC_CONTROL_RESET_TRUST,
	/** Only reconnect: for servers that exit or hang on a reset. VMMs cannot reset the device
	 * either. */
	VUC_CONTROL_RESET_NEVER,
};

/** What becomes of a VMM's device when the connection to its server is lost. */
enum vuc_control_outage {
	/** Accesses fail. The VMM has to detach, and to attach again once the server is back. */
	VUC_CONTROL_OUTAGE_FAIL,
	/** The VMM keeps the device: it is restored when the server is back. */
	VUC_CONTROL_OUTAGE_HOLD,
};

/** What reads return while the server is away, once hold_ms are over. */
enum vuc_control_after_hold {
	/** LAST for config space, and for an NVMe controller that is to be recovered; ERROR for
	 * other regions */
	VUC_CONTROL_AFTER_AUTO,
	VUC_CONTROL_AFTER_HOLD,  /**< nothing: they wait until the server is back */
	VUC_CONTROL_AFTER_LAST,  /**< the value that was read there last */
	VUC_CONTROL_AFTER_ONES,  /**< all ones */
	VUC_CONTROL_AFTER_ERROR, /**< -ENOTCONN; writes fail as well */
};

/** What the guest's driver is shown after an outage, besides interrupts. */
enum vuc_control_recover {
	VUC_CONTROL_RECOVER_NONE, /**< nothing */
	/** For an NVMe controller (class 01.08.02), a failure, so that its driver resets it at
	 * once: an outstanding asynchronous event request is completed with "persistent internal
	 * error", and CSTS reads as "controller fatal status" until CC is written. For other
	 * devices, nothing. */
	VUC_CONTROL_RECOVER_NVME,
};

/** What VMMs get of regions that can be mapped. */
enum vuc_control_map {
	VUC_CONTROL_MAP_DIRECT, /**< descriptors of what the server offers for mapping */
	VUC_CONTROL_MAP_NONE,   /**< nothing: all accesses go through queues */
};

/** How to offer a device. Fill it with vuc_control_device_opts_init() first. */
struct vuc_control_device_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_control_device_opts_init(). */
	size_t size;
	/** Name of the device: 1 to 63 letters, digits and "._-". Copied. */
	const char *name;
	/** The poller that drives the device; must not be destroyed before the device is removed.
	 */
	struct vuc_poller *poller;
	/** How to open the device, by path or loopback: the library cannot reconnect with only a
	 * file descriptor. group, transport and max_msg_fds are not used. Copied, including path.
	 */
	const struct vuc_device_opts *device;
	/** Users who can attach. Root and the daemon's own user always can. Copied. */
	const uid_t *users;
	/** How many of them. */
	unsigned int nr_users;
	/** Groups whose members can attach: the primary and supplementary groups of a process when
	 * it connects count. Copied. */
	const gid_t *groups;
	/** How many of them. */
	unsigned int nr_groups;
	/** How the device is reset after connecting to it, and after a VMM has detached. */
	enum vuc_control_reset reset;
	/** First delay in milliseconds between attempts to reconnect to a server; it doubles with
	 * each attempt. After the server has closed three connections in a row on DEVICE_RESET, the
	 * delay is 12 * retry_max_ms. */
	uint32_t retry_min_ms;
	/** Maximum delay in milliseconds. */
	uint32_t retry_max_ms;
	/** What becomes of the device when the connection to its server is lost. */
	enum vuc_control_outage outage;
	/** Milliseconds from the loss of the connection in which reads wait for the server; at
	 * least 1. */
	uint32_t hold_ms;
	/** What reads return after that. */
	enum vuc_control_after_hold after_hold;
	/** Whether another server process gets the VMM's memory only after the one before has
	 * ended. */
	bool fence;
	/** Milliseconds that a VMM has to release its device before it is removed by force, or
	 * taken away; 0: it is not asked. */
	uint32_t release_ms;
	/** What VMMs get of regions that can be mapped. */
	enum vuc_control_map map;
	/** Keep the file of BAR0 across restarts of a server that creates it as "bar0" in the
	 * folder of its socket, as SPDK's target does: a link of that name is placed there, and
	 * removed with the device. One device per folder. */
	bool keep_bar0;
	/** What the guest's driver is shown after an outage. */
	enum vuc_control_recover recover;
	/** Path of a socket, at most 107 bytes, at which the device is a vfio-user server for VMMs
	 * such as QEMU and Cloud Hypervisor; as path of struct vuc_control_opts. NULL: none. It is
	 * removed with the device. */
	const char *export_path;
	/** Mode of that socket; 0600 by default. */
	mode_t export_mode;
	/** Group of that socket; (gid_t)-1: not changed. */
	gid_t export_group;
	/** Milliseconds within which each request of such a VMM is answered; at least 1. By
	 * default, QEMU gives up its device after 5000 ms without an answer. */
	uint32_t reply_ms;
};

/** Set every field of opts to its default; name, poller and device to NULL. Size is
 * sizeof(*opts), so that the library supports callers whose struct has more or fewer fields. */
void vuc_control_device_opts_init(struct vuc_control_device_opts *opts, size_t size);

/**
 * Add a device. Its server may be away: the control plane connects when the server is available,
 * and resets the device as opts->reset says, because servers keep the state of earlier clients.
 * VMMs can see the device when this function returns. A VMM that attaches before the connection is
 * made waits for it, for at most half of handshake_timeout_ms.
 *
 * @param control  the control plane
 * @param opts     options; not used after the call
 * @param done     called with 0 when the first attempt to connect is complete, successful or not,
 * or when the device is removed before
 * @param arg      first argument of done
 * @param err      filled on failure; may be NULL
 * @return 0, and done will be called; else done is not called: -EINVAL for invalid options; -EEXIST
 *         when a device of that name exists; -ESHUTDOWN while the control plane is being destroyed;
 *         -ENOMEM
 */
int vuc_control_add_device_start(struct vuc_control *control,
	const struct vuc_control_device_opts *opts, vuc_done_fn done, void *arg,
	struct vuc_error *err);

/** Synchronous variant of vuc_control_add_device_start(). */
int vuc_control_add_device(struct vuc_control *control, const struct vuc_control_device_opts *opts,
	struct vuc_error *err);

/**
 * Remove a device and close it. VMMs no longer see the device when this function returns, or, if an
 * attached VMM is asked first (release_ms), when it has detached or the time is over; the name can
 * be reused when done is called.
 *
 * @param control  the control plane
 * @param name     the device's
 * @param force    detach the VMM first, and notify it
 * @param done     called with 0 when the device is closed
 * @param arg      first argument of done
 * @param err      filled on failure; may be NULL
 * @return 0, and done will be called; else done is not called: -ENOENT; -EBUSY when a VMM is
 * attached and force is false; -ENOMEM
 */
int vuc_control_remove_device_start(struct vuc_control *control, const char *name, bool force,
	vuc_done_fn done, void *arg, struct vuc_error *err);

/** Synchronous variant of vuc_control_remove_device_start(). */
int vuc_control_remove_device(
	struct vuc_control *control, const char *name, bool force, struct vuc_error *err);

/**
 * Detach the VMM from a device, so that another VMM can attach. It is asked first, if release_ms is
 * not 0. If the server does not reply within a second, the connection to it is closed.
 *
 * @return 0, and done will be called with 0 when the VMM is detached; else done is not called:
 *         -ENOENT when the device does not exist; -ENOTCONN when no VMM is attached; -ENOMEM
 */
int vuc_control_detach_start(struct vuc_control *control, const char *name, vuc_done_fn done,
	void *arg, struct vuc_error *err);

/** Synchronous variant of vuc_control_detach_start(). */
int vuc_control_detach(struct vuc_control *control, const char *name, struct vuc_error *err);

/** A capture of a device's messages. */
struct vuc_control_capture;

/**
 * Capture the messages between a device and its server, over all connections, into memory that
 * another process reads: vucctl of the same version of vuc, which knows its layout. A poller never
 * waits for that process: messages for which there is no room are dropped and counted. The capture
 * goes on until it is stopped; when the device is removed, the reader is notified.
 *
 * @param control  the control plane
 * @param name     the device's
 * @param snaplen  bytes of each message to capture, 16 to 262132
 * @param who      whose capture it is, one line, for errors of others
 * @param capture  set to the capture on success
 * @param fd       set to a descriptor of the memory, which stays the capture's
 * @param err      filled on failure; may be NULL
 * @return 0; -ENOENT when the device does not exist; -EBUSY when it is being captured already;
 * -EINVAL for snaplen; -ENOMEM and other errors of memfd_create(2)
 */
int vuc_control_capture_start(struct vuc_control *control, const char *name, uint32_t snaplen,
	const char *who, struct vuc_control_capture **capture, int *fd, struct vuc_error *err);

/** Stop and free a capture. To be called before the control plane is destroyed. NULL is ignored. */
void vuc_control_capture_stop(struct vuc_control_capture *capture);

/** State of a device. */
enum vuc_control_state {
	VUC_CONTROL_AWAY, /**< not connected: the server is away or broke the protocol; retried */
	VUC_CONTROL_FREE, /**< a VMM may attach */
	VUC_CONTROL_ATTACHED, /**< a VMM is attached */
	VUC_CONTROL_CLEANING, /**< being reset after its last VMM */
	/** The server has stopped replying: requests time out, and it sends nothing. */
	VUC_CONTROL_NOT_ANSWERING,
	/** Reconnected, but the VMM still uses the previous connection: it must detach, and attach
	 * again. */
	VUC_CONTROL_STALE,
	/** The server is back, but the process of the previous one has not ended yet. */
	VUC_CONTROL_FENCED,
	VUC_CONTROL_RESTORING, /**< what its VMM has set is replayed to the server */
};

#define VUC_CONTROL_STATES (VUC_CONTROL_RESTORING + 1) /**< number of states */

#define VUC_CONTROL_NAME_SIZE 64 /**< of a name, including the NUL */

/** Information about a device. */
struct vuc_control_device {
	char name[VUC_CONTROL_NAME_SIZE]; /**< name of the device */
	char socket[108];                 /**< socket of its server */
	char poller[16];                  /**< name of its poller */
	enum vuc_control_state state;     /**< state */
	uint64_t generation;              /**< number of connections to the server so far */
	uint64_t since_ms;                /**< time in this state, in milliseconds */
	char reason[VUC_ERROR_MAX]; /**< why it is away, not answering or stale, or what it waits
				       for; that its VMM has been asked for it; else "" */
	/* of the attached VMM, if any: */
	pid_t vmm_pid;                        /**< 0: none */
	uid_t vmm_uid;                        /**< its user */
	char vmm_name[VUC_CONTROL_NAME_SIZE]; /**< the VMM's own name, made printable; of its
						 program, if it has connected to export_path */
	unsigned int queues;                  /**< number of open queues */
	unsigned int dma_maps;                /**< number of DMA mappings */
	uint64_t attached_ms;                 /**< time since it attached, in milliseconds */
	/* since the device was added: */
	uint64_t reads;     /**< reads */
	uint64_t writes;    /**< writes with a reply */
	uint64_t posted;    /**< posted writes */
	uint64_t errors;    /**< accesses that failed */
	uint64_t timeouts;  /**< of these, accesses that timed out */
	uint64_t attaches;  /**< number of attaches so far */
	uint64_t outages;   /**< times that the connection was lost */
	uint64_t outage_ms; /**< milliseconds of all outages, including one that has not ended */
	uint64_t outage_last_ms; /**< milliseconds of the last one that has ended */
	uint64_t held_reads;     /**< times that a read was kept until the server is back */
	uint64_t dropped_writes; /**< writes that were dropped because the server was away */
	char export_path[108];   /**< socket for VMMs that are vfio-user clients; "": none */
	bool vmm_exported;       /**< the attached VMM has connected to it */
	uint64_t read_bytes;     /**< bytes read */
	uint64_t written_bytes;  /**< bytes sent to the server by both kinds of writes */
	struct vuc_latency_histogram latency; /**< see vuc_poller_set_latency() */
};

/** Called for a device; the struct is valid during the call. */
typedef void (*vuc_control_device_fn)(void *arg, const struct vuc_control_device *device);

/** Call fn for each device, in the order in which they were added. Does not wait for servers. */
void vuc_control_list(struct vuc_control *control, vuc_control_device_fn fn, void *arg);

/** Get information about one device. @return 0; -ENOENT */
int vuc_control_look(
	struct vuc_control *control, const char *name, struct vuc_control_device *device);

/** Number of connected VMMs, attached or not. */
unsigned int vuc_control_connections(struct vuc_control *control);

#ifdef __cplusplus
}
#endif

#endif /* VUC_CONTROL_H */

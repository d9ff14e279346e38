/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_MIGRATION_H
#define VUC_MIGRATION_H

/**
 * @file
 * Migration (version 2 of VFIO's protocol): moves the internal state of a device to another server.
 *
 * vuc_migration_save() and vuc_migration_load() do the whole migration, to and from a file
 * descriptor. The other functions are its steps, for callers that need more control.
 *
 * Call these functions on the thread that owns the device's poll group. They poll the group until
 * the device replies, so callbacks of other devices in it may run. Functions whose names end in
 * _start do not wait, see vuc_done_fn. Besides the errors that they name, all of them return an
 * error reply of the server; -EPROTO for a reply that breaks the protocol; -ETIMEDOUT; the error of
 * the connection; -ENOMEM; -EDEADLK from a completion callback. After a failure,
 * vuc_device_reason() returns the error text.
 *
 * Specification: VFIO_DEVICE_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
 * VFIO_USER_MIG_DATA_READ, VFIO_USER_MIG_DATA_WRITE.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_MIGRATION_CAN_STOP_COPY (1u << 0) /**< VFIO_MIGRATION_STOP_COPY */
#define VUC_MIGRATION_CAN_P2P       (1u << 1) /**< VFIO_MIGRATION_P2P; not used in vfio-user */
#define VUC_MIGRATION_CAN_PRE_COPY  (1u << 2) /**< VFIO_MIGRATION_PRE_COPY */

/** States of a device. Specification: the table of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE. */
enum vuc_migration_state {
	VUC_MIGRATION_ERROR = 0,        /**< failed; vuc_device_reset() returns to RUNNING */
	VUC_MIGRATION_STOP = 1,         /**< stopped; neither its state nor memory changes */
	VUC_MIGRATION_RUNNING = 2,      /**< runs normally */
	VUC_MIGRATION_STOP_COPY = 3,    /**< is stopped, its state can be read */
	VUC_MIGRATION_RESUMING = 4,     /**< is stopped, a new state can be written */
	VUC_MIGRATION_RUNNING_P2P = 5,  /**< not used in vfio-user */
	VUC_MIGRATION_PRE_COPY = 6,     /**< runs, its state can be read */
	VUC_MIGRATION_PRE_COPY_P2P = 7, /**< not used in vfio-user */
};

/** A state's name as in the specification, "STOP_COPY"; "(unknown)" for other numbers. */
const char *vuc_migration_state_name(enum vuc_migration_state state);

/**
 * Query which parts of migration the device supports.
 *
 * @param dev    the device
 * @param flags  set to VUC_MIGRATION_CAN_*: 0 when it cannot be migrated, otherwise at least
 *               VUC_MIGRATION_CAN_STOP_COPY
 * @return 0, also when it cannot be migrated
 */
int vuc_migration_supported(struct vuc_device *dev, uint64_t *flags);

/** Asynchronous variant: flags must stay valid until done is called. @return 0; -ENOMEM; the error
 * of the connection */
int vuc_migration_supported_start(
	struct vuc_device *dev, uint64_t *flags, vuc_done_fn done, void *arg);

/** Query the migration state of the device. @return 0; -EPROTO for an unknown state */
int vuc_migration_get_state(struct vuc_device *dev, enum vuc_migration_state *state);

/** Asynchronous variant: state must stay valid until done is called. @return as
 * vuc_migration_supported_start() */
int vuc_migration_get_state_start(
	struct vuc_device *dev, enum vuc_migration_state *state, vuc_done_fn done, void *arg);

/**
 * Set the migration state of the device. If this takes several transitions, the server executes
 * them one after another. Does nothing if the device is in this state already. long_timeout_ms
 * applies to the whole call.
 *
 * The call first queries the state, and refuses changes that the specification does not allow, with
 * both states in the error text: to ERROR, from ERROR, from STOP_COPY to PRE_COPY, from or to the
 * P2P states.
 *
 * @return 0; -EINVAL for such a change; -EOPNOTSUPP for PRE_COPY when the device does not support
 *         it. After an error of the server, the state is unknown: call
 *         vuc_migration_get_state(). The error text says so if it is ERROR
 */
int vuc_migration_set_state(struct vuc_device *dev, enum vuc_migration_state state);

/** Asynchronous variant; done also reports changes that are not allowed. @return as
 * vuc_migration_supported_start() */
int vuc_migration_set_state_start(
	struct vuc_device *dev, enum vuc_migration_state state, vuc_done_fn done, void *arg);

/**
 * Read migration data, in PRE_COPY or STOP_COPY. Sends several messages if max_data_xfer_size
 * requires it.
 *
 * @param dev    the device
 * @param data   destination
 * @param size   maximum bytes to read
 * @param count  set to the number of bytes read, also on failure. If less than size, there is no
 * more data (in PRE_COPY, at present)
 * @return 0
 */
int vuc_migration_read(struct vuc_device *dev, void *data, size_t size, size_t *count);

/** Asynchronous variant: data and count must stay valid until done is called.
 * @return 0; -ENOMEM; the error of the connection */
int vuc_migration_read_start(struct vuc_device *dev, void *data, size_t size, size_t *count,
	vuc_done_fn done, void *arg);

/** Write size bytes of migration data, in RESUMING, with several messages if necessary. As for a
 * read, timeout_ms applies to all of them together. @return 0 */
int vuc_migration_write(struct vuc_device *dev, const void *data, size_t size);

/** Asynchronous variant, see vuc_done_fn. @return as vuc_migration_read_start() */
int vuc_migration_write_start(
	struct vuc_device *dev, const void *data, size_t size, vuc_done_fn done, void *arg);

/*
 * vuc_migration_save() and vuc_migration_load() have no asynchronous variants: they call the
 * functions above in a loop, and also wait for the caller's file descriptor. Callers that must not
 * wait can implement the loop themselves:
 *
 *	save: vuc_migration_supported_start(), vuc_migration_get_state_start(),
 *	      vuc_migration_set_state_start(STOP_COPY); then, again and again,
 *	      vuc_migration_read_start() of as many bytes as one message carries, until it has read
 *	      fewer, each time the descriptor has taken what was read before; then
 *	      vuc_migration_set_state_start(STOP)
 *	load: vuc_migration_supported_start(), vuc_migration_set_state_start(STOP), then RESUMING;
 *	      vuc_migration_write_start() of each part of the stream that was read;
 *	      vuc_migration_set_state_start(STOP); then RUNNING, if the device is to run
 *
 * The state is set back by the caller when one of them fails, as vuc_migration_save() says.
 */

/** Progress of a save or load. */
struct vuc_migration_progress {
	enum vuc_migration_state state; /**< PRE_COPY, STOP_COPY or RESUMING */
	uint32_t round;                 /**< of pre-copy, from 1 on; else 0 */
	uint64_t bytes;                 /**< total bytes transferred, in all states */
};

/** Return value of a progress callback that ends pre-copy. Elsewhere the same as 0. */
#define VUC_MIGRATION_END_PRE_COPY 1

/**
 * Called after each message of migration data. May use the device, but must not close it or change
 * its migration state.
 *
 * @return 0 to continue; VUC_MIGRATION_END_PRE_COPY; a negative errno to abort the save or load,
 * which returns it
 */
typedef int (*vuc_migration_progress_fn)(void *arg, const struct vuc_migration_progress *progress);

/** How to save. Fill it with vuc_migration_save_opts_init() first. */
struct vuc_migration_save_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_migration_save_opts_init(). */
	size_t size;
	/** Maximum rounds of pre-copy, 0 for none. A round ends when the server has no more data
	 * for now; a round without any data is the last. Not used when the device does not support
	 * pre-copy or does not run. */
	uint32_t pre_copy_rounds;
	/** Maximum bytes of data in one message; 0: the negotiated limit. */
	uint32_t chunk_size;
	/** Maximum bytes of data: the save fails if the server sends more. UINT64_MAX: no
	 * limit. */
	uint64_t max_bytes;
	/** Called with the progress; may be NULL. */
	vuc_migration_progress_fn progress;
	/** First argument of progress. */
	void *arg;
};

/** Set every field of opts to its default: no pre-copy, and no limits. Size is
 * sizeof(*opts), so that the library supports callers whose struct has more or fewer fields. */
void vuc_migration_save_opts_init(struct vuc_migration_save_opts *opts, size_t size);

/** Result of a save. */
struct vuc_migration_saved {
	uint32_t pre_copy_rounds; /**< rounds of pre-copy */
	uint64_t pre_copy_bytes;  /**< data read in PRE_COPY, at the start of the stream */
	uint64_t stop_copy_bytes; /**< data read in STOP_COPY, after it */
};

/**
 * Save the state of a device that is in RUNNING, PRE_COPY or STOP. When 0 is returned the device
 * is in STOP.
 *
 * The stream contains only the server's unmodified data. A server of the same kind can load it.
 *
 * On failure, also of a progress callback, the data in fd is unusable, and the device returns to
 * STOP if it was in this state, otherwise to RUNNING. If that also fails, because the device is in
 * ERROR or the connection is closed, the error text says so.
 *
 * @param dev    the device
 * @param fd     destination of the stream. The call blocks where write(2) does, also with
 * O_NONBLOCK; a pipe without a reader raises SIGPIPE unless it is ignored
 * @param opts   options; NULL takes the defaults
 * @param saved  set to what was done, also on failure; may be NULL
 * @return 0; -EOPNOTSUPP for a device that cannot be migrated; -EINVAL for one in another state;
 *         -EFBIG for more than max_bytes; the errors of write(2); the return value of progress
 */
int vuc_migration_save(struct vuc_device *dev, int fd, const struct vuc_migration_save_opts *opts,
	struct vuc_migration_saved *saved);

/** How to load. Fill it with vuc_migration_load_opts_init() first. */
struct vuc_migration_load_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_migration_load_opts_init(). */
	size_t size;
	/** Whether the device runs afterwards; else it is in STOP. */
	bool run;
	/** Maximum bytes of data in one message; 0: the negotiated limit. All messages but the last
	 * have exactly as many. */
	uint32_t chunk_size;
	/** Bytes of the stream; UINT64_MAX: all up to the end of the file. */
	uint64_t bytes;
	/** Called with the progress; may be NULL. */
	vuc_migration_progress_fn progress;
	/** First argument of progress. */
	void *arg;
};

/** Set every field of opts to its default: up to the end of the file, the device stays in STOP.
 * Size is sizeof(*opts), so that the library supports callers whose struct has more or fewer
 * fields. */
void vuc_migration_load_opts_init(struct vuc_migration_load_opts *opts, size_t size);

/**
 * Load a saved state into a device. Whatever it did before, it is stopped and gets the new state.
 *
 * On failure, the device's internal state is unknown, so the device is set to STOP and not started:
 * vuc_device_reset() makes it usable again. If that also fails, because the device is in ERROR or
 * the connection is closed, the error text says so.
 *
 * @param dev    the device
 * @param fd     source of the stream. The call blocks where read(2) does, also with O_NONBLOCK
 * @param opts   options; NULL takes the defaults
 * @param bytes  set to the number of bytes that the device has accepted, also on failure; may be
 * NULL
 * @return 0; -EOPNOTSUPP for a device that cannot be migrated; -EINVAL for one in ERROR; -ENODATA
 *         when the file ends before opts->bytes; the errors of read(2); the return value
 *         of progress; an error reply of the server, which may refuse the data only when the
 *         device is set to STOP
 */
int vuc_migration_load(struct vuc_device *dev, int fd, const struct vuc_migration_load_opts *opts,
	uint64_t *bytes);

#ifdef __cplusplus
}
#endif

#endif /* VUC_MIGRATION_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_EAL_H
#define VUC_EAL_H

/**
 * @file
 * DPDK's environment (EAL), which pollers need. Part of libvuc-poller.
 *
 * EAL can be initialised only once in a process. Either vuc_eal_init() does it, or the application
 * has called rte_eal_init() before; then vuc_eal_init() uses the existing EAL. In both cases, call
 * vuc_eal_init() before creating the first poller.
 *
 * When vuc_eal_init() initialises EAL, it has one lcore, the calling thread, which keeps its CPU
 * affinity, and no worker threads. Pollers are additional threads that are registered with EAL: up
 * to RTE_MAX_LCORE - 1 of them, on any CPUs.
 *
 * EAL needs no privileges, hugepages or devices. It creates the directory DIR/dpdk, which all DPDK
 * processes of the user share and which remains; DIR is RUNTIME_DIRECTORY if it is set, else
 * /var/run for root and XDG_RUNTIME_DIR or /tmp for others. vuc_eal_fini() removes the process's
 * own directory in it, with the telemetry socket.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>
#include <vuc/log.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VUC_DEFAULT_EAL_MEMORY_MB 64 /**< default of memory_mb without hugepages */

/** How to initialise EAL. Fill it with vuc_eal_opts_init() first. */
struct vuc_eal_opts {
	/** Bytes of this struct, as the caller knows it; set by vuc_eal_opts_init(). */
	size_t size;
	/** Allocate memory from hugepages instead of normal pages. */
	bool hugepages;
	/** Memory in MiB: the maximum without hugepages, the amount to allocate at start with them.
	 * 0, the default: VUC_DEFAULT_EAL_MEMORY_MB without, allocation on demand with hugepages.
	 */
	uint32_t memory_mb;
	/**
	 * CPUs as in EAL's -l, "0,2-3": each becomes an lcore with that number, and all but the
	 * first get a worker thread. NULL, the default: no worker threads. Pollers need none; this
	 * is for an application that calls rte_eal_remote_launch() itself.
	 */
	const char *lcores;
	/** Name of EAL's runtime directory, and so of the telemetry socket for dpdk-telemetry.py
	 * -f; at most 47 bytes. With telemetry, a name that another process uses is refused; the
	 * directory of a killed process is reused. NULL, the default: a new name that begins with
	 * "vuc-" and the process ID. */
	const char *file_prefix;
	/** Serve rte_telemetry on a socket; on by default. If the socket cannot be created, a
	 * warning is logged, and EAL runs without it. */
	bool telemetry;
	/** At most 128 more arguments of EAL, after those that vuc makes; not checked. EAL exits on
	 * --help, and prints its usage when it refuses one. */
	const char *const *args;
	/** Number of args. */
	unsigned int nr_args;
	/** Receives the log lines of EAL and of all other users of rte_log, on any thread, one at a
	 * time; of DPDK's libraries, only warnings and errors. Must not call functions of this
	 * file. NULL discards the lines. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default. Size is sizeof(*opts), so that the
 * library supports callers whose struct has more or fewer fields. */
void vuc_eal_opts_init(struct vuc_eal_opts *opts, size_t size);

/**
 * Initialise EAL, or use the existing one. Any thread.
 *
 * The calling thread becomes EAL's main lcore. It keeps its signal mask and its CPU affinity, even
 * if EAL pins it to a CPU temporarily (opts->lcores). Threads that EAL starts block all signals
 * except those of faults.
 *
 * If EAL is initialised already, by vuc_eal_init() or by the application, the call only counts one
 * more user, and logs a line to opts->log; the other options are ignored. An EAL of the application
 * must be fully initialised and have no secondary processes, because pollers are registered with
 * it.
 *
 * @param opts  options; NULL: defaults; not used after the call, except for log and log_arg, which
 * are used until vuc_eal_fini()
 * @param err   filled on failure; may be NULL
 * @return 0; -EINVAL for options out of range; -ENODEV when sysfs, which EAL needs to find CPUs, is
 * not mounted at /sys; -ENOMEM, also without the requested memory or hugepages; -EALREADY when EAL
 * cannot be initialised a second time, after vuc_eal_fini() or a failure of EAL; -ENOTSUP for an
 * EAL of the application that cannot be used; otherwise the error of EAL
 */
int vuc_eal_init(const struct vuc_eal_opts *opts, struct vuc_error *err);

/**
 * Release EAL; call it once for each vuc_eal_init(). The last call cleans up an EAL that
 * vuc_eal_init() has initialised, and removes its files; all pollers must have been destroyed, and
 * DPDK cannot be used in this process afterwards. An EAL of the application stays unchanged. Does
 * nothing without a preceding vuc_eal_init().
 */
void vuc_eal_fini(void);

#ifdef __cplusplus
}
#endif

#endif /* VUC_EAL_H */

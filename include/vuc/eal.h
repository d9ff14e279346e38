/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_EAL_H
#define VUC_EAL_H

/**
 * @file
 * DPDK's environment (EAL), which pollers need: libvuc-poller.
 *
 * EAL can be initialised once in the life of a process. Either vuc does it, in vuc_eal_init(), or
 * the application has done it by rte_eal_init() before; vuc_eal_init() then recognises that and
 * uses it as it is. In both cases vuc_eal_init() comes before the first poller.
 *
 * As vuc initialises it, EAL has one lcore, the calling thread, which may run on all CPUs that it
 * could run on before, and starts no worker threads. Pollers are threads of their own, which are
 * registered with EAL: any number of them on any CPU, up to RTE_MAX_LCORE - 1 together.
 *
 * EAL needs no privileges, no hugepages and no devices. It leaves a folder DIR/dpdk behind, which
 * belongs to all DPDK processes of the user; DIR is RUNTIME_DIRECTORY if that is set, else /var/run
 * for root and XDG_RUNTIME_DIR or /tmp for others. Its own folder in there, with the telemetry
 * socket, goes with vuc_eal_fini().
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
	/** Take memory from hugepages instead of pages of the usual size. */
	bool hugepages;
	/** Most memory without hugepages, or memory to take at once with them, in MiB. 0 is the
	 * default: VUC_DEFAULT_EAL_MEMORY_MB without, what is needed as it is needed with them. */
	uint32_t memory_mb;
	/**
	 * CPUs as in EAL's -l, "0,2-3": each becomes an lcore with that number, and all but the
	 * first get a worker thread. NULL, the default: no worker threads. Pollers need none; this
	 * is for an application that calls rte_eal_remote_launch() itself.
	 */
	const char *lcores;
	/** At most 47 bytes. Names EAL's runtime folder, and with it the telemetry socket, so that
	 * dpdk-telemetry.py -f finds it. One that another process has is refused while telemetry is
	 * on; what a killed one has left is taken over. NULL, the default: a new name that begins
	 * with "vuc-" and the process's id. */
	const char *file_prefix;
	/** Serve rte_telemetry on a socket; on by default. Where there can be no such socket, a
	 * warning says why and EAL does without. */
	bool telemetry;
	/** At most 128 more arguments of EAL, after those that vuc makes; not checked. EAL exits on
	 * --help, and prints its usage when it refuses one. */
	const char *const *args;
	/** Number of args. */
	unsigned int nr_args;
	/** Takes the log lines of EAL and of everything else that uses rte_log, of any thread, but
	 * one at a time; from the libraries of DPDK, warnings and worse. It must not call functions
	 * of this file. NULL drops the lines. */
	vuc_log_fn log;
	/** First argument of log. */
	void *log_arg;
};

/** Set every field of opts to its default. Size is sizeof(*opts): a library that
 * knows more fields, or fewer, heeds it. */
void vuc_eal_opts_init(struct vuc_eal_opts *opts, size_t size);

/**
 * Initialise EAL, or use what there is of it. May be called by any thread.
 *
 * The calling thread becomes EAL's main lcore. It keeps its CPU affinity, also where EAL binds it
 * to a CPU meanwhile (opts->lcores), and its signal mask; threads that EAL starts take no signals
 * but those of faults.
 *
 * When EAL is there already, be it by vuc or by the application, the call counts one more user,
 * opts are not used but for a line to opts->log that says so, and no thread changes. An EAL of the
 * application must be fully initialised, and without secondary processes, as pollers are
 * registered with it.
 *
 * @param opts  options; NULL takes the defaults; not used after the call but for log and log_arg,
 *              which are until vuc_eal_fini()
 * @param err   filled on failure; may be NULL
 * @return 0; -EINVAL for options out of bounds; -ENODEV where sysfs, by which EAL finds CPUs, is
 * not mounted at /sys; -ENOMEM without the memory or hugepages that are asked for; -EALREADY when
 * EAL cannot be initialised a second time, after vuc_eal_fini() or a failure of EAL; -ENOTSUP for
 * an EAL of the application that cannot be used; -ENOMEM; else what EAL says
 */
int vuc_eal_init(const struct vuc_eal_opts *opts, struct vuc_error *err);

/**
 * One vuc_eal_init() less. The last one cleans EAL up if vuc has initialised it, and removes its
 * files; there must be no poller then, and no other use of DPDK later in this process. An EAL of
 * the application stays as it is. Without a vuc_eal_init() before, it does nothing.
 */
void vuc_eal_fini(void);

#ifdef __cplusplus
}
#endif

#endif /* VUC_EAL_H */

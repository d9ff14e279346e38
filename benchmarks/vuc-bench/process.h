/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

/* Programs that are started for a run. */

#include <stddef.h>
#include <sys/types.h>

#include <vuc/error.h>

/*
 * Make a private folder in $TMPDIR, or /tmp.
 *
 * @param dir   set to its path, or to "" on failure
 * @param size  of dir
 * @param room  bytes of what comes behind it in the path of a socket
 * @return 0 or a negative errno
 */
int bench_folder_make(char *dir, size_t size, size_t room, struct vuc_error *err);

/*
 * Start a program, which gets SIGTERM when this process dies. It inherits one descriptor beside the
 * standard ones.
 *
 * @return its pid or a negative errno
 */
pid_t bench_process_start(const char *program, char *const args[], int fd);

/* Wait until fd, which the program has the other end of, can be read. Returns 0; -ETIMEDOUT; what
 * poll(2) says. */
int bench_process_wait_ready(const char *program, int fd, struct vuc_error *err);

/* The program has hung up: take its exit, and tell of it. Returns -ECHILD. */
int bench_process_ended_early(pid_t pid, const char *program, struct vuc_error *err);

/* Wait for its end, by SIGKILL after some seconds. */
void bench_process_wait(pid_t pid);

#endif /* BENCH_PROCESS_H */

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_MIG_STREAM_H
#define VUC_TESTS_MIG_STREAM_H

/* What tests of saving and loading have in common: files with the data of struct mig_server, pipes,
 * and a progress callback. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <vuc/migration.h>

/* An empty file in memory. */
int mig_memory_file(void);

/* A file with the first size bytes of what the server sends, to be read from its beginning. */
int mig_data_file(size_t size);

/* Whether a file has the first size bytes of what the server sends, and no more. */
bool mig_file_has_data(int fd, size_t size);

/* Copy until the end of the file, in another process and in pieces of all sizes. not_its_own is the
 * other end of the pipe, which must not stay open there. */
pid_t mig_start_mover(int from, int to, int not_its_own);
bool mig_has_ended_well(pid_t pid);

struct mig_record {
	unsigned int calls;
	unsigned int answer_at; /* the call that is not answered by 0 */
	int answer;
	struct vuc_migration_progress last;
};

/* A progress callback, with a struct mig_record for its argument. */
int mig_record_progress(void *arg, const struct vuc_migration_progress *progress);

#endif /* VUC_TESTS_MIG_STREAM_H */

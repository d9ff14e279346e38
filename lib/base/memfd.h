/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_MEMFD_H
#define VUC_BASE_MEMFD_H

#include <fcntl.h> /* F_SEAL_... */
#include <stdint.h>

/*
 * Memory with a descriptor, of size bytes that read 0, with seals (F_SEAL_... of fcntl(2)) and,
 * where the kernel knows that, never executed. More seals can follow unless F_SEAL_SEAL is among
 * them. Returns the descriptor, closed on exec, or a negative errno.
 */
int vuc_memfd_create(const char *name, uint64_t size, int seals);

/* Add seals. Returns 0 or a negative errno. */
int vuc_memfd_seal(int fd, int seals);

/*
 * The unit in which a file can be mapped: huge pages of a memfd or hugetlbfs, else the page size.
 * Only memory, which knows seals, is asked: the file system of any other file may be a process of
 * somebody else (FUSE), and would be waited for.
 */
uint64_t vuc_memfd_page_size(int fd);

#endif /* VUC_BASE_MEMFD_H */

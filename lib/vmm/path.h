/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_PATH_H
#define VUC_VMM_PATH_H

#include <stddef.h>

#define VMM_PATH_SIZE 256

/* Where vucd's socket for VMMs is when nobody says so; too long a path is cut, and refused later.
 */
void vmm_path_default(char path[VMM_PATH_SIZE]);

#endif /* VUC_VMM_PATH_H */

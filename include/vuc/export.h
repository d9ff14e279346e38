/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_EXPORT_H
#define VUC_EXPORT_H

/**
 * Stands beside the definition of each function that libvuc exports. Everything else is hidden;
 * buildtools/symbol-map.py reads the markers and writes the linker's version script from them.
 */
#define VUC_EXPORT __attribute__((visibility("default")))

#endif /* VUC_EXPORT_H */

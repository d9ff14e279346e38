/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_EXPORT_H
#define VUC_EXPORT_H

/**
 * Stands beside the definition of each function that a library exports. Everything else is hidden;
 * buildtools/symbol-map.py reads the markers and writes the linker's version script from them.
 */
#define VUC_EXPORT __attribute__((visibility("default")))

/**
 * The same for a function that is exported for libvuc-poller only. Its symbol's version names the
 * version of vuc, so that libraries of different ones are not mixed.
 */
#define VUC_PRIVATE __attribute__((visibility("default")))

#endif /* VUC_EXPORT_H */

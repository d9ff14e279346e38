/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_TRACE_TAIL_H
#define VUCCTL_TRACE_TAIL_H

/* What follows the fixed fields of a body: text, data, arrays, the data of a feature. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Each prints len bytes, 0 included, and takes the fixed fields before them, which are all there.
 */
void vucctl_trace_version_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);
void vucctl_trace_data_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);
void vucctl_trace_bitmap_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);
void vucctl_trace_irq_set_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);
void vucctl_trace_multi_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);
void vucctl_trace_feature_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);

/* What has no fields that are known. */
void vucctl_trace_bytes_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);

#endif /* VUCCTL_TRACE_TAIL_H */

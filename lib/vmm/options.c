/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <string.h>

#include <vuc/export.h>
#include <vuc/shm.h>

#include "error.h"

/* Of the first version of the header. */
#define LEAST_SIZE (offsetof(struct vuc_vmm_attach_opts, timeout_ms) + sizeof(uint32_t))

/* No program has options of that size: the field was not set. */
#define MOST_SIZE 4096u

VUC_EXPORT void
vuc_vmm_attach_opts_init(struct vuc_vmm_attach_opts *opts, size_t size)
{
	const struct vuc_vmm_attach_opts defaults = {
		.size = size,
		.timeout_ms = VUC_VMM_DEFAULT_TIMEOUT_MS,
	};

	memset(opts, 0, size);
	memcpy(opts, &defaults, size < sizeof(defaults) ? size : sizeof(defaults));
}

static int
copy(struct vuc_vmm_attach_opts *known, const struct vuc_vmm_attach_opts *opts,
	struct vuc_error *err)
{
	const unsigned char *bytes = (const unsigned char *)opts;

	if (opts->size < LEAST_SIZE || opts->size > MOST_SIZE)
		return vuc_error_set(err, -EINVAL,
			"the size of options to attach is %zu: vuc_vmm_attach_opts_init() sets it",
			opts->size);
	for (size_t i = sizeof(*known); i < opts->size; i++) {
		if (bytes[i] != 0)
			return vuc_error_set(err, -EINVAL,
				"options to attach: byte %zu is set, this library knows %zu", i,
				sizeof(*known));
	}
	vuc_vmm_attach_opts_init(known, sizeof(*known));
	memcpy(known, opts, opts->size < sizeof(*known) ? opts->size : sizeof(*known));
	return 0;
}

int
vmm_options_read(struct vuc_vmm_attach_opts *known, const struct vuc_vmm_attach_opts *opts,
	struct vuc_error *err)
{
	int rc = copy(known, opts, err);

	if (rc != 0)
		return rc;
	if (known->device == NULL || known->device[0] == '\0')
		return vuc_error_set(err, -EINVAL, "no name of a device to attach to");
	if (strlen(known->device) >= VUC_SHM_NAME_SIZE)
		return vuc_error_set(err, -EINVAL,
			"the name of the device has %zu bytes, %d are the most: %s",
			strlen(known->device), VUC_SHM_NAME_SIZE - 1, known->device);
	if (known->timeout_ms == 0)
		return vuc_error_set(err, -EINVAL, "a timeout of 0 ms");
	if (known->name == NULL)
		known->name = program_invocation_short_name;
	return 0;
}

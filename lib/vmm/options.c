/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <string.h>

#include <vuc/export.h>
#include <vuc/shm.h>

#include "error.h"
#include "opts.h"

VUC_EXPORT void
vuc_vmm_attach_opts_init(struct vuc_vmm_attach_opts *opts, size_t size)
{
	const struct vuc_vmm_attach_opts defaults = {.timeout_ms = VUC_VMM_DEFAULT_TIMEOUT_MS};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

int
vmm_options_read(struct vuc_vmm_attach_opts *known, const struct vuc_vmm_attach_opts *opts,
	struct vuc_error *err)
{
	int rc;

	vuc_vmm_attach_opts_init(known, sizeof(*known));
	rc = vuc_opts_read(known, sizeof(*known), opts,
		VUC_OPTS_LEAST(struct vuc_vmm_attach_opts, timeout_ms), "vuc_vmm_attach_opts", err);
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

/* SPDX-License-Identifier: BSD-3-Clause */

/* VFIO_USER_DEVICE_FEATURE: which features there are, and who answers for them. */

#include <errno.h>

#include "device.h"

#define GET     ((uint32_t)VFIO_DEVICE_FEATURE_GET)
#define SET     ((uint32_t)VFIO_DEVICE_FEATURE_SET)
#define PROBE   ((uint32_t)VFIO_DEVICE_FEATURE_PROBE)
#define INDEX   ((uint32_t)VFIO_DEVICE_FEATURE_MASK)
#define METHODS (GET | SET)

struct feature {
	refdev_handler *get;     /* body to body, fixed part included; NULL: nothing can be got */
	refdev_feature_set *set; /* NULL: nothing can be set */
	uint32_t feature;        /* REFDEV_F_* that it belongs to */
};

/* clang-format off */
static const struct feature features[] = {
	[VFIO_DEVICE_FEATURE_MIGRATION] = {refdev_migration_flags_get, NULL, REFDEV_F_MIGRATION},
	[VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE] =
		{refdev_migration_state_get, refdev_migration_state_set, REFDEV_F_MIGRATION},
	[VFIO_DEVICE_FEATURE_DMA_LOGGING_START] = {NULL, refdev_dirty_start_set, REFDEV_F_DIRTY_LOG},
	[VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP] = {NULL, refdev_dirty_stop_set, REFDEV_F_DIRTY_LOG},
	[VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT] = {refdev_dirty_report_get, NULL, REFDEV_F_DIRTY_LOG},
};
/* clang-format on */

static const struct feature *
find_feature(const struct refdev *dev, uint32_t index)
{
	const struct feature *feature;

	if (index >= sizeof(features) / sizeof(features[0]))
		return NULL;
	feature = &features[index];
	return (feature->feature & dev->features) != 0 ? feature : NULL;
}

static bool
feature_supports(const struct feature *feature, uint32_t methods)
{
	return ((methods & GET) == 0 || feature->get != NULL) &&
		((methods & SET) == 0 || feature->set != NULL);
}

/* The answer has what the request has; so it is checked for room before anything is done. */
static int
set_feature(struct refdev *dev, const struct feature *feature, const struct refdev_body *in,
	struct refdev_body *out)
{
	uint8_t *data = in->bytes + sizeof(struct vfio_user_device_feature);
	size_t len = in->len - sizeof(struct vfio_user_device_feature);
	int rc = refdev_feature_reply(out, in, data, len);

	if (rc == 0)
		rc = feature->set(dev, data, len);
	return rc != 0 ? rc : refdev_feature_reply(out, in, data, len);
}

int
refdev_feature_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_device_feature fixed;
	const struct feature *feature;

	memcpy(&fixed, in->bytes, sizeof(fixed));
	feature = find_feature(dev, fixed.flags & INDEX);
	if (feature == NULL)
		return -ENOTTY;
	if ((fixed.flags & ~(INDEX | METHODS | PROBE)) != 0 ||
		!feature_supports(feature, fixed.flags))
		return -EINVAL;
	if (fixed.flags & PROBE)
		return refdev_feature_reply(out, in, NULL, 0);
	switch (fixed.flags & METHODS) {
	case GET:
		return feature->get(dev, in, out);
	case SET:
		return set_feature(dev, feature, in, out);
	default:
		return -EINVAL;
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fit.h"

bool fit_add(uint64_t *sum, uint64_t bytes, uint32_t cluster_bytes)
{
	uint64_t rounded;

	if (bytes > UINT64_MAX - (cluster_bytes - 1))
		return false;
	rounded = (bytes + cluster_bytes - 1) / cluster_bytes * cluster_bytes;
	if (rounded > UINT64_MAX - *sum)
		return false;
	*sum += rounded;
	return true;
}

bool fit_size(uint64_t data_bytes, uint64_t *out_bytes)
{
	uint64_t size;
	uint64_t step;

	if (data_bytes > FIT_MAX_BYTES)
		return false;
	/* Two tables with 4 bytes for each cluster, which may be as small as 512 bytes where dom0
	 * is not ours; and the rest. */
	size = data_bytes + data_bytes / 64 + 2 * FIT_MIB;
	if (size <= FIT_PLAIN_BYTES) {
		*out_bytes = 0;
		return true;
	}
	step = size <= FIT_GIB ? FIT_SMALL_STEP_BYTES : FIT_STEP_BYTES;
	size = (size + step - 1) / step * step;
	if (size > FIT_MAX_BYTES)
		return false;
	*out_bytes = size;
	return true;
}

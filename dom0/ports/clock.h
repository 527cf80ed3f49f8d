/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port: the time since the host's boot, which goes on when the daemon is restarted, and one alarm.
 */
#ifndef QFX_CLOCK_H
#define QFX_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER INT64_MAX

struct clock_port {
	void *ctx;
	int64_t (*now_ms)(void *ctx);
	/* Raises `alarm` at or after that time, once; replaces the last one. CLOCK_NEVER: none. */
	void (*set_alarm)(void *ctx, int64_t at_ms);
};

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `qfilexchgctl agent`: asks the user in the terminal, one question after the other. */
#ifndef QFX_AGENT_H
#define QFX_AGENT_H

#include "bus-generated.h"

enum agent_mode {
	AGENT_ASK, /* a person answers */
	AGENT_YES, /* for scripts: allow everything */
	AGENT_NO,
};

/* Runs until SIGINT, SIGTERM, the end of the input or of the daemon. Returns the exit status. */
int agent_run(FileExchange1 *daemon, enum agent_mode mode);

#endif

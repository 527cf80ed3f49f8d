/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file: every key with its default, its range and its meaning, in one table. */
#ifndef QFX_CONFIG_H
#define QFX_CONFIG_H

#include <glib.h>

#include "exchange.h"

#define CONFIG_PATH "/etc/qfilexchgd/qfilexchgd.conf"

struct config {
	char *image_dir;
	guint64 reserve_bytes;
	struct {
		char *template; /* an xl config; NULL: no DisposableVMs */
		char *savefile;
		gboolean from_config;
		guint64 memory_mib; /* 0: the template's */
		guint64 keep_free_mib;
		gint64 make_ms, prepare_ms, destroy_ms, survey_ms;
	} disposable;
	gboolean log_names; /* whether the log and the history have the names of VMs */
	GHashTable *labels; /* a VM's name -> a colour's word */
	struct exchange_limits limits;
};

/*
 * Reads `path`; a file that does not exist gives the defaults if `may_be_missing`. On failure,
 * `error` names the file, and the group and key where there is one; *out is then untouched.
 */
gboolean config_load(const char *path, gboolean may_be_missing, struct config *out, GError **error);
/* Frees what is in it. */
void config_clear(struct config *config);

#endif

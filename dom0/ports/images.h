/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port: the files behind the pendrives. */
#ifndef QFX_IMAGES_H
#define QFX_IMAGES_H

/* How the files of images end: by this the udev rule knows the loop devices over them, wherever the
   images are kept (udev/55-qfilexchgd.rules). */
#define IMAGE_SUFFIX ".pendrive"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "transfer.h"

/* 32 hex digits, as new_name makes them, and our ending: nobody else's file is called that. */
static inline bool image_is_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == TRANSFER_IMAGE_NAME_MAX &&
	       strcmp(name + TRANSFER_IMAGE_NAME_MAX, IMAGE_SUFFIX) == 0;
}

struct images_port {
	void *ctx;
	/* A name that no image has had. 0 or -errno. */
	int (*new_name)(void *ctx, char out[TRANSFER_IMAGE_NAME_MAX + 1]);
	/*
	 * Makes t's image, guards and all, of t->format and labelled with the sender's name. Ends
	 * in image_made or image_failed. Anything that stands under its name is replaced.
	 */
	void (*make)(void *ctx, const struct transfer *t);
	/* Removes it, or does nothing if there is none. Ends in image_removed when its space is
	 * free. */
	void (*remove)(void *ctx, const struct transfer *t);
	/* How much of it is allocated on the disk: about what the sender wrote, in bytes. 0 if
	 * unknown. */
	uint64_t (*used_bytes)(void *ctx, const struct transfer *t);
	/* After a restart: removes every image that is not among `keep`. */
	void (*sweep)(void *ctx, const char *const *keep, size_t n_keep);
};

#endif

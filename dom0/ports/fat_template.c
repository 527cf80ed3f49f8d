/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fat_template.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "qpen_fat.h"

#define SECTOR QPEN_FAT_SECTOR_BYTES
/* How much of the file is looked at in one read. */
#define CHUNK (64u * 1024)

/* Offsets in the boot sector of FAT32, by Microsoft's FAT specification (fatgen103, section 3). */
#define BPB_BYTES_PER_SECTOR 11
#define BPB_SECTORS_PER_CLUSTER 13
#define BPB_RESERVED_SECTORS 14
#define BPB_NUMBER_OF_FATS 16
#define BPB_SECTORS_PER_FAT 36
#define BPB_ROOT_CLUSTER 44
#define BPB_BACKUP_SECTOR 50
#define BPB_SIGNATURE 66
#define BPB_SERIAL 67
#define BPB_LABEL 71
#define SIGNATURE_HAS_LABEL 0x29
/* In a directory entry: attributes at 11, this one says that it is the volume's label. */
#define ENTRY_ATTRIBUTES 11
#define ATTRIBUTE_VOLUME 0x08

struct sector {
	uint64_t offset;
	uint8_t bytes[SECTOR];
};

struct fat_template {
	uint64_t size;
	GArray *sectors;      /* struct sector, those not zero, by offset */
	uint64_t boot[2];     /* offsets of the boot sector and its copy */
	uint64_t label_entry; /* offset of the label's entry in the root folder */
};

static unsigned le16(const uint8_t *at)
{
	return (unsigned)at[0] | (unsigned)at[1] << 8;
}

static uint32_t le32(const uint8_t *at)
{
	return (uint32_t)le16(at) | (uint32_t)le16(at + 2) << 16;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

static void keep_sectors(struct fat_template *tpl, const uint8_t *bytes, size_t n, uint64_t offset)
{
	for (size_t i = 0; i + SECTOR <= n; i += SECTOR) {
		struct sector sector = {.offset = offset + i};

		if (is_zero(bytes + i, SECTOR))
			continue;
		memcpy(sector.bytes, bytes + i, SECTOR);
		g_array_append_val(tpl->sectors, sector);
	}
}

/* Only what mkfs wrote is looked at: a hole reads as zeros. */
static int read_sectors(struct fat_template *tpl, int fd)
{
	g_autofree uint8_t *chunk = g_malloc(CHUNK);
	off_t at = 0;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(fd, at, SEEK_HOLE);

		at = at / SECTOR * SECTOR;
		while (at < end) {
			ssize_t n = pread(fd, chunk, CHUNK, at);

			if (n < 0)
				return -errno;
			if (n < (ssize_t)SECTOR)
				break;
			n = n / (ssize_t)SECTOR * (ssize_t)SECTOR;
			keep_sectors(tpl, chunk, (size_t)n, (uint64_t)at);
			at += n;
		}
		if (at < end)
			return -EINVAL;
	}
	return errno == ENXIO ? 0 : -errno;
}

static const uint8_t *find_sector(const struct fat_template *tpl, uint64_t offset)
{
	for (guint i = 0; i < tpl->sectors->len; i++) {
		const struct sector *sector = &g_array_index(tpl->sectors, struct sector, i);

		if (sector->offset == offset)
			return sector->bytes;
	}
	return NULL;
}

/* Where serial and label stand. dom0 reads here what its own mkfs.vfat wrote, and checks it all the
 * same. */
static int find_places(struct fat_template *tpl)
{
	const uint8_t *boot = find_sector(tpl, 0);
	const uint8_t *backup, *root;
	uint64_t data, clusters;

	if (!boot || le16(boot + BPB_BYTES_PER_SECTOR) != SECTOR ||
		boot[BPB_SIGNATURE] != SIGNATURE_HAS_LABEL || le32(boot + BPB_SECTORS_PER_FAT) == 0)
		return -EINVAL;
	tpl->boot[0] = 0;
	tpl->boot[1] = (uint64_t)le16(boot + BPB_BACKUP_SECTOR) * SECTOR;
	backup = find_sector(tpl, tpl->boot[1]);
	if (!backup || memcmp(backup, boot, SECTOR) != 0)
		return -EINVAL;
	data = le16(boot + BPB_RESERVED_SECTORS) +
	       (uint64_t)boot[BPB_NUMBER_OF_FATS] * le32(boot + BPB_SECTORS_PER_FAT);
	clusters = (uint64_t)le32(boot + BPB_ROOT_CLUSTER) - 2;
	tpl->label_entry = (data + clusters * boot[BPB_SECTORS_PER_CLUSTER]) * SECTOR;
	root = find_sector(tpl, tpl->label_entry);
	if (!root || root[ENTRY_ATTRIBUTES] != ATTRIBUTE_VOLUME)
		return -EINVAL;
	return 0;
}

int fat_template_read(int fd, struct fat_template **out)
{
	struct fat_template *tpl = g_new0(struct fat_template, 1);
	off_t size = lseek(fd, 0, SEEK_END);
	int rc = size < 0 ? -errno : 0;

	tpl->size = (uint64_t)MAX(size, 0);
	tpl->sectors = g_array_new(FALSE, FALSE, sizeof(struct sector));
	if (rc == 0)
		rc = read_sectors(tpl, fd);
	if (rc == 0)
		rc = find_places(tpl);
	if (rc < 0) {
		fat_template_destroy(tpl);
		return rc;
	}
	*out = tpl;
	return 0;
}

void fat_template_destroy(struct fat_template *tpl)
{
	if (!tpl)
		return;
	g_array_free(tpl->sectors, TRUE);
	g_free(tpl);
}

uint64_t fat_template_size(const struct fat_template *tpl)
{
	return tpl->size;
}

/* The sector as this copy has it. */
static void personalise(const struct fat_template *tpl, struct sector *sector, uint32_t serial,
	const char label[FAT_LABEL_LEN])
{
	if (sector->offset == tpl->boot[0] || sector->offset == tpl->boot[1]) {
		for (unsigned i = 0; i < 4; i++)
			sector->bytes[BPB_SERIAL + i] = (uint8_t)(serial >> (8 * i));
		memcpy(sector->bytes + BPB_LABEL, label, FAT_LABEL_LEN);
	}
	if (sector->offset == tpl->label_entry)
		memcpy(sector->bytes, label, FAT_LABEL_LEN);
}

int fat_template_write(const struct fat_template *tpl, int fd, uint64_t offset, uint32_t serial,
	const char label[FAT_LABEL_LEN])
{
	for (guint i = 0; i < tpl->sectors->len; i++) {
		struct sector sector = g_array_index(tpl->sectors, struct sector, i);
		ssize_t n;

		personalise(tpl, &sector, serial, label);
		n = pwrite(fd, sector.bytes, SECTOR, (off_t)(offset + sector.offset));
		if (n < 0)
			return -errno;
		if (n != SECTOR)
			return -ENOSPC;
	}
	return 0;
}

void fat_label(const char *name, char out[FAT_LABEL_LEN])
{
	size_t i = 0;

	for (; i < FAT_LABEL_LEN && name[i]; i++) {
		char c = g_ascii_toupper(name[i]);

		out[i] = g_ascii_isalnum(c) || c == '-' || c == '_' ? c : '_';
	}
	memset(out + i, ' ', FAT_LABEL_LEN - i);
}

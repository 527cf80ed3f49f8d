/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "take.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fail.h"
#include "incoming.h"
#include "scope.h"
#include "tree.h"

/* What is under way in take_all(). */
struct taking {
	const struct received *received;
	const char *folder; /* as the user wrote it */
	const struct take_terms *terms;
	struct take_result *result;
	GError **error;
};

static bool fail_folder(const struct taking *taking, const char *what, int err)
{
	g_autofree char *shown = vm_printable(taking->folder, -1);

	g_set_error(
		taking->error, VM_ERROR, VM_EXIT_FAILED, "%s %s: %s", shown, what, g_strerror(err));
	return false;
}

/* The very pendrive that was found, even if another one has come meanwhile. */
static int open_pendrive(const struct taking *taking)
{
	autofd fd = open(INCOMING_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == taking->received->device)
		return steal_fd(&fd);
	g_set_error(taking->error, VM_ERROR, VM_EXIT_DEVICE,
		"The pendrive at " INCOMING_FOLDER " cannot be opened: %s",
		fd < 0 ? g_strerror(errno) : "it is another one by now");
	return -1;
}

static int open_folder(const struct taking *taking)
{
	autofd fd = -1;
	struct stat st;

	if (mkdir(taking->folder, 0777) < 0 && errno != EEXIST) {
		fail_folder(taking, "cannot be made", errno);
		return -1;
	}
	fd = open(taking->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		fail_folder(taking, "cannot be opened", errno);
		return -1;
	}
	if (st.st_dev == taking->received->device) {
		vm_fail_usage(taking->error, "the folder to copy to lies on the pendrive itself");
		return -1;
	}
	return steal_fd(&fd);
}

static uint64_t room_of(const struct statvfs *fs, fsblkcnt_t blocks)
{
	return (uint64_t)blocks > UINT64_MAX / MAX(fs->f_frsize, 1)
		       ? UINT64_MAX
		       : (uint64_t)blocks * fs->f_frsize;
}

/* The device's size; the file system's own word only where there is no device. */
static uint64_t most_bytes(const struct taking *taking, int pendrive)
{
	uint64_t bytes = received_device_bytes(taking->received->device);
	struct statvfs fs;

	if (bytes || fstatvfs(pendrive, &fs) < 0)
		return bytes;
	return room_of(&fs, fs.f_blocks);
}

static void complain_existing(const struct taking *taking, const struct tree_node *node)
{
	g_autofree char *name = vm_printable(node->name, -1);
	g_autofree char *folder = vm_printable(taking->folder, -1);
	g_autofree char *text = g_strdup_printf(
		"%s: something of that name is in %s already, and stays as it is", name, folder);

	taking->terms->on_complaint(text, taking->terms->data);
}

static uint64_t complain_all_existing(
	const struct taking *taking, const struct tree *tree, int folder)
{
	uint64_t count = 0;
	struct stat st;

	for (guint i = 0; i < tree->root.children->len; i++) {
		const struct tree_node *node = g_ptr_array_index(tree->root.children, i);

		if (fstatat(folder, node->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			count++ < TREE_MAX_COMPLAINTS)
			complain_existing(taking, node);
	}
	return count;
}

/* Everything that would end the copying in its middle, before its beginning. */
static bool check(const struct taking *taking, const struct tree *tree, int folder)
{
	uint64_t count = tree->complaint_count;
	struct statvfs fs;

	for (guint i = 0; i < tree->complaints->len; i++) {
		g_autofree char *text = tree_complaint_text(g_ptr_array_index(tree->complaints, i));

		taking->terms->on_complaint(text, taking->terms->data);
	}
	count += complain_all_existing(taking, tree, folder);
	if (count) {
		g_set_error(taking->error, VM_ERROR, VM_EXIT_FILES,
			"Nothing was copied, because of %" PRIu64
			" such things; what you want can be copied by hand from " INCOMING_FOLDER,
			count);
		return false;
	}
	if (fstatvfs(folder, &fs) == 0 && room_of(&fs, fs.f_bavail) < tree->bytes) {
		g_autofree char *needed = g_format_size(tree->bytes);
		g_autofree char *room = g_format_size(room_of(&fs, fs.f_bavail));

		g_set_error(taking->error, VM_ERROR, VM_EXIT_FILES,
			"Nothing was copied: it is %s, and there is room for %s", needed, room);
		return false;
	}
	return true;
}

static void on_progress(const struct copy_progress *done, void *data)
{
	const struct taking *taking = data;

	taking->terms->on_progress(done, &taking->result->all, taking->terms->data);
}

static bool copy(struct taking *taking, struct tree *tree, int folder)
{
	const struct copy_terms terms = {taking->terms->stop, on_progress, taking};

	taking->result->begun = true;
	on_progress(&taking->result->done, taking);
	if (!copy_tree(tree, folder, &terms, &taking->result->done, taking->error))
		return false;
	/* Before the pendrive is gone, which is the only other copy that this VM has. */
	return syncfs(folder) == 0 ||
	       fail_folder(taking, "did not get all that was copied to the disk", errno);
}

bool take_all(const struct received *received, const char *folder, const struct take_terms *terms,
	struct take_result *result, GError **error)
{
	struct taking taking = {received, folder, terms, result, error};
	autofd pendrive = open_pendrive(&taking);
	autofd target = pendrive < 0 ? -1 : open_folder(&taking);
	autotree *tree = NULL;

	*result = (struct take_result){0};
	if (target < 0)
		return false;
	tree = tree_scan_received(pendrive, most_bytes(&taking, pendrive));
	result->all = (struct copy_progress){.files = tree->files, .bytes = tree->bytes};
	return check(&taking, tree, target) && copy(&taking, tree, target);
}

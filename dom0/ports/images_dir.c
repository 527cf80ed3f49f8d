/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "images_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fat_template.h"
#include "qpen_contract.h"
#include "qpen_fat.h"

/* Beginning of the names of files that mkfs.vfat works on; '.' is in no image's name. */
#define SCRATCH_PREFIX "template."
/* A qvm-copy-to-vm asks for a size that fits, so many sizes are in use; each is some 4 KiB. */
#define TEMPLATES_KEPT 64u
/* Freed in one turn of the main loop: about 4 ms on ext4, where a full GiB takes 45 to 55. */
#define FREE_STEP_BYTES (INT64_C(64) << 20)

/* Two seconds in all; only at the start, when there is nobody to be kept waiting. */
#define LOCK_TRIES 40
#define LOCK_WAIT_US 50000

struct job {
	struct images_dir *store;
	uint64_t id; /* the transfer's */
	char *path;
	uint64_t size_bytes;
	enum pendrive_format format;
	char label[FAT_LABEL_LEN];
	int rc; /* how it ended */
	guint source;
};

/* mkfs.vfat at work on a template; jobs of the same size wait for it. */
struct mkfs {
	struct images_dir *store;
	GSubprocess *process;
	char *path;
	uint64_t size_bytes;
	GPtrArray *jobs; /* struct job, owned */
};

/* A removed file whose blocks are being given back. */
struct freeing {
	uint64_t id;
	int fd;
	off_t left;
};

struct images_dir {
	char *dir;
	int lock; /* the folder itself, locked: two daemons would sweep each other's images */
	uint64_t reserve_bytes;
	const struct port_events *events;
	GQueue templates;     /* struct fat_template, the last used first */
	GHashTable *mkfs;     /* &size_bytes -> struct mkfs, owned */
	GHashTable *jobs;     /* struct job with an event on its way, owned */
	GQueue freeing;       /* struct freeing, the first removed first, owned */
	guint freeing_source; /* 0: nothing to free */
	GCancellable *cancel; /* of the children, when the store goes */
};

/* ---- jobs ---- */

static void free_job(gpointer data)
{
	struct job *job = data;

	if (job->source)
		g_source_remove(job->source);
	g_free(job->path);
	g_free(job);
}

static enum qpen_error error_of(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT ? QPEN_ERROR_NO_SPACE : QPEN_ERROR_FAILED;
}

static gboolean report(gpointer data)
{
	struct job *job = data;
	struct images_dir *s = job->store;
	uint64_t id = job->id;
	int rc = job->rc;

	job->source = 0;
	g_hash_table_remove(s->jobs, job);
	if (rc < 0)
		s->events->image_failed(s->events->ctx, id, error_of(rc));
	else
		s->events->image_made(s->events->ctx, id);
	return G_SOURCE_REMOVE;
}

/* Takes the job over: it is done, or failed with -errno. */
static void end_job(struct job *job, int rc)
{
	if (rc < 0) {
		g_warning("cannot make the image %s: %s", job->path, g_strerror(-rc));
		unlink(job->path);
	}
	job->rc = rc;
	g_hash_table_add(job->store->jobs, job);
	job->source = g_idle_add_full(G_PRIORITY_DEFAULT, report, job, NULL);
}

/* ---- room ---- */

static char *image_path(const struct images_dir *s, const char *image)
{
	return g_strconcat(s->dir, "/", image, IMAGE_SUFFIX, NULL);
}

/* How much the images may still grow: what was promised to the VMs and is not allocated yet. */
static uint64_t promised_bytes(const struct images_dir *s)
{
	g_autoptr(GDir) dir = g_dir_open(s->dir, 0, NULL);
	uint64_t promised = 0;
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = NULL;
		struct stat st;

		if (!image_is_name(name))
			continue;
		path = g_build_filename(s->dir, name, NULL);
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > st.st_blocks * 512)
			promised += (uint64_t)(st.st_size - st.st_blocks * 512);
	}
	return promised;
}

/*
 * Whether a pendrive of that size can be filled to the brim, with all others, and leave the
 * reserve. A VM that could write more than there is would see I/O errors in the middle of its copy.
 */
static bool has_room(const struct images_dir *s, uint64_t size_bytes)
{
	uint64_t need = size_bytes + promised_bytes(s) + s->reserve_bytes;
	struct statvfs vfs;

	if (statvfs(s->dir, &vfs) < 0)
		return false;
	return (uint64_t)vfs.f_bavail * vfs.f_frsize >= need;
}

/* ---- making ---- */

static int write_image(const struct job *job, const struct fat_template *tpl)
{
	uint32_t serial;
	int fd, rc = 0;

	unlink(job->path);
	fd = open(job->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)(job->size_bytes + 2 * QPEN_GUARD_BYTES)) < 0)
		rc = -errno;
	if (rc == 0 && tpl && getrandom(&serial, sizeof serial, 0) != sizeof serial)
		rc = -EIO;
	if (rc == 0 && tpl)
		rc = fat_template_write(tpl, fd, QPEN_GUARD_BYTES, serial, job->label);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

static const struct fat_template *find_template(struct images_dir *s, uint64_t size_bytes)
{
	for (GList *l = s->templates.head; l; l = l->next) {
		if (fat_template_size(l->data) != size_bytes)
			continue;
		g_queue_unlink(&s->templates, l);
		g_queue_push_head_link(&s->templates, l);
		return l->data;
	}
	return NULL;
}

static void keep_template(struct images_dir *s, struct fat_template *tpl)
{
	g_queue_push_head(&s->templates, tpl);
	while (s->templates.length > TEMPLATES_KEPT)
		fat_template_destroy(g_queue_pop_tail(&s->templates));
}

static void free_mkfs(gpointer data)
{
	struct mkfs *mkfs = data;

	if (mkfs->path)
		unlink(mkfs->path);
	g_clear_object(&mkfs->process);
	g_ptr_array_free(mkfs->jobs, TRUE);
	g_free(mkfs->path);
	g_free(mkfs);
}

static int read_template(const struct mkfs *mkfs, struct fat_template **out)
{
	int fd = open(mkfs->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int rc;

	if (fd < 0)
		return -errno;
	rc = fat_template_read(fd, out);
	close(fd);
	if (rc == -EINVAL)
		g_warning("mkfs.vfat made a file system that is not the FAT32 we know");
	return rc;
}

static void end_mkfs(struct mkfs *mkfs, int rc)
{
	struct images_dir *s = mkfs->store;
	struct fat_template *tpl = NULL;

	if (rc == 0)
		rc = read_template(mkfs, &tpl);
	for (guint i = 0; i < mkfs->jobs->len; i++) {
		struct job *job = mkfs->jobs->pdata[i];

		/* Jobs before this one may have taken the room. */
		if (rc == 0 && !has_room(s, job->size_bytes))
			end_job(job, -ENOSPC);
		else
			end_job(job, rc < 0 ? rc : write_image(job, tpl));
	}
	g_ptr_array_set_free_func(mkfs->jobs, NULL);
	if (tpl)
		keep_template(s, tpl);
	g_hash_table_remove(s->mkfs, &mkfs->size_bytes);
}

static void on_mkfs_ended(GObject *source, GAsyncResult *result, gpointer data)
{
	GSubprocess *process = G_SUBPROCESS(source);
	g_autoptr(GError) error = NULL;
	/* Also when all went well: that small ones have fewer clusters than Microsoft's have. */
	g_autofree char *said = NULL;
	struct mkfs *mkfs;

	if (!g_subprocess_communicate_utf8_finish(process, result, NULL, &said, &error) &&
		g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return; /* the store is gone, and mkfs with it */
	mkfs = data;
	if (!error)
		g_spawn_check_wait_status(g_subprocess_get_status(process), &error);
	if (error)
		g_warning("mkfs.vfat failed: %s: %s", error->message, said ? g_strchomp(said) : "");
	end_mkfs(mkfs, error ? -EIO : 0);
}

/* A sparse file for mkfs.vfat to work on. 0 or -errno. */
static int make_scratch(const char *path, uint64_t size_bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size_bytes) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int start_mkfs(struct mkfs *mkfs)
{
	static const char *const places[] = {"/usr/sbin/mkfs.vfat", "/sbin/mkfs.vfat"};
	g_autoptr(GError) error = NULL;
	g_autofree char *sector = g_strdup_printf("%u", QPEN_FAT_SECTOR_BYTES);
	g_autofree char *cluster = g_strdup_printf(
		"%u", qpen_fat_cluster_bytes(mkfs->size_bytes) / QPEN_FAT_SECTOR_BYTES);
	const char *program = NULL;
	int rc;

	for (size_t i = 0; !program && i < G_N_ELEMENTS(places); i++)
		if (access(places[i], X_OK) == 0)
			program = places[i];
	if (!program) {
		g_warning("there is no mkfs.vfat on this machine: install dosfstools");
		return -ENOENT;
	}
	unlink(mkfs->path);
	rc = make_scratch(mkfs->path, mkfs->size_bytes);
	if (rc < 0)
		return rc;
	/* The label makes mkfs.vfat write the root folder's entry, which every copy then patches.
	 */
	mkfs->process =
		g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
			&error, program, "-F", "32", "-S", sector, "-s", cluster, "-i", "00000000",
			"-n", "PENDRIVE", mkfs->path, NULL);
	if (!mkfs->process) {
		g_warning("cannot start %s: %s", program, error->message);
		return -EIO;
	}
	g_subprocess_communicate_utf8_async(
		mkfs->process, NULL, mkfs->store->cancel, on_mkfs_ended, mkfs);
	return 0;
}

static void wait_for_mkfs(struct images_dir *s, struct job *job)
{
	struct mkfs *mkfs = g_hash_table_lookup(s->mkfs, &job->size_bytes);
	int rc;

	if (mkfs) {
		g_ptr_array_add(mkfs->jobs, job);
		return;
	}
	mkfs = g_new0(struct mkfs, 1);
	mkfs->store = s;
	mkfs->size_bytes = job->size_bytes;
	mkfs->jobs = g_ptr_array_new_with_free_func(free_job);
	mkfs->path = g_strdup_printf("%s/" SCRATCH_PREFIX "%" PRIu64, s->dir, job->size_bytes);
	g_ptr_array_add(mkfs->jobs, job);
	g_hash_table_insert(s->mkfs, &mkfs->size_bytes, mkfs);
	rc = start_mkfs(mkfs);
	if (rc < 0)
		end_mkfs(mkfs, rc);
}

static void make(void *ctx, const struct transfer *t)
{
	struct images_dir *s = ctx;
	struct job *job = g_new0(struct job, 1);
	const struct fat_template *tpl;

	job->store = s;
	job->id = t->id;
	job->path = image_path(s, t->image);
	job->size_bytes = t->size_bytes;
	job->format = t->format;
	fat_label(t->sender.name, job->label);
	if (!has_room(s, job->size_bytes)) {
		end_job(job, -ENOSPC);
		return;
	}
	if (job->format == PENDRIVE_NONE) {
		end_job(job, write_image(job, NULL));
		return;
	}
	tpl = find_template(s, job->size_bytes);
	if (tpl)
		end_job(job, write_image(job, tpl));
	else
		wait_for_mkfs(s, job);
}

static int new_name(void *ctx, char out[TRANSFER_IMAGE_NAME_MAX + 1])
{
	unsigned char bytes[TRANSFER_IMAGE_NAME_MAX / 2];

	(void)ctx;
	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return -EIO;
	for (size_t i = 0; i < sizeof bytes; i++)
		g_snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* ---- removing ---- */

static void free_freeing(gpointer data)
{
	struct freeing *f = data;

	if (f->fd >= 0)
		close(f->fd);
	g_free(f);
}

/*
 * The names are gone already; the blocks go step by step, since a full GiB at once would take 50
 * ms, and one step in a turn of the main loop, however many images there are to free.
 */
static gboolean free_step(gpointer data)
{
	struct images_dir *s = data;
	struct freeing *f = g_queue_peek_head(&s->freeing);
	uint64_t id = f->id;
	gboolean more;

	f->left = MAX(f->left - FREE_STEP_BYTES, 0);
	if (f->fd >= 0 && ftruncate(f->fd, f->left) == 0 && f->left > 0)
		return G_SOURCE_CONTINUE;
	free_freeing(g_queue_pop_head(&s->freeing));
	more = s->freeing.head != NULL;
	if (!more)
		s->freeing_source = 0;
	/* Last: it may set off the next removal, or be the end of the store. */
	s->events->image_removed(s->events->ctx, id);
	return more;
}

static void remove_path(struct images_dir *s, const char *path, struct freeing *f)
{
	struct stat st;

	f->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (unlink(path) < 0 && errno != ENOENT)
		g_warning("cannot remove the image %s: %s", path, g_strerror(errno));
	if (f->fd >= 0 && fstat(f->fd, &st) == 0)
		f->left = st.st_size;
	g_queue_push_tail(&s->freeing, f);
	if (!s->freeing_source)
		s->freeing_source = g_idle_add(free_step, s);
}

/* A job that still waits for mkfs.vfat would make the image after its removal. */
static void drop_waiting_job(struct images_dir *s, uint64_t id)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, s->mkfs);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct mkfs *mkfs = value;

		for (guint i = 0; i < mkfs->jobs->len; i++) {
			const struct job *job = mkfs->jobs->pdata[i];

			if (job->id == id) {
				g_ptr_array_remove_index(mkfs->jobs, i);
				return;
			}
		}
	}
}

static void remove_image(void *ctx, const struct transfer *t)
{
	struct images_dir *s = ctx;
	struct freeing *f = g_new0(struct freeing, 1);
	g_autofree char *path = image_path(s, t->image);

	drop_waiting_job(s, t->id);
	f->id = t->id;
	remove_path(s, path, f);
}

static uint64_t used_bytes(void *ctx, const struct transfer *t)
{
	const struct images_dir *s = ctx;
	g_autofree char *path = image_path(s, t->image);
	struct stat st;

	return lstat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static void sweep(void *ctx, const char *const *keep, size_t n_keep)
{
	struct images_dir *s = ctx;
	g_autoptr(GDir) dir = g_dir_open(s->dir, 0, NULL);
	g_autoptr(GHashTable) kept = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	const char *name;

	for (size_t i = 0; i < n_keep; i++)
		g_hash_table_add(kept, g_strconcat(keep[i], IMAGE_SUFFIX, NULL));
	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(s->dir, name, NULL);

		if (!image_is_name(name) && !g_str_has_prefix(name, SCRATCH_PREFIX))
			continue;
		if (g_hash_table_contains(kept, name))
			continue;
		g_message("the image %s belongs to no pendrive: removed", path);
		if (unlink(path) < 0)
			g_warning("cannot remove %s: %s", path, g_strerror(errno));
	}
}

/* ---- life ---- */

/*
 * A daemon that was killed while it started mkfs.vfat leaves, for moments, a child that has its
 * locks: so the lock is tried for a little while.
 */
static bool lock_for_us(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK)
			return false;
		g_usleep(LOCK_WAIT_US);
	}
	return false;
}

/* The folder, made if need be and ours alone until it is closed; -1 after a logged error. */
static int lock_folder(const char *dir)
{
	int fd = -1;

	if (g_mkdir_with_parents(dir, 0700) == 0 && access(dir, R_OK | W_OK | X_OK) == 0)
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && lock_for_us(fd))
		return fd;
	if (fd >= 0 && errno == EWOULDBLOCK)
		g_critical("another qfilexchgd works with %s: there can be only one", dir);
	else
		g_critical("cannot use %s for the images: %s", dir, g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

struct images_dir *images_dir_create(
	const char *dir, uint64_t reserve_bytes, const struct port_events *events)
{
	struct images_dir *s;
	int lock = lock_folder(dir);

	if (lock < 0)
		return NULL;
	s = g_new0(struct images_dir, 1);
	s->lock = lock;
	s->dir = g_strdup(dir);
	s->reserve_bytes = reserve_bytes;
	s->events = events;
	g_queue_init(&s->templates);
	s->mkfs = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_mkfs);
	s->jobs = g_hash_table_new_full(NULL, NULL, free_job, NULL);
	g_queue_init(&s->freeing);
	s->cancel = g_cancellable_new();
	return s;
}

void images_dir_destroy(struct images_dir *s)
{
	if (!s)
		return;
	g_cancellable_cancel(s->cancel);
	g_hash_table_destroy(s->mkfs);
	g_hash_table_destroy(s->jobs);
	if (s->freeing_source)
		g_source_remove(s->freeing_source);
	g_queue_clear_full(&s->freeing, free_freeing);
	g_queue_clear_full(&s->templates, (GDestroyNotify)fat_template_destroy);
	g_object_unref(s->cancel);
	close(s->lock);
	g_free(s->dir);
	g_free(s);
}

void images_dir_set_reserve(struct images_dir *s, uint64_t reserve_bytes)
{
	s->reserve_bytes = reserve_bytes;
}

struct images_port images_dir_port(struct images_dir *s)
{
	return (struct images_port){
		.ctx = s,
		.new_name = new_name,
		.make = make,
		.remove = remove_image,
		.used_bytes = used_bytes,
		.sweep = sweep,
	};
}

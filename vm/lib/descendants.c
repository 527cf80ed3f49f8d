/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "descendants.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"

const char *const descendants_services[] = {"at-spi*", "dbus-broker*", "dbus-daemon", "dbus-launch",
	"dconf-service", "dirmngr", "fcitx*", "gconfd-*", "glib-pacrunner", "gnome-keyring-*",
	"goa-daemon", "goa-identity-s*", "gpg-agent", "gvfsd*", "gvfs-*-vo*", "ibus-*",
	"kactivitymanag*", "kded*", "kdeinit*", "kglobalaccel*", "kioslave*", "kiod*", "klauncher",
	"pipewire*", "pulseaudio", "speech-dispatch*", "ssh-agent", "tracker-*", "wireplumber",
	"xdg-desktop-por*", "xdg-document-po*", "xdg-permission-*", NULL};

struct process {
	pid_t pid;
	pid_t parent;
	bool alive; /* no zombie */
	bool related;
	char comm[64];
};

/* -- one process --------------------------------------------------------------------------------
 */

/* "PID (COMM) STATE PPID ..."; COMM may hold anything, also spaces and parentheses. */
static bool parse_stat(const char *text, struct process *out)
{
	const char *open = strchr(text, '(');
	const char *close = strrchr(text, ')');
	size_t len;

	if (!open || !close || close < open || strlen(close) < 5)
		return false;
	len = MIN((size_t)(close - open - 1), sizeof out->comm - 1);
	memcpy(out->comm, open + 1, len);
	out->comm[len] = '\0';
	out->pid = (pid_t)g_ascii_strtoll(text, NULL, 10);
	out->alive = close[2] != 'Z' && close[2] != 'X';
	out->parent = (pid_t)g_ascii_strtoll(close + 3, NULL, 10);
	return out->pid > 0;
}

static bool read_process(const char *pid, struct process *out)
{
	g_autofree char *path = g_strdup_printf("/proc/%s/stat", pid);
	g_autofree char *text = NULL;

	memset(out, 0, sizeof *out);
	return g_file_get_contents(path, &text, NULL, NULL) && parse_stat(text, out);
}

/* Only the processes of our own user let us look; the editor is one. */
static bool has_open(pid_t pid, const char *folder)
{
	g_autofree char *path = g_strdup_printf("/proc/%ld/fd", (long)pid);
	autodir *dir = opendir(path);
	const struct dirent *entry;
	char target[PATH_MAX];
	size_t len = strlen(folder);
	ssize_t r;

	while (dir && (entry = readdir(dir))) {
		r = readlinkat(dirfd(dir), entry->d_name, target, sizeof target);
		if (r > (ssize_t)len && memcmp(target, folder, len) == 0 && target[len] == '/')
			return true;
	}
	return false;
}

static bool has_word(pid_t pid, const char *folder)
{
	g_autofree char *path = g_strdup_printf("/proc/%ld/cmdline", (long)pid);
	g_autofree char *text = NULL;
	gsize len = 0;

	return g_file_get_contents(path, &text, &len, NULL) &&
	       memmem(text, len, folder, strlen(folder));
}

static bool is_service(const struct process *process, const char *const *services)
{
	for (const char *const *service = services; service && *service; service++)
		if (g_pattern_match_simple(*service, process->comm))
			return true;
	return false;
}

/* -- all of them --------------------------------------------------------------------------------
 */

static GArray *read_all(void)
{
	GArray *all = g_array_new(FALSE, FALSE, sizeof(struct process));
	autodir *dir = opendir("/proc");
	const struct dirent *entry;
	struct process process;

	while (dir && (entry = readdir(dir)))
		if (g_ascii_isdigit(entry->d_name[0]) && read_process(entry->d_name, &process))
			g_array_append_val(all, process);
	return all;
}

static bool is_related(const GArray *all, pid_t pid)
{
	for (guint i = 0; i < all->len; i++) {
		const struct process *process = &g_array_index(all, struct process, i);

		if (process->pid == pid)
			return process->related;
	}
	return false;
}

/* Children of children, until nothing new is found. */
static void mark_related(GArray *all)
{
	pid_t self = getpid();
	bool more = true;

	while (more) {
		more = false;
		for (guint i = 0; i < all->len; i++) {
			struct process *process = &g_array_index(all, struct process, i);

			if (process->related ||
				(process->parent != self && !is_related(all, process->parent)))
				continue;
			process->related = true;
			more = true;
		}
	}
}

static int compare_pids(gconstpointer a, gconstpointer b)
{
	pid_t left = *(const pid_t *)a;
	pid_t right = *(const pid_t *)b;

	return (left > right) - (left < right);
}

GArray *descendants_busy(const char *folder, const char *const *services)
{
	GArray *busy = g_array_new(FALSE, FALSE, sizeof(pid_t));
	GArray *all = read_all();

	mark_related(all);
	for (guint i = 0; i < all->len; i++) {
		const struct process *process = &g_array_index(all, struct process, i);
		pid_t pid = process->pid;

		if (!process->alive || pid == getpid())
			continue;
		if ((process->related && !is_service(process, services)) || has_open(pid, folder) ||
			(!process->related && has_word(pid, folder)))
			g_array_append_val(busy, pid);
	}
	g_array_sort(busy, compare_pids);
	g_array_free(all, TRUE);
	return busy;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-open-in-dvm-gui: what file managers start to open files in DisposableVMs. A VM has one slot
 * for pendrives that it sends, so of several files each is begun when the one before is open.
 */
#include <glib-unix.h>
#include <gtk/gtk.h>

#include "fail.h"
#include "openwindow.h"

#define PROGRAM "qvm-open-in-dvm-gui"

struct gui {
	GtkApplication *application;
	gboolean view, version;
	char **files;
	guint next;      /* the first of the files that was not begun */
	guint idle;      /* begins it; 0: nobody waits */
	GPtrArray *open; /* struct openwindow, owned */
	int status;      /* of the last one that failed */
};

static void begin_soon(void *ctx);
static void on_finished(void *ctx, struct openwindow *window, int status);

static gboolean begin_next(gpointer data)
{
	struct gui *gui = data;
	const struct openwindow_events events = {gui, begin_soon, on_finished};

	gui->idle = 0;
	if (gui->files[gui->next])
		g_ptr_array_add(gui->open, openwindow_create(gui->application,
						   gui->files[gui->next++], gui->view, &events));
	return G_SOURCE_REMOVE;
}

/* Not within the call of the one before, which may be its creation. */
static void begin_soon(void *ctx)
{
	struct gui *gui = ctx;

	if (gui->idle == 0)
		gui->idle = g_idle_add(begin_next, gui);
}

static void on_finished(void *ctx, struct openwindow *window, int status)
{
	struct gui *gui = ctx;

	if (status != VM_EXIT_OK)
		gui->status = status;
	g_ptr_array_remove_fast(gui->open, window);
	if (gui->open->len == 0 && !gui->files[gui->next])
		g_application_quit(G_APPLICATION(gui->application));
}

static gboolean on_signal(gpointer data)
{
	g_application_quit(G_APPLICATION(((struct gui *)data)->application));
	return G_SOURCE_CONTINUE;
}

/* Windows come and go meanwhile. */
static void on_activate(GApplication *application, gpointer data)
{
	g_application_hold(application);
	begin_soon(data);
}

static void free_window(gpointer window)
{
	openwindow_destroy(window);
}

static int run(struct gui *gui)
{
	guint signals[] = {
		g_unix_signal_add(SIGINT, on_signal, gui),
		g_unix_signal_add(SIGTERM, on_signal, gui),
		g_unix_signal_add(SIGHUP, on_signal, gui),
	};
	int status;

	gui->application = gtk_application_new(NULL, G_APPLICATION_NON_UNIQUE);
	gui->open = g_ptr_array_new_with_free_func(free_window);
	g_signal_connect(gui->application, "activate", G_CALLBACK(on_activate), gui);
	status = g_application_run(G_APPLICATION(gui->application), 0, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
		g_source_remove(signals[i]);
	g_clear_handle_id(&gui->idle, g_source_remove);
	g_ptr_array_unref(gui->open);
	g_object_unref(gui->application);
	return status ? status : gui->status;
}

static gboolean parse(struct gui *gui, int *argc, char ***argv)
{
	const GOptionEntry entries[] = {
		{"view-only", 0, 0, G_OPTION_ARG_NONE, &gui->view,
			"Look at the files; nothing comes back", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &gui->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &gui->files, NULL,
			"FILE..."},
		{0},
	};
	g_autoptr(GOptionContext) options = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;

	g_option_context_set_summary(options, "Opens files in DisposableVMs, with a window.");
	g_option_context_add_main_entries(options, entries, NULL);
	g_option_context_add_group(options, gtk_get_option_group(FALSE));
	if (!g_option_context_parse(options, argc, argv, &error))
		g_printerr(PROGRAM ": %s\n", error->message);
	else if (gui->version || gui->files)
		return TRUE;
	else
		g_printerr(PROGRAM ": say which files\n");
	return FALSE;
}

int main(int argc, char **argv)
{
	struct gui gui = {0};
	int status = VM_EXIT_USAGE;

	g_set_prgname(PROGRAM);
	if (parse(&gui, &argc, &argv)) {
		if (gui.version) {
			g_print(PROGRAM " " QFX_VERSION "\n");
			status = VM_EXIT_OK;
		} else if (!gtk_init_check(&argc, &argv)) {
			g_printerr(PROGRAM ": there is no display; without a window it is "
					   "`qvm-open-in-dvm FILE`\n");
			status = VM_EXIT_FAILED;
		} else {
			status = run(&gui);
		}
	}
	g_strfreev(gui.files);
	return status;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-copy-gui: the window that `qvm-copy-to-vm --gui` and `qvm-move-to-vm --gui` open. It copies
 * nothing itself and does not speak with dom0; both is done by the program it was called from.
 */
#include <glib-unix.h>
#include <gtk/gtk.h>

#include "copywindow.h"
#include "fail.h"

#define PROGRAM "qvm-copy-gui"

struct gui {
	struct copywindow *window;
	gboolean move, version;
	char **files;
};

static gboolean on_signal(gpointer data)
{
	struct gui *gui = data;

	if (gui->window)
		copywindow_stop(gui->window);
	return G_SOURCE_CONTINUE;
}

static void on_activate(GtkApplication *application, gpointer data)
{
	struct gui *gui = data;

	gui->window = copywindow_create(application, gui->move, gui->files);
}

static int run(struct gui *gui)
{
	GtkApplication *application = gtk_application_new(NULL, G_APPLICATION_NON_UNIQUE);
	guint signals[] = {
		g_unix_signal_add(SIGINT, on_signal, gui),
		g_unix_signal_add(SIGTERM, on_signal, gui),
		g_unix_signal_add(SIGHUP, on_signal, gui),
	};
	int status;

	g_signal_connect(application, "activate", G_CALLBACK(on_activate), gui);
	status = g_application_run(G_APPLICATION(application), 0, NULL);
	if (gui->window)
		status = copywindow_status(gui->window);
	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
		g_source_remove(signals[i]);
	copywindow_destroy(gui->window);
	g_object_unref(application);
	return status;
}

static gboolean parse(struct gui *gui, int *argc, char ***argv)
{
	const GOptionEntry entries[] = {
		{"move", 0, 0, G_OPTION_ARG_NONE, &gui->move,
			"Delete the files here when they were delivered", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &gui->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &gui->files, NULL,
			"FILE..."},
		{0},
	};
	g_autoptr(GOptionContext) options = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;

	g_option_context_set_summary(options, "The window of qvm-copy-to-vm and qvm-move-to-vm.");
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
					   "`qvm-copy-to-vm VM FILE...`\n");
			status = VM_EXIT_FAILED;
		} else {
			status = run(&gui);
		}
	}
	g_strfreev(gui.files);
	return status;
}

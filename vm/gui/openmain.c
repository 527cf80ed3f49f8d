/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-open-in-dvm-gui: what file managers start to open files in DisposableVMs. A VM has one slot
 * for pendrives that it sends, so of several files each is begun when the one before is open.
 */
#include "fail.h"
#include "frame.h"
#include "openwindow.h"

struct gui {
	GtkApplication *application;
	gboolean view;
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

static void free_window(gpointer window)
{
	openwindow_destroy(window);
}

static void on_start(void *ctx, GtkApplication *application, gboolean view, char **files)
{
	struct gui *gui = ctx;

	*gui = (struct gui){
		.application = application,
		.view = view,
		.files = files,
		.open = g_ptr_array_new_with_free_func(free_window),
	};
	/* Windows come and go meanwhile. */
	g_application_hold(G_APPLICATION(application));
	begin_soon(gui);
}

static void on_signal(void *ctx)
{
	const struct gui *gui = ctx;

	g_application_quit(G_APPLICATION(gui->application));
}

static int on_end(void *ctx, int status)
{
	struct gui *gui = ctx;

	g_clear_handle_id(&gui->idle, g_source_remove);
	g_ptr_array_unref(gui->open);
	return status ? status : gui->status;
}

int main(int argc, char **argv)
{
	struct gui gui = {0};
	const struct frame_words words = {
		.program = "qvm-open-in-dvm-gui",
		.summary = "Opens files in DisposableVMs, with a window.",
		.option = "view-only",
		.option_help = "Look at the files; nothing comes back",
		.instead = "qvm-open-in-dvm FILE",
	};
	const struct frame_events events = {&gui, on_start, on_signal, on_end};

	return frame_main(&words, &events, argc, argv);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frame.h"

#include <glib-unix.h>

#include "fail.h"

struct frame {
	const struct frame_words *words;
	const struct frame_events *events;
	gboolean started;
	gboolean option, version;
	char **files;
};

static gboolean on_signal(gpointer data)
{
	const struct frame *frame = data;

	if (frame->started)
		frame->events->on_signal(frame->events->ctx);
	return G_SOURCE_CONTINUE;
}

static void on_activate(GtkApplication *application, gpointer data)
{
	struct frame *frame = data;

	frame->started = TRUE;
	frame->events->on_start(frame->events->ctx, application, frame->option, frame->files);
}

static int run(struct frame *frame)
{
	GtkApplication *application = gtk_application_new(NULL, G_APPLICATION_NON_UNIQUE);
	guint signals[] = {
		g_unix_signal_add(SIGINT, on_signal, frame),
		g_unix_signal_add(SIGTERM, on_signal, frame),
		g_unix_signal_add(SIGHUP, on_signal, frame),
	};
	int status;

	g_signal_connect(application, "activate", G_CALLBACK(on_activate), frame);
	status = g_application_run(G_APPLICATION(application), 0, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
		g_source_remove(signals[i]);
	if (frame->started)
		status = frame->events->on_end(frame->events->ctx, status);
	g_object_unref(application);
	return status;
}

static gboolean parse(struct frame *frame, int *argc, char ***argv)
{
	const GOptionEntry entries[] = {
		{frame->words->option, 0, 0, G_OPTION_ARG_NONE, &frame->option,
			frame->words->option_help, NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &frame->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &frame->files, NULL,
			"FILE..."},
		{0},
	};
	g_autoptr(GOptionContext) options = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;

	g_option_context_set_summary(options, frame->words->summary);
	g_option_context_add_main_entries(options, entries, NULL);
	g_option_context_add_group(options, gtk_get_option_group(FALSE));
	if (!g_option_context_parse(options, argc, argv, &error))
		g_printerr("%s: %s\n", frame->words->program, error->message);
	else if (frame->version || frame->files)
		return TRUE;
	else
		g_printerr("%s: say which files\n", frame->words->program);
	return FALSE;
}

int frame_main(
	const struct frame_words *words, const struct frame_events *events, int argc, char **argv)
{
	struct frame frame = {.words = words, .events = events};
	int status = VM_EXIT_USAGE;

	g_set_prgname(words->program);
	if (parse(&frame, &argc, &argv)) {
		if (frame.version) {
			g_print("%s " QFX_VERSION "\n", words->program);
			status = VM_EXIT_OK;
		} else if (!gtk_init_check(&argc, &argv)) {
			g_printerr("%s: there is no display; without a window it is `%s`\n",
				words->program, words->instead);
			status = VM_EXIT_FAILED;
		} else {
			status = run(&frame);
		}
	}
	g_strfreev(frame.files);
	return status;
}

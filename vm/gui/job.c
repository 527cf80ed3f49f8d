/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "job.h"

#include <string.h>

#include "fail.h"
#include "lines.h"

static void free_report(gpointer data)
{
	report_finish(data);
	g_free(data);
}

void job_init(struct job *job, gboolean move, char **files)
{
	*job = (struct job){
		.move = move,
		.files = files,
		.cannot = g_ptr_array_new_with_free_func(free_report),
	};
}

void job_finish(struct job *job)
{
	g_ptr_array_unref(job->cannot);
	g_free(job->vm);
	g_free(job->why);
}

void job_begin(struct job *job, const char *vm, gboolean skip)
{
	gboolean move = job->move;
	char **files = job->files;
	char *name = g_strdup(vm); /* may be the job's own */

	job_finish(job);
	job_init(job, move, files);
	job->vm = name;
	job->skip = skip;
}

char **job_argv(const struct job *job)
{
	GPtrArray *words = g_ptr_array_new();

	g_ptr_array_add(words, g_strdup(job->move ? "qvm-move-to-vm" : "qvm-copy-to-vm"));
	/* Then there are errors only on its standard error. */
	g_ptr_array_add(words, g_strdup("--quiet"));
	g_ptr_array_add(words, g_strdup_printf("--report=%d", CHILD_REPORT_FD));
	if (job->skip)
		g_ptr_array_add(words, g_strdup("--skip-unsupported"));
	g_ptr_array_add(words, g_strdup("--"));
	g_ptr_array_add(words, g_strdup(job->vm));
	for (char **file = job->files; *file; file++)
		g_ptr_array_add(words, g_strdup(*file));
	g_ptr_array_add(words, NULL);
	return (char **)g_ptr_array_free(words, FALSE);
}

static void take(struct job *job, struct report *report, gint64 now_us)
{
	switch (report->kind) {
	case REPORT_TOTAL:
		job->is_counted = TRUE;
		progress_start(&job->progress, report->bytes, report->files, now_us);
		break;
	case REPORT_CANNOT:
		g_ptr_array_add(job->cannot, g_memdup2(report, sizeof *report));
		*report = (struct report){.kind = REPORT_CANNOT};
		break;
	case REPORT_STATE:
		job->is_told = TRUE;
		job->state = report->state;
		if (report->state == REPORT_STATE_DELIVERED)
			job->delivered = TRUE;
		break;
	case REPORT_PROGRESS:
		progress_update(&job->progress, report->bytes, report->files, now_us);
		break;
	case REPORT_SKIPPED:
		job->skipped = report->files;
		break;
	case REPORT_FAILED:
		job->failed = report->status;
		g_free(job->why);
		job->why = g_steal_pointer(&report->text);
		break;
	case REPORT_DONE:
		job->done = TRUE;
		break;
	}
}

void job_take(struct job *job, const char *line, gint64 now_us)
{
	struct report report;
	g_autofree char *printable = NULL;

	if (report_parse(line, &report) == REPORT_OK) {
		take(job, &report, now_us);
		report_finish(&report);
		return;
	}
	printable = vm_printable(line, -1);
	g_debug("not understood: %s", printable);
}

double job_fraction(const struct job *job)
{
	return job->is_counted ? progress_percent(&job->progress) / 100.0 : 0;
}

enum job_outcome job_outcome(const struct job *job, const struct child_end *end)
{
	int status = job->failed ? job->failed : end->status;

	if (job->done && status == VM_EXIT_OK)
		return JOB_DELIVERED;
	if (job->delivered && job->move)
		return JOB_LEFT;
	if (status == VM_EXIT_INTERRUPTED)
		return JOB_CANCELLED;
	if (status == VM_EXIT_FILES && job->cannot->len && !job->skip)
		return JOB_UNSUPPORTED;
	return JOB_FAILED;
}

char *job_why(const struct job *job, const struct child_end *end)
{
	const char *program = job->move ? "qvm-move-to-vm" : "qvm-copy-to-vm";

	/* There it says as well what the user is left with. */
	if (*end->message)
		return lines_of_program(program, end->message);
	if (job->why && *job->why)
		return lines_printable(job->why);
	if (end->status > 128)
		return g_strdup_printf("%s was ended by signal %d; nothing is known of what it "
				       "did. `%s` in a terminal may say more.",
			program, end->status - 128, program);
	return g_strdup_printf("%s ended with exit status %d and without saying why; `man %s` says "
			       "what that means.",
		program, end->status, program);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of replies, written out in full: clients of 2026 will still read it in 2040. */
#include <glib.h>
#include <string.h>

#include "reply.h"

#define ID32 "abcdefghijklmnopqrstuvwxyzABCDEF"

static const struct {
	enum qpen_wait wait;
	const char *detail;
	const char *text;
} waits[] = {
	{QPEN_WAIT_ASKING, NULL, "a1 wait asking"},
	{QPEN_WAIT_QUEUED, NULL, "a1 wait queued"},
	{QPEN_WAIT_STARTING, NULL, "a1 wait starting"},
	{QPEN_WAIT_PREPARING, NULL, "a1 wait preparing"},
	{QPEN_WAIT_OPEN, "disp7", "a1 wait open disp7"},
};

static const struct {
	enum qpen_error error;
	const char *text;
} errors[] = {
	{QPEN_ERROR_BAD_REQUEST, "- error bad-request why"},
	{QPEN_ERROR_NO_PENDRIVE, "- error no-pendrive why"},
	{QPEN_ERROR_HAVE_PENDRIVE, "- error have-pendrive why"},
	{QPEN_ERROR_BUSY, "- error busy why"},
	{QPEN_ERROR_SELF, "- error self why"},
	{QPEN_ERROR_REFUSED, "- error refused why"},
	{QPEN_ERROR_NO_SPACE, "- error no-space why"},
	{QPEN_ERROR_QUOTA, "- error quota why"},
	{QPEN_ERROR_BAD_SIZE, "- error bad-size why"},
	{QPEN_ERROR_TIMEOUT, "- error timeout why"},
	{QPEN_ERROR_CANCELLED, "- error cancelled why"},
	{QPEN_ERROR_RECEIVER_GONE, "- error receiver-gone why"},
	{QPEN_ERROR_QUEUE_FULL, "- error queue-full why"},
	{QPEN_ERROR_NO_MEMORY, "- error no-memory why"},
	{QPEN_ERROR_LIMIT, "- error limit why"},
	{QPEN_ERROR_NO_TRANSACTION, "- error no-transaction why"},
	{QPEN_ERROR_LOST, "- error lost why"},
	{QPEN_ERROR_UNSUPPORTED, "- error unsupported why"},
	{QPEN_ERROR_FAILED, "- error failed why"},
};

/* Every word of the lists has its row. */
#define PLUS_ONE(name, word) +1
enum { N_WAITS = 0 QPEN_WAITS(PLUS_ONE), N_ERRORS = 0 QPEN_ERRORS(PLUS_ONE) };
G_STATIC_ASSERT(G_N_ELEMENTS(waits) == N_WAITS);
G_STATIC_ASSERT(G_N_ELEMENTS(errors) == N_ERRORS);

static void test_waits(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(waits); i++) {
		struct reply reply;

		reply_wait(&reply, "a1", waits[i].wait, waits[i].detail);
		g_assert_cmpstr(reply.text, ==, waits[i].text);
	}
}

static void test_ok(void)
{
	struct reply reply;

	reply_ok(&reply, "a1", "xvdg");
	g_assert_cmpstr(reply.text, ==, "a1 ok xvdg");
	reply_ok(&reply, "-", NULL);
	g_assert_cmpstr(reply.text, ==, "- ok");
}

static void test_errors(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
		struct reply reply;

		reply_error(&reply, QPEN_ID_NONE, errors[i].error, "why");
		g_assert_cmpstr(reply.text, ==, errors[i].text);
	}
}

static void test_longest(void)
{
	struct reply reply;
	char text[2 * QPEN_REPLY_MAX];

	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	reply_error(&reply, ID32, QPEN_ERROR_RECEIVER_GONE, text);
	g_assert_cmpuint(strlen(reply.text), ==, QPEN_REPLY_MAX);
	g_assert_true(g_str_has_prefix(reply.text, ID32 " error receiver-gone xxx"));
	reply_ok(&reply, ID32, text);
	g_assert_cmpuint(strlen(reply.text), ==, QPEN_REPLY_MAX);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/reply/wait", test_waits);
	g_test_add_func("/reply/ok", test_ok);
	g_test_add_func("/reply/error", test_errors);
	g_test_add_func("/reply/longest", test_longest);
	return g_test_run();
}

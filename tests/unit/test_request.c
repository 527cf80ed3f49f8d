/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM may write into its mailbox, and what becomes of everything else. */
#include <glib.h>
#include <string.h>

#include "qpen_words.h"
#include "request.h"

#define ID32 "abcdefghijklmnopqrstuvwxyzABCDEF"
#define NAME63 "n23456789012345678901234567890123456789012345678901234567890123"

/* Parses a copy that ends where its memory ends, so that ASan sees a read past it. */
static enum request_result parse(const char *bytes, size_t len, struct request *out)
{
	g_autofree char *copy = g_malloc(MAX(len, 1));

	memcpy(copy, bytes, len);
	return request_parse(copy, len, out);
}

struct accepted {
	const char *label, *text;
	enum request_verb verb;
	const char *id, *dest, *seq;
	uint64_t size_bytes;
	enum pendrive_format format;
};

static const struct accepted accepted[] = {
	{"the 2010 new", "new", REQUEST_NEW, "-", "", "0", 0, PENDRIVE_VFAT},
	{"the 2010 send", "send personal", REQUEST_SEND, "-", "personal", "0", 0, PENDRIVE_VFAT},
	{"the 2010 send with SEQ", "send personal 17", REQUEST_SEND, "-", "personal", "17", 0,
		PENDRIVE_VFAT},
	{"the 2010 umount", "umount", REQUEST_UMOUNT, "-", "", "0", 0, PENDRIVE_VFAT},
	{"the 2010 killme", "killme", REQUEST_KILLME, "-", "", "0", 0, PENDRIVE_VFAT},
	{"discard", "discard", REQUEST_DISCARD, "-", "", "0", 0, PENDRIVE_VFAT},
	{"discard with an ID", "discard #d1", REQUEST_DISCARD, "d1", "", "0", 0, PENDRIVE_VFAT},
	{"new with an ID", "new #a1", REQUEST_NEW, "a1", "", "0", 0, PENDRIVE_VFAT},
	{"umount with an ID", "umount #Z", REQUEST_UMOUNT, "Z", "", "0", 0, PENDRIVE_VFAT},
	{"killme with an ID", "killme #0", REQUEST_KILLME, "0", "", "0", 0, PENDRIVE_VFAT},
	{"send with an ID", "send a #x", REQUEST_SEND, "x", "a", "0", 0, PENDRIVE_VFAT},
	{"the longest of everything", "send " NAME63 " " ID32 " #" ID32, REQUEST_SEND, ID32, NAME63,
		ID32, 0, PENDRIVE_VFAT},
	{"size", "new size=512", REQUEST_NEW, "-", "", "0", 512, PENDRIVE_VFAT},
	{"size and ID", "new size=2G #q", REQUEST_NEW, "q", "", "0", UINT64_C(2) << 30,
		PENDRIVE_VFAT},
	{"format vfat", "new format=vfat", REQUEST_NEW, "-", "", "0", 0, PENDRIVE_VFAT},
	{"format none", "new format=none", REQUEST_NEW, "-", "", "0", 0, PENDRIVE_NONE},
	{"size, then format", "new size=1M format=none", REQUEST_NEW, "-", "", "0", 1 << 20,
		PENDRIVE_NONE},
	{"format, then size", "new format=none size=1M", REQUEST_NEW, "-", "", "0", 1 << 20,
		PENDRIVE_NONE},
	{"to a DisposableVM", "send disposable 7", REQUEST_SEND, "-", "disposable", "7", 0,
		PENDRIVE_VFAT},
	{"to look at", "send disposable 7 view #i", REQUEST_SEND, "i", "disposable", "7", 0,
		PENDRIVE_VFAT},
	{"a name of all characters", "send a_.+-9", REQUEST_SEND, "-", "a_.+-9", "0", 0,
		PENDRIVE_VFAT},
	{"a VM called like a verb", "send new", REQUEST_SEND, "-", "new", "0", 0, PENDRIVE_VFAT},
};

static void test_accepted(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(accepted); i++) {
		const struct accepted *row = &accepted[i];
		struct request r;

		g_test_message("%s", row->label);
		g_assert_cmpint(parse(row->text, strlen(row->text), &r), ==, REQUEST_OK);
		g_assert_cmpint(r.verb, ==, row->verb);
		g_assert_cmpstr(r.id, ==, row->id);
		g_assert_cmpstr(r.dest, ==, row->dest);
		g_assert_cmpstr(r.seq, ==, row->seq);
		g_assert_cmpuint(r.size_bytes, ==, row->size_bytes);
		g_assert_cmpint(r.format, ==, row->format);
		g_assert_cmpint(r.view, ==, strstr(row->text, " view") != NULL);
		g_assert_cmpstr(r.of, ==, "");
	}
}

static const struct {
	const char *text, *id, *of;
} discards[] = {
	{"discard", "-", ""},
	{"discard #d", "d", ""},
	{"discard s1", "-", "s1"},
	{"discard s1 #d", "d", "s1"},
	{"discard " ID32 " #" ID32, ID32, ID32},
	{"discard discard #discard", "discard", "discard"},
};

static void test_discard(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(discards); i++) {
		struct request r;

		g_test_message("%s", discards[i].text);
		g_assert_cmpint(
			parse(discards[i].text, strlen(discards[i].text), &r), ==, REQUEST_OK);
		g_assert_cmpint(r.verb, ==, REQUEST_DISCARD);
		g_assert_cmpstr(r.id, ==, discards[i].id);
		g_assert_cmpstr(r.of, ==, discards[i].of);
	}
}

/* Some rows hold NULs, so every row says how long it is. */
#define BYTES(text) (text), sizeof(text) - 1

static const struct {
	const char *label, *bytes;
	size_t len;
	enum request_result result;
	const char *id; /* kept, so that the refusal reaches the one who asked */
} refused[] = {
	{"nothing", BYTES(""), REQUEST_EMPTY, "-"},
	{"one space", BYTES(" "), REQUEST_UNKNOWN_VERB, "-"},
	{"one NUL", BYTES("\0"), REQUEST_UNKNOWN_VERB, "-"},
	{"only an ID", BYTES("#a"), REQUEST_UNKNOWN_VERB, "-"},
	{"a space and an ID", BYTES(" #a"), REQUEST_UNKNOWN_VERB, "a"},
	{"unknown verb", BYTES("newest"), REQUEST_UNKNOWN_VERB, "-"},
	{"unknown verb with an ID", BYTES("frob #a"), REQUEST_UNKNOWN_VERB, "a"},
	{"capitals", BYTES("NEW"), REQUEST_UNKNOWN_VERB, "-"},
	{"part of a verb", BYTES("ne"), REQUEST_UNKNOWN_VERB, "-"},
	{"a space before", BYTES(" new #a"), REQUEST_UNKNOWN_VERB, "a"},
	{"verb and newline", BYTES("new\n"), REQUEST_UNKNOWN_VERB, "-"},
	{"verb and NUL", BYTES("new\0"), REQUEST_UNKNOWN_VERB, "-"},
	{"verb, NUL, ID", BYTES("umount\0 #a"), REQUEST_UNKNOWN_VERB, "a"},
	{"tab for space", BYTES("send\tpersonal"), REQUEST_UNKNOWN_VERB, "-"},
	{"8-bit verb", BYTES("\xc3\xbcnew"), REQUEST_UNKNOWN_VERB, "-"},
	{"all ones", BYTES("\xff\xff\xff\xff"), REQUEST_UNKNOWN_VERB, "-"},

	{"a space after new", BYTES("new "), REQUEST_BAD_FORM, "-"},
	{"two spaces before the ID", BYTES("new  #a"), REQUEST_BAD_FORM, "a"},
	{"two spaces between", BYTES("new  size=1M #a"), REQUEST_BAD_FORM, "a"},
	{"new with a foreign word", BYTES("new colour=red #a"), REQUEST_BAD_FORM, "a"},
	{"new with a bare word", BYTES("new personal"), REQUEST_BAD_FORM, "-"},
	{"size twice", BYTES("new size=1M size=2M"), REQUEST_BAD_FORM, "-"},
	{"format twice", BYTES("new format=vfat format=vfat"), REQUEST_BAD_FORM, "-"},
	{"two IDs: the last counts", BYTES("new #a #b"), REQUEST_BAD_FORM, "b"},
	{"the ID is not last", BYTES("new #a size=1M"), REQUEST_BAD_FORM, "-"},
	{"an ID and a space", BYTES("new #a "), REQUEST_BAD_FORM, "-"},
	{"an empty ID", BYTES("new #"), REQUEST_BAD_FORM, "-"},
	{"an ID of 33", BYTES("new #" ID32 "x"), REQUEST_BAD_FORM, "-"},
	{"an ID with a dash", BYTES("new #-"), REQUEST_BAD_FORM, "-"},
	{"an ID with a NUL", BYTES("new #a\0b"), REQUEST_BAD_FORM, "-"},
	{"an 8-bit ID", BYTES("new #\xe4"), REQUEST_BAD_FORM, "-"},
	{"no space before the ID", BYTES("new#a"), REQUEST_UNKNOWN_VERB, "-"},
	{"umount with a word", BYTES("umount now #a"), REQUEST_BAD_FORM, "a"},
	{"umount and a space", BYTES("umount "), REQUEST_BAD_FORM, "-"},
	{"discard with two words", BYTES("discard a b #i"), REQUEST_BAD_FORM, "i"},
	{"discard and a space", BYTES("discard "), REQUEST_BAD_FORM, "-"},
	{"discard of two spaces", BYTES("discard  a #i"), REQUEST_BAD_FORM, "i"},
	{"discard of a dash", BYTES("discard - #i"), REQUEST_BAD_FORM, "i"},
	{"discard of 33", BYTES("discard " ID32 "x #i"), REQUEST_BAD_FORM, "i"},
	{"discard of the ID alone", BYTES("discard #"), REQUEST_BAD_FORM, "-"},
	{"killme with a word", BYTES("killme 1"), REQUEST_BAD_FORM, "-"},
	{"send alone", BYTES("send"), REQUEST_BAD_FORM, "-"},
	{"send alone with an ID", BYTES("send #a"), REQUEST_BAD_FORM, "a"},
	{"send with three words", BYTES("send a b c #i"), REQUEST_BAD_FORM, "i"},

	{"send and a space", BYTES("send "), REQUEST_BAD_DEST, "-"},
	{"two spaces before DEST", BYTES("send  a #i"), REQUEST_BAD_DEST, "i"},
	{"DEST of 64", BYTES("send " NAME63 "x #i"), REQUEST_BAD_DEST, "i"},
	{"DEST with a newline", BYTES("send work\n"), REQUEST_BAD_DEST, "-"},
	{"DEST with a NUL", BYTES("send work\0 #i"), REQUEST_BAD_DEST, "i"},
	{"DEST with an escape", BYTES("send \x1b[2J #i"), REQUEST_BAD_DEST, "i"},
	{"DEST with DEL", BYTES("send a\x7f"), REQUEST_BAD_DEST, "-"},
	{"DEST in UTF-8",
		BYTES("send stra\xc3\x9f"
		      "e #i"),
		REQUEST_BAD_DEST, "i"},
	{"DEST with a slash", BYTES("send ../0"), REQUEST_BAD_DEST, "-"},
	{"DEST with a dash first", BYTES("send -work"), REQUEST_BAD_DEST, "-"},
	{"DEST is dom0", BYTES("send Domain-0 #i"), REQUEST_BAD_DEST, "i"},
	{"DEST of markup", BYTES("send <b>work</b>"), REQUEST_BAD_DEST, "-"},

	{"an empty SEQ", BYTES("send a "), REQUEST_BAD_SEQ, "-"},
	{"a DisposableVM without SEQ", BYTES("send disposable #i"), REQUEST_NO_SEQ, "i"},
	{"a DisposableVM and SEQ 0", BYTES("send disposable 0 #i"), REQUEST_NO_SEQ, "i"},
	{"another mode", BYTES("send disposable 7 edit #i"), REQUEST_BAD_FORM, "i"},
	{"more than a mode", BYTES("send disposable 7 view 1 #i"), REQUEST_BAD_FORM, "i"},
	{"a mode without DisposableVM", BYTES("send a 7 view #i"), REQUEST_BAD_FORM, "i"},
	{"SEQ of 33", BYTES("send a " ID32 "x #i"), REQUEST_BAD_SEQ, "i"},
	{"SEQ with a sign", BYTES("send a -1 #i"), REQUEST_BAD_SEQ, "i"},
	{"SEQ with a slash", BYTES("send a 1/2"), REQUEST_BAD_SEQ, "-"},

	{"no size", BYTES("new size= #i"), REQUEST_BAD_SIZE, "i"},
	{"no format", BYTES("new format= #i"), REQUEST_BAD_FORMAT, "i"},
	{"format in capitals", BYTES("new format=VFAT"), REQUEST_BAD_FORMAT, "-"},
	{"another format", BYTES("new format=ext4 #i"), REQUEST_BAD_FORMAT, "i"},
	{"format and more", BYTES("new format=vfatx"), REQUEST_BAD_FORMAT, "-"},
	{"format cut short", BYTES("new format=non"), REQUEST_BAD_FORMAT, "-"},
};

static void test_refused(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		struct request r;

		g_test_message("%s", refused[i].label);
		g_assert_cmpint(parse(refused[i].bytes, refused[i].len, &r), ==, refused[i].result);
		g_assert_cmpstr(r.id, ==, refused[i].id);
	}
}

static const struct {
	const char *text;
	uint64_t bytes; /* 0: refused */
} sizes[] = {
	{"1", 1},
	{"1K", 1024},
	{"3M", UINT64_C(3) << 20},
	{"5G", UINT64_C(5) << 30},
	{"7T", UINT64_C(7) << 40},
	{"007", 7},
	{"9223372036854775807", INT64_MAX},
	{"9007199254740991K", UINT64_C(9007199254740991) << 10},
	{"8796093022207M", UINT64_C(8796093022207) << 20},
	{"8589934591G", UINT64_C(8589934591) << 30},
	{"8388607T", UINT64_C(8388607) << 40},
	/* From 2^63 on, and what wraps in 64 bits. */
	{"9223372036854775808", 0},
	{"9007199254740992K", 0},
	{"8796093022208M", 0},
	{"8589934592G", 0},
	{"8388608T", 0},
	{"16777216T", 0},
	{"18446744073709551615", 0},
	{"18446744073709551616", 0},
	{"18446744073709551617", 0},
	{"99999999999999999999999999999999", 0},
	{"0", 0},
	{"0T", 0},
	{"000", 0},
	{"K", 0},
	{"1k", 0},
	{"1KK", 0},
	{"1KB", 0},
	{"1P", 0},
	{"K1", 0},
	{"-1", 0},
	{"+1", 0},
	{"1.5G", 0},
	{"0x10", 0},
	{"1e3", 0},
	{"1\t", 0},
	{"1\xb2", 0},
	{"/", 0},
	{":", 0},
};

static void test_sizes(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autofree char *text = g_strdup_printf("new size=%s #i", sizes[i].text);
		struct request r;
		enum request_result wanted = sizes[i].bytes ? REQUEST_OK : REQUEST_BAD_SIZE;

		if (g_utf8_validate(sizes[i].text, -1, NULL))
			g_test_message("%s", sizes[i].text);
		g_assert_cmpint(parse(text, strlen(text), &r), ==, wanted);
		g_assert_cmpstr(r.id, ==, "i");
		if (sizes[i].bytes)
			g_assert_cmpuint(r.size_bytes, ==, sizes[i].bytes);
	}
}

/* A request that is good however long it is: a size with zeros in front. */
static void test_longest(void)
{
	static const char start[] = {'n', 'e', 'w', ' ', 's', 'i', 'z', 'e', '='};
	char text[QPEN_REQUEST_MAX + 1];
	struct request r;

	memset(text, '0', sizeof text);
	memcpy(text, start, sizeof start);
	text[QPEN_REQUEST_MAX - 1] = '9';
	g_assert_cmpint(parse(text, QPEN_REQUEST_MAX, &r), ==, REQUEST_OK);
	g_assert_cmpuint(r.size_bytes, ==, 9);

	text[QPEN_REQUEST_MAX - 1] = '0';
	text[QPEN_REQUEST_MAX] = '9';
	g_assert_cmpint(parse(text, QPEN_REQUEST_MAX + 1, &r), ==, REQUEST_TOO_LONG);
	g_assert_cmpstr(r.id, ==, QPEN_ID_NONE);

	memset(text, 0xff, sizeof text);
	g_assert_cmpint(parse(text, QPEN_REQUEST_MAX, &r), ==, REQUEST_UNKNOWN_VERB);
	/* The mailbox port tells of more bytes than it hands over: they must not be looked for. */
	g_assert_cmpint(request_parse(text, 100000, &r), ==, REQUEST_TOO_LONG);
}

/* Each byte in place of each character of a good request: refused, or a request in its own right.
 */
static void test_every_byte(void)
{
	static const char good[] = "send personal 17 #a1";

	for (size_t at = 0; at < strlen(good); at++) {
		for (int byte = 0; byte < 256; byte++) {
			char text[sizeof good];
			struct request r;

			memcpy(text, good, sizeof good);
			text[at] = (char)byte;
			if (parse(text, strlen(good), &r) != REQUEST_OK)
				continue;
			g_assert_cmpint(r.verb, ==, REQUEST_SEND);
			g_assert_true(qpen_is_vm_name(r.dest, strlen(r.dest)));
			g_assert_true(qpen_is_seq(r.seq, strlen(r.seq)));
			g_assert_cmpint(byte, >=, ' ');
			g_assert_cmpint(byte, <, 0x7f);
		}
	}
}

/* What stands in a reply's TEXT: ours, and not empty. */
static void test_texts(void)
{
	for (int r = REQUEST_OK; r <= REQUEST_BAD_FORMAT; r++) {
		const char *text = request_result_text((enum request_result)r);

		g_assert_cmpuint(strlen(text), >, 0);
		g_assert_cmpuint(strlen(text), <, 150);
		for (int other = REQUEST_OK; other < r; other++)
			g_assert_cmpstr(text, !=, request_result_text((enum request_result)other));
	}
	g_assert_cmpstr(pendrive_format_name(PENDRIVE_VFAT), ==, "vfat");
	g_assert_cmpstr(pendrive_format_name(PENDRIVE_NONE), ==, "none");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/request/accepted", test_accepted);
	g_test_add_func("/request/discard", test_discard);
	g_test_add_func("/request/refused", test_refused);
	g_test_add_func("/request/sizes", test_sizes);
	g_test_add_func("/request/longest", test_longest);
	g_test_add_func("/request/every-byte", test_every_byte);
	g_test_add_func("/request/texts", test_texts);
	return g_test_run();
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispvm_record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qpen_words.h"
#include "record_text.h"

#define DISPVM_RECORD_VERSION 1

void dispvm_record_format(const struct dispvm *d, char out[RECORD_MAX])
{
	int n = snprintf(out, RECORD_MAX,
		"version=%d\nnumber=%" PRIu64 "\nstate=%s\nvm=%" PRIu32 "\nvm-uuid=%s\nvm-name=%s"
		"\nlabel=%s\nopener=%" PRIu32 "\nopener-uuid=%s\nopener-name=%s\nseq=%s\nview=%d"
		"\nrequest=%" PRIu64 "\nkill-asked=%d\nanswer=%" PRIu64 "\nto-opener=%s"
		"\nstarted=%" PRId64 "\ndeadline=%" PRId64 "\n",
		DISPVM_RECORD_VERSION, d->number, dispvm_state_name(d->state), d->id.domid,
		d->id.uuid, d->id.name, d->label, d->opener.domid, d->opener.uuid, d->opener.name,
		d->seq, d->view, d->request, d->kill_asked, d->answer,
		d->to_opener.pending ? d->to_opener.id : "", d->started_ms, d->deadline_ms);

	assert(n > 0 && (size_t)n < RECORD_MAX);
}

static enum dispvm_state read_state(struct record_reader *r)
{
	const char *value;
	size_t len;

	record_next(r, "state", &value, &len);
	/* One that is gone has no record. */
	for (int s = 0; s < DISPVM_GONE; s++)
		if (qpen_is_word(value, len, dispvm_state_name((enum dispvm_state)s)))
			return (enum dispvm_state)s;
	r->ok = false;
	return DISPVM_GONE;
}

static void read_vm(struct record_reader *r, const char *const keys[3], struct vm_id *out)
{
	out->domid = (uint32_t)record_read_number(r, keys[0], UINT32_MAX);
	record_read_text(r, keys[1], out->uuid, sizeof out->uuid - 1);
	record_read_text(r, keys[2], out->name, QPEN_NAME_MAX);
}

/* What would have us destroy, or wait for, a VM that cannot be named. */
static bool fits(const struct dispvm *d)
{
	if (strlen(d->id.uuid) != sizeof d->id.uuid - 1)
		return false;
	return !dispvm_should_run(d) || d->id.domid > 0;
}

enum record_result dispvm_record_parse(const char *text, size_t len, struct dispvm *out)
{
	static const char *const vm_keys[] = {"vm", "vm-uuid", "vm-name"};
	static const char *const opener_keys[] = {"opener", "opener-uuid", "opener-name"};
	struct record_reader r = {.at = text, .end = text + len, .ok = true};
	struct dispvm d;

	memset(&d, 0, sizeof d);
	if (record_read_number(&r, "version", UINT64_MAX) != DISPVM_RECORD_VERSION)
		return r.ok ? RECORD_OTHER_VERSION : RECORD_BAD;
	d.number = record_read_number(&r, "number", UINT64_MAX);
	d.state = read_state(&r);
	read_vm(&r, vm_keys, &d.id);
	record_read_text(&r, "label", d.label, QPEN_LABEL_MAX);
	read_vm(&r, opener_keys, &d.opener);
	record_read_text(&r, "seq", d.seq, QPEN_SEQ_MAX);
	d.view = record_read_bool(&r, "view");
	d.request = record_read_number(&r, "request", UINT64_MAX);
	d.kill_asked = record_read_bool(&r, "kill-asked");
	d.answer = record_read_number(&r, "answer", UINT64_MAX);
	record_read_pending(&r, "to-opener", &d.to_opener);
	d.started_ms = (int64_t)record_read_number(&r, "started", INT64_MAX);
	d.deadline_ms = (int64_t)record_read_number(&r, "deadline", INT64_MAX);
	if (!r.ok || r.at != r.end || !fits(&d))
		return RECORD_BAD;
	*out = d;
	return RECORD_OK;
}

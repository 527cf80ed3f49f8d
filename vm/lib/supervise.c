/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervise.h"

static struct supervise_step change(
	struct supervise *s, enum supervise_state state, enum supervise_action action, int timer_ms)
{
	s->state = state;
	return (struct supervise_step){action, timer_ms};
}

/* The event means nothing in this state. */
static struct supervise_step ignore(struct supervise *s)
{
	return change(s, s->state, SUPERVISE_NOTHING, SUPERVISE_KEEP_TIMER);
}

static struct supervise_step stay_quiet(struct supervise *s)
{
	return change(s, SUPERVISE_IDLE, SUPERVISE_NOTHING, 0);
}

static struct supervise_step start(struct supervise *s)
{
	s->fresh = false;
	return change(s, SUPERVISE_WORKING, SUPERVISE_START, 0);
}

static struct supervise_step quit(struct supervise *s)
{
	return change(s, SUPERVISE_OVER, SUPERVISE_QUIT, 0);
}

static struct supervise_step terminate(struct supervise *s)
{
	return change(s, SUPERVISE_ENDING, SUPERVISE_TERMINATE, SUPERVISE_END_MS);
}

static struct supervise_step rest(struct supervise *s)
{
	int ms = SUPERVISE_REST_MS;

	for (unsigned i = 0; i < s->failures && ms < SUPERVISE_REST_MAX_MS; i++)
		ms *= 2;
	s->failures++;
	if (ms > SUPERVISE_REST_MAX_MS)
		ms = SUPERVISE_REST_MAX_MS;
	return change(s, SUPERVISE_RESTING, SUPERVISE_NOTHING, ms);
}

static struct supervise_step in_idle(struct supervise *s, enum supervise_event event)
{
	switch (event) {
	case SUPERVISE_CAME:
		return start(s);
	case SUPERVISE_STOP:
		return quit(s);
	case SUPERVISE_WENT:
	case SUPERVISE_ENDED:
	case SUPERVISE_FAILED:
	case SUPERVISE_DUE:
		break;
	}
	return ignore(s);
}

static struct supervise_step in_working(struct supervise *s, enum supervise_event event)
{
	switch (event) {
	case SUPERVISE_WENT:
	case SUPERVISE_STOP:
		return terminate(s);
	case SUPERVISE_ENDED:
		return stay_quiet(s);
	case SUPERVISE_FAILED:
		return s->present ? rest(s) : stay_quiet(s);
	case SUPERVISE_CAME:
	case SUPERVISE_DUE:
		break;
	}
	return ignore(s);
}

/* Whatever comes and goes meanwhile, the deadline stays where it is. */
static struct supervise_step in_ending(struct supervise *s, enum supervise_event event)
{
	switch (event) {
	case SUPERVISE_ENDED:
	case SUPERVISE_FAILED:
		if (s->stop)
			return quit(s);
		return s->fresh ? start(s) : stay_quiet(s);
	case SUPERVISE_DUE:
		return change(s, SUPERVISE_ENDING, SUPERVISE_KILL, 0);
	case SUPERVISE_CAME:
		s->fresh = true;
		break;
	case SUPERVISE_WENT:
		s->fresh = false;
		break;
	case SUPERVISE_STOP:
		break;
	}
	return ignore(s);
}

static struct supervise_step in_resting(struct supervise *s, enum supervise_event event)
{
	switch (event) {
	case SUPERVISE_DUE:
	case SUPERVISE_CAME:
		return start(s);
	case SUPERVISE_WENT:
		return stay_quiet(s);
	case SUPERVISE_STOP:
		return quit(s);
	case SUPERVISE_ENDED:
	case SUPERVISE_FAILED:
		break;
	}
	return ignore(s);
}

static void note(struct supervise *s, enum supervise_event event)
{
	if (event == SUPERVISE_CAME || event == SUPERVISE_WENT) {
		s->present = event == SUPERVISE_CAME;
		s->failures = 0;
	}
	if (event == SUPERVISE_STOP)
		s->stop = true;
}

struct supervise_step supervise_step(struct supervise *s, enum supervise_event event)
{
	note(s, event);
	switch (s->state) {
	case SUPERVISE_IDLE:
		return in_idle(s, event);
	case SUPERVISE_WORKING:
		return in_working(s, event);
	case SUPERVISE_ENDING:
		return in_ending(s, event);
	case SUPERVISE_RESTING:
		return in_resting(s, event);
	case SUPERVISE_OVER:
		break;
	}
	return ignore(s);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loop.h"

#include <errno.h>
#include <unistd.h>

static int epoll_fd = -1;
static bool is_stopping;
static GQueue timers = G_QUEUE_INIT; /* struct loop_timer, soonest first */
static GQueue tasks = G_QUEUE_INIT;  /* struct loop_task */

void loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		g_error("epoll_create1: %s", g_strerror(errno));
}

void loop_add(struct loop_source *source, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	source->fd = fd;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		g_error("epoll add: %s", g_strerror(errno));
}

void loop_change(struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		g_error("epoll change: %s", g_strerror(errno));
}

void loop_remove(struct loop_source *source)
{
	if (source->fd < 0)
		return;
	close(source->fd); /* which takes it out of the epoll set */
	source->fd = -1;
}

static int by_due_time(const void *a, const void *b, void *unused)
{
	const struct loop_timer *left = a, *right = b;

	(void)unused;
	return left->due_us < right->due_us ? -1 : left->due_us > right->due_us;
}

void loop_arm(struct loop_timer *timer, int64_t delay_ms)
{
	loop_disarm(timer);
	timer->due_us = g_get_monotonic_time() + delay_ms * 1000;
	g_queue_insert_sorted(&timers, timer, by_due_time, NULL);
	timer->link = g_queue_find(&timers, timer);
}

void loop_disarm(struct loop_timer *timer)
{
	if (!timer->link)
		return;
	g_queue_delete_link(&timers, timer->link);
	timer->link = NULL;
}

void loop_queue(struct loop_task *task)
{
	if (task->link)
		return;
	g_queue_push_tail(&tasks, task);
	task->link = tasks.tail;
}

void loop_unqueue(struct loop_task *task)
{
	if (!task->link)
		return;
	g_queue_delete_link(&tasks, task->link);
	task->link = NULL;
}

static void run_tasks(void)
{
	while (tasks.head) {
		struct loop_task *task = tasks.head->data;

		loop_unqueue(task);
		task->run(task->owner);
	}
}

static void run_due_timers(void)
{
	int64_t now_us = g_get_monotonic_time();

	while (timers.head) {
		struct loop_timer *timer = timers.head->data;

		if (timer->due_us > now_us)
			return;
		loop_disarm(timer);
		timer->on_time(timer->owner);
	}
}

static int wait_ms(void)
{
	if (!timers.head)
		return -1;
	const struct loop_timer *soonest = timers.head->data;
	int64_t left_us = soonest->due_us - g_get_monotonic_time();
	return left_us <= 0 ? 0 : (int)MIN(left_us / 1000 + 1, 60000);
}

void loop_run(void)
{
	while (!is_stopping) {
		struct epoll_event event;

		/* One event at a time: so none can be left over for a source that is gone. */
		int n = epoll_wait(epoll_fd, &event, 1, wait_ms());
		if (n < 0 && errno != EINTR)
			g_error("epoll_wait: %s", g_strerror(errno));
		if (n == 1) {
			struct loop_source *source = event.data.ptr;
			source->on_ready(source->owner, event.events);
		}
		run_due_timers();
		run_tasks();
	}
}

void loop_stop(void)
{
	is_stopping = true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "words.h"

const char *words_wait(enum qpen_wait wait)
{
	switch (wait) {
	case QPEN_WAIT_ASKING:
		return "waiting for the answer in dom0";
	case QPEN_WAIT_QUEUED:
		return "allowed; waiting until the receiver has unmounted its present pendrive";
	case QPEN_WAIT_STARTING:
		return "the pendrive is being attached";
	case QPEN_WAIT_PREPARING:
		return "dom0 is preparing what DisposableVMs are made from";
	case QPEN_WAIT_OPEN:
		return "opened";
	}
	return "waiting";
}

const char *words_error(enum qpen_error error)
{
	switch (error) {
	case QPEN_ERROR_BAD_REQUEST:
		return "dom0 did not understand the request; are the two sides of different "
		       "versions?";
	case QPEN_ERROR_NO_PENDRIVE:
		return "there is no pendrive in that slot";
	case QPEN_ERROR_HAVE_PENDRIVE:
		return "this VM has a pendrive at /dev/xvdg already; send that one first, "
		       "or give it up: /usr/lib/qubes/qubes_penctl discard";
	case QPEN_ERROR_BUSY:
		return "dom0 is still working on an earlier request of this VM; try again when it "
		       "is done";
	case QPEN_ERROR_SELF:
		return "a VM cannot send a pendrive to itself";
	case QPEN_ERROR_REFUSED:
		return "refused; the pendrive and what was on it are gone";
	case QPEN_ERROR_NO_SPACE:
		return "dom0 has no room for a pendrive of that size";
	case QPEN_ERROR_QUOTA:
		return "this VM has as many pendrives, or bytes in them, as it may have";
	case QPEN_ERROR_BAD_SIZE:
		return "dom0 does not allow a pendrive of that size";
	case QPEN_ERROR_TIMEOUT:
		return "a VM did not take or release the device in time";
	case QPEN_ERROR_CANCELLED:
		return "given up by this VM, or taken back by the user of dom0";
	case QPEN_ERROR_RECEIVER_GONE:
		return "allowed, but the receiver has stopped meanwhile";
	case QPEN_ERROR_QUEUE_FULL:
		return "allowed, but too many pendrives wait for the receiver";
	case QPEN_ERROR_NO_MEMORY:
		return "the host has no memory for another DisposableVM; close one, or stop a VM";
	case QPEN_ERROR_LIMIT:
		return "there are as many DisposableVMs as there may be; close one first";
	case QPEN_ERROR_NO_TRANSACTION:
		return "nobody waits for that answer";
	case QPEN_ERROR_LOST:
		return "the DisposableVM ended before its answer was stored; the file is as it was";
	case QPEN_ERROR_UNSUPPORTED:
		return "this dom0 does not serve such requests";
	case QPEN_ERROR_FAILED:
		return "it failed in dom0; the log there says why";
	}
	return "it failed in dom0";
}

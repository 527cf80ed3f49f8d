#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts one mistake at a time into the daemon's core and sees that the scenario tests notice it.

Each mistake is a text that stands in a source file exactly once, and what is written in its place. A text
that is not found is an error, so that the list stays true when the code changes.

CMake gives it the compiler and what to link; see CMakeLists.txt beside it.
"""
import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

CORE = "dom0/core/"
EXCHANGE = "dom0/daemon/exchange.c"
BUDGETS = "dom0/daemon/budgets.c"
DISPVM = CORE + "dispvm.c"
HISTORY = "dom0/daemon/history.c"
DISPOSABLES = "dom0/daemon/disposables.c"

# label, file, text, replacement
MUTANTS = [
    ("the sender keeps the disk while the user is asked", CORE + "transfer.c",
     "\ts->t->place = TRANSFER_NOWHERE;\n\tif (s->t->kind == TRANSFER_FILES", "\tif (s->t->kind == TRANSFER_FILES"),
    ("what is to be asked goes on unasked", CORE + "transfer.c", "\t} else if (s->t->ask) {\n", "\t} else if (false) {\n"),
    ("what the policy denies is asked", EXCHANGE, "\tif (ruling.decision.action == POLICY_DENY)\n\t\tto = NULL;", "\tif (false)\n\t\tto = NULL;"),
    ("a block is forgotten", EXCHANGE, "\tif (is_blocked(x, from->vm.id.name)) {\n", "\tif (false) {\n"),
    ("a block comes too early for a question", EXCHANGE,
     "t->state == TRANSFER_ASKING || (t->state == TRANSFER_FREEZING && t->ask)", "t->state == TRANSFER_ASKING"),
    ("a DisposableVM that is gone is asked about", DISPOSABLES,
     "(t->state == TRANSFER_FREEZING || t->state == TRANSFER_ASKING ||", "(t->state == TRANSFER_FREEZING ||"),
    ("a block is for ever", EXCHANGE, "\tif (until_ms && *until_ms <= exchange_now_ms(x)) {\n", "\tif (false) {\n"),
    ("what is denied is refused at once", CORE + "transfer.c",
     "\t\trefuse(s, s->now_ms + s->limits->ask_ms);\n", "\t\trefuse_now(s);\n"),
    ("a question about a blocked VM stands", EXCHANGE, "\t\texchange_feed(x, id, &no);\n", ""),
    ("asked before it is frozen", CORE + "transfer.c",
     "\t\tstart_detach(s, TRANSFER_FREEZING, false);\n",
     "\t\tadd(s, TRANSFER_ACT_ASK);\n\t\tchange_state(s, TRANSFER_ASKING, s->limits->ask_ms);\n"),
    ("an answer is not noted as given", CORE + "transfer.c",
     "\tstrcpy(action->id, s->t->to_sender.id);\n\ts->t->to_sender.pending = false;\n}\n\nstatic void fail_sender",
     "\tstrcpy(action->id, s->t->to_sender.id);\n}\n\nstatic void fail_sender"),
    ("an image is removed under its VM", CORE + "transfer.c",
     "\tif (t->place != TRANSFER_NOWHERE) {\n\t\tstart_detach",
     "\tif (t->place == TRANSFER_AT_RECEIVER) {\n\t\tstart_detach"),
    ("a delivery is not told", CORE + "transfer.c",
     '\treply_sender(s, true, QPEN_ERROR_FAILED, "delivered");\n', ""),
    ("a discard is not answered", CORE + "transfer.c",
     "\tif (t->place == TRANSFER_NOWHERE)\n\t\treply_discard_ok(s);\n", ""),
    ("a discard is answered before the disk is out of reach", CORE + "transfer.c",
     "\tif (t->place == TRANSFER_NOWHERE)\n\t\treply_discard_ok(s);\n", "\treply_discard_ok(s);\n"),
    ("a question about what was given up stands", CORE + "transfer.c",
     "\t\tadd(s, TRANSFER_ACT_WITHDRAW);\n\t\tgiven_up(s, ev);\n", "\t\tgiven_up(s, ev);\n"),
    ("what was given up is not told to whom sent it", CORE + "transfer.c",
     '\tfail_sender(s, QPEN_ERROR_CANCELLED, "given up by this VM");\n', ""),
    ("what is delivered can be given up", CORE + "transfer.c",
     "\tcase TRANSFER_REFUSING:\n\t\treturn true;\n\tcase TRANSFER_DISCARDING:\n\t\treturn t->place == TRANSFER_AT_SENDER;\n\tcase TRANSFER_DELIVERED:\n",
     "\tcase TRANSFER_REFUSING:\n\tcase TRANSFER_DELIVERED:\n\t\treturn true;\n\tcase TRANSFER_DISCARDING:\n\t\treturn t->place == TRANSFER_AT_SENDER;\n"),
    ("a discard tells of a refusal", CORE + "transfer.c",
     "\tcase TRANSFER_REFUSING:\n\t\treturn true;\n", "\t\treturn true;\n\tcase TRANSFER_REFUSING:\n"),
    ("any request's pendrive is given up", CORE + "transfer.c",
     "(!of[0] || strcmp(t->to_sender.id, of) == 0)", "(!of[0] || t->to_sender.id != of)"),
    ("anybody's pendrive is given up", EXCHANGE,
     "\tif (node->entry.sender == wanted->sender &&\n", "\tif (node->entry.sender &&\n"),
    ("a second discard takes the place of the first", CORE + "registry.c",
     "\tif (e->t.state == TRANSFER_DISCARDING && e->t.to_sender.pending)\n", "\tif (false)\n"),
    ("an umount is not answered", CORE + "transfer.c",
     "\tcase TRANSFER_EV_DETACHED:\n\t\ts->t->place = TRANSFER_NOWHERE;\n\t\treply_receiver_ok(s);\n",
     "\tcase TRANSFER_EV_DETACHED:\n\t\ts->t->place = TRANSFER_NOWHERE;\n"),
    ("no deadline", CORE + "transfer.c",
     "\ts->t->deadline_ms = s->now_ms + timeout_ms;\n",
     "\ts->t->deadline_ms = INT64_MAX - 1 + 0 * timeout_ms;\n"),
    ("a dead sender's question is left standing", CORE + "transfer.c",
     "\tcase TRANSFER_EV_SENDER_GONE:\n\t\tadd(s, TRANSFER_ACT_WITHDRAW);\n",
     "\tcase TRANSFER_EV_SENDER_GONE:\n"),
    ("a detach told twice is believed", CORE + "transfer.c",
     "\treturn of_disk && event->place != t->place;\n",
     "\treturn of_disk && event->place == TRANSFER_NOWHERE;\n"),
    ("the slot is given back before the disk is", CORE + "transfer.c",
     "\treturn t->place == TRANSFER_AT_RECEIVER;\n",
     "\treturn t->place == TRANSFER_AT_RECEIVER && t->state != TRANSFER_TAKING_BACK;\n"),
    ("no force after the polite detach", CORE + "transfer.c",
     "\t\tif (!s->t->forced) {\n\t\t\tstart_detach(s, TRANSFER_FREEZING, true);\n\t\t\treturn;\n\t\t}\n",
     ""),
    ("refusals are told at once", CORE + "transfer.c",
     "\tif (!s->limits->hide_refusals || !s->t->to_sender.pending) {",
     "\tif (true) {"),
    ("a mailbox that could not be made is forgotten", EXCHANGE, "\tif (node)\n\t\tlook_again(x, node);\n\telse if", "\tif"),
    ("what was refused is removed at once", CORE + "transfer.c",
     "\ts->t->deadline_ms = until_ms;\n", "\ts->t->deadline_ms = until_ms;\n\tadd(s, TRANSFER_ACT_REMOVE);\n"),
    ("a missing VM is refused at another time", CORE + "transfer.c",
     "\t\trefuse(s, s->now_ms + s->limits->ask_ms);\n",
     "\t\trefuse(s, s->now_ms + s->limits->ask_ms - 1);\n"),
    ("a restart forgets what was being made", CORE + "transfer.c",
     "\t\tt->making = true;\n\t\tadd(&s, TRANSFER_ACT_MAKE);\n",
     "\t\tt->making = true;\n"),
    ("every slot is free", CORE + "registry.c",
     "\tif (!receiver->incoming && !receiver->queue)\n",
     "\tif (true)\n"),
    ("one pendrive more than the VM's share", CORE + "registry.c",
     "vm->n_pendrives >= l->max_pendrives_per_vm", "vm->n_pendrives > l->max_pendrives_per_vm"),
    ("one more in the queue", CORE + "registry.c",
     "receiver->n_queued >= r->limits.max_queue", "receiver->n_queued > r->limits.max_queue"),
    ("bytes are not counted", CORE + "registry.c",
     "\tr->pendrive_bytes += e->t.size_bytes;\n", ""),
    ("new while there is one", CORE + "registry.c",
     "\tif (vm->outgoing) {\n", "\tif (vm->outgoing && !vm->id.uuid[0]) {\n"),
    ("umount of what is being taken back", CORE + "registry.c",
     "\tif (vm->incoming->t.state != TRANSFER_DELIVERED &&",
     "\tif (vm->incoming->t.state == TRANSFER_MAKING &&"),
    ("the last in the queue comes first", CORE + "registry.c",
     "\twhile (*at)\n\t\tat = &(*at)->next_queued;\n\t*at = e;\n",
     "\te->next_queued = *at;\n\t*at = e;\n"),
    ("who waits for an answer is not recorded", CORE + "record.c",
     't->to_receiver.pending ? t->to_receiver.id : ""', '""'),
    ("done before it is written", EXCHANGE,
     "\tchange.transfer = step_attaches(step) ? NULL : t;\n", "\tchange.transfer = NULL;\n"),
    ("deadlines are not armed", EXCHANGE,
     "\tdues_arm(x->dues, &node->deadline, e->t.deadline_ms);\n", ""),
    ("the queue is not served", EXCHANGE,
     "\tif (receiver)\n\t\tserve_queue(x, receiver);\n", "\t(void)receiver;\n"),
    ("the queue is not served after a restart", EXCHANGE,
     "\t\tserve_queue(x, &((struct vm_node *)value)->vm);\n", "\t\t;\n"),
    ("who stopped while no daemon ran is taken for alive", EXCHANGE,
     "\tif (receiver_died && find_entry(x, id))\n", "\tif (false)\n"),
    ("another VM of the same number is the same", EXCHANGE,
     "\tif (rc == 0 && strcmp(now.uuid, node->vm.id.uuid) == 0) {\n", "\tif (rc == 0) {\n"),
    ("a yes is not checked against deaths", EXCHANGE,
     "\tif (yes && e->t.kind != TRANSFER_REQUEST && !receiver_is_there(x, e)) {\n", "\tif (yes && false) {\n"),
    ("images are swept with those in use", EXCHANGE,
     "(const char *const *)images->pdata, images->len);",
     "(const char *const *)images->pdata, 0);"),
    ("what is written in between passes for the request", EXCHANGE,
     "\tguint32 serving = x->serving;\n", "\tguint32 serving = x->serving;\n\tif (0)"),
    ("a block ends with the daemon", EXCHANGE, "\twrite_blocked(x, name, at_ms);\n", ""),
    ("what is unblocked is blocked again by a restart", EXCHANGE,
     "\t\tg_message(\"VM %s is not blocked any more\", log_name(name));\n\t\tdrop_blocked(x, name);\n",
     "\t\tg_message(\"VM %s is not blocked any more\", log_name(name));\n"),
    ("a restart makes a block longer", EXCHANGE, "\t} else if (b.until_ms <= exchange_now_ms(x)) {\n", "\t} else if (false) {\n"),
    ("no budget", EXCHANGE,
     "\tbucket_take(&node->requests, limits, now_ms);\n", ""),
    ("an empty mailbox costs as much as a request", EXCHANGE,
     "\t\tbucket_give_back(&node->requests, &x->limits.requests);\n", "\t\t;\n"),
    ("questions cost nothing", EXCHANGE,
     "\tbudgets_take(x->budgets, &vm->vm.id, &x->limits.questions, exchange_now_ms(x));\n", ""),
    ("a question about a VM that is none costs nothing", EXCHANGE,
     "\tif (ruling.decision.action == POLICY_ALLOW || blocked)\n", "\tif (!to || ruling.decision.action == POLICY_ALLOW || blocked)\n"),
    ("a DisposableVM's question costs nothing", EXCHANGE,
     "\tif (event.ask)\n\t\tspend_question(x, vm);\n", ""),
    ("another uuid gives new questions", BUDGETS,
     "\treturn have(b, name_key(vm), limits, now_ms) && have(b, uuid_key(vm), limits, now_ms);\n",
     "\treturn have(b, uuid_key(vm), limits, now_ms);\n"),
    ("another name gives new questions", BUDGETS,
     "\treturn have(b, name_key(vm), limits, now_ms) && have(b, uuid_key(vm), limits, now_ms);\n",
     "\treturn have(b, name_key(vm), limits, now_ms);\n"),
    ("all may wait at once", EXCHANGE,
     "registry_may_ask(&x->registry, waiting.n_own, waiting.n_all) &&", "true &&"),
    ("each question too many is told", BUDGETS,
     "\tif (silence) {\n\t\tsilence->n_refused++;\n\t\treturn FALSE;", "\tif (silence) {\n\t\tsilence->n_refused++;\n\t\treturn TRUE;"),
    ("what was refused in silence is never told", EXCHANGE,
     "\tif (budgets_refused(x->budgets, name, now_ms))\n\t\ttell_too_often(x, name, 1);\n\tarm_notices(x);\n",
     "\tif (budgets_refused(x->budgets, name, now_ms))\n\t\ttell_too_often(x, name, 1);\n"),
    ("a deleted mailbox is not made anew", EXCHANGE,
     "\t\tif (still_there(x, node))\n\t\t\topen_mailbox(x, domid);\n", "\t\tif (still_there(x, node))\n\t\t\treturn;\n"),
    ("a bad request is not answered", EXCHANGE,
     "\telse\n\t\tanswer_error(x, node, request.id,",
     "\telse if (false)\n\t\tanswer_error(x, node, request.id,"),
    ("a killme ends what is on its way", DISPVM,
     "\tcase DISPVM_EV_KILLME:\n\t\ts->d->kill_asked = true;\n", "\tcase DISPVM_EV_KILLME:\n\t\tlost(s);\n"),
    ("an end during the answer is forgotten", DISPVM,
     "\t\ts->d->kill_asked = true; /* and it cannot try again */\n", "\t\tignore(s);\n"),
    ("a DisposableVM runs before it has its file", DISPVM,
     "\tadd(s, DISPVM_ACT_TELL_READY);\n\tchange_state(s, DISPVM_READY, s->limits->life_ms);\n}",
     "\tadd(s, DISPVM_ACT_UNPAUSE);\n\tadd(s, DISPVM_ACT_TELL_READY);\n"
     "\tchange_state(s, DISPVM_READY, s->limits->life_ms);\n}"),
    ("what was only to be looked at comes back", DISPVM, "!d->view && ", ""),
    ("any SEQ is the right one", DISPVM, " &&\n\t       strcmp(d->seq, request->seq) == 0", ""),
    ("an answer to anybody is one to the opener", DISPVM,
     "strcmp(d->opener.name, request->dest) == 0 &&", ""),
    ("no change is not told", DISPVM, '\t\treply(s, true, QPEN_ERROR_FAILED, "unchanged");\n', ""),
    ("half a VM is taken for none", DISPVM,
     "\t\tadd(&s, DISPVM_ACT_DESTROY);\n\t\tchange_state(&s, DISPVM_CLEARING",
     "\t\tchange_state(&s, DISPVM_CLEARING"),
    ("a restart forgets to tell of a VM", DISPVM,
     "\t\tadd(&s, DISPVM_ACT_TELL_READY);\n\t\treturn;\n\tcase DISPVM_DESTROYING:", "\t\treturn;\n\tcase DISPVM_DESTROYING:"),
    ("which opener waits is not recorded", CORE + "dispvm_record.c",
     'd->to_opener.pending ? d->to_opener.id : ""', '""'),
    ("a DisposableVM outlives its opener", DISPOSABLES,
     "\tfeed_chosen(x, is_of_opener, id, &opener_gone);\n", ""),
    ("one more than the opener's share", DISPOSABLES, ">= l->max_per_opener", "> l->max_per_opener"),
    ("one more in all", DISPOSABLES,
     "- n_useless >= l->max_total)", "- n_useless > l->max_total)"),
    ("the pool of an old template stays in the way", DISPOSABLES, "\t\tshrink_pool(x, 0);\n\t\treturn;\n", "\t\treturn;\n"),
    ("the pool of an old template is used", DISPOSABLES,
     "pooled = prepared ? choose_first(x, is_pooled, NULL) : NULL;",
     "pooled = choose_first(x, is_pooled, NULL);"),
    ("ids are used again", DISPOSABLES,
     "\tx->last_id = MAX(x->last_id, MAX(d.request, d.answer));\n", ""),
    ("a VM's end was written, its request not told", DISPOSABLES,
     "\tfail_unserved(x);\n", ""),
    ("what the opener gives back was not stored", DISPOSABLES,
     "\tif (event && event->kind == TRANSFER_EV_UMOUNT)\n", "\tif (false)\n"),
    ("the pool keeps what the host needs", DISPOSABLES,
     "\t\tshrink_pool(x, count(x, is_pooled, NULL) - 1);\n", ""),
    ("a pendrive in the slot of a closed DisposableVM", EXCHANGE,
     "\tif (to && disposables_is_closed(x, &to->vm.id))\n", "\tif (false)\n"),
    ("nobody looks whether a VM has shut down", EXCHANGE,
     "\tupdate_vms(ctx, TRUE, FALSE);\n\tdisposables_look(ctx);\n", "\tupdate_vms(ctx, TRUE, FALSE);\n"),
    ("an answer finds the queue full", EXCHANGE,
     "\tif (slot == TRANSFER_SLOT_QUEUE_FULL && e->t.kind == TRANSFER_ANSWER)\n", "\tif (false)\n"),
    ("a DisposableVM's step is not written down", EXCHANGE,
     "\tchange.dispvm = turn->node ? &turn->node->d : NULL;\n", "\tchange.dispvm = NULL;\n"),
    ("each wrong answer is logged", EXCHANGE, "\t\tvm->told_of_answers = TRUE;\n", ""),
    ("the history has no ends", EXCHANGE, "\thistory_write(x, history);\n", ""),
    ("the history has no ends of DisposableVMs", DISPOSABLES, "\tif (turn->ended)\n", "\tif (false)\n"),
    ("an end is told with each step of it", CORE + "audit.c", "\tif (is_over(before) || !is_over(after))\n", "\tif (!is_over(after))\n"),
    ("what came back counts as taken back", CORE + "audit.c", "\telse if (before->to_receiver.pending)\n", "\telse if (false)\n"),
    ("a block counts as the user's no", CORE + "audit.c", "\tif (event->by_block)\n", "\tif (false)\n"),
    ("nobody knows who answered", EXCHANGE, "\t\t.uid_known = answer->uid_known,\n", ""),
    ("a question counts from the start of the daemon", HISTORY, "\t\tnode->asked_ms = exchange_now_ms(x);\n", ""),
    ("what was decided when it was sent is not told", HISTORY, "\t\tif (ruling->decision.action != POLICY_ASK) {\n", "\t\tif (false) {\n"),
    ("a refused send renames its sender", EXCHANGE,
     "\tif (strcmp(request->dest, QPEN_DISPOSABLE) == 0)\n",
     "\tstrcpy(vm->vm.outgoing->t.sender.name, vm->vm.id.name);\n"
     "\tif (strcmp(request->dest, QPEN_DISPOSABLE) == 0)\n"),
]


def options():
    parser = argparse.ArgumentParser(description="do the scenario tests notice mistakes?")
    parser.add_argument("--source", required=True, help="the top of the tree")
    parser.add_argument("--cc", required=True)
    parser.add_argument("--flags", required=True, help="to compile with")
    parser.add_argument("--libs", required=True, help="to link with, in order")
    parser.add_argument("--test", action="append", required=True, metavar="NAME=OBJECT")
    parser.add_argument("label", nargs="*", help="only the mistakes whose label contains that")
    return parser.parse_args()


def read(opts, path):
    with open(os.path.join(opts.source, path), encoding="utf-8") as file:
        return file.read()


def pattern(text):
    """Finds the text however it is broken into lines."""
    return re.compile(r"(?<!\w)" + r"\s*".join(re.escape(token) for token in re.findall(r"\w+|[^\w\s]", text)))


def count(path_text, old):
    return len(pattern(old).findall(path_text))


def compile_mutant(opts, folder, path, text):
    source = os.path.join(folder, "mutant.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    mutant = os.path.join(folder, "mutant.o")
    where = os.path.join(opts.source, os.path.dirname(path))
    subprocess.run([opts.cc, *shlex.split(opts.flags), "-w", "-I" + where, "-c", source, "-o", mutant],
                   check=True)
    return mutant


def passes(program):
    env = dict(os.environ, QFX_RUNS="400")
    try:
        run = subprocess.run([program], env=env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def noticed_by(opts, folder, mutant):
    """The first of the test programs that fails with it."""
    for test in opts.test:
        name, objects = test.split("=", 1)
        program = os.path.join(folder, name)
        # Before the libraries: what is defined already is not taken from them.
        subprocess.run([opts.cc, *shlex.split(opts.flags), mutant, *objects.split(","),
                        *shlex.split(opts.libs), "-o", program], check=True)
        if not passes(program):
            return name
    return None


def main():
    opts = options()
    missed = 0
    chosen = [m for m in MUTANTS if not opts.label or any(word in m[0] for word in opts.label)]
    texts = {path: read(opts, path) for _, path, _, _ in MUTANTS}
    stale = [(label, path, count(texts[path], old)) for label, path, old, _ in MUTANTS
             if count(texts[path], old) != 1]
    for label, path, n in stale:
        print(f"{path} has {n} times the text of '{label}'")
    if stale:
        return 1
    for label, path, old, new in chosen:
        start = time.monotonic()
        text = pattern(old).sub(lambda _, new=new: new, texts[path])
        with tempfile.TemporaryDirectory() as folder:
            by = noticed_by(opts, folder, compile_mutant(opts, folder, path, text))
        print(f"{time.monotonic() - start:5.1f} s  {label}: {'seen by ' + by if by else 'NOT SEEN'}",
              flush=True)
        missed += by is None
    print(f"{len(chosen) - missed} of {len(chosen)} mistakes were seen")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

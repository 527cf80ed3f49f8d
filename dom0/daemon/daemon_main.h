/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole daemon; apart from main() so that the store tests link it with simulated loop devices.
 */
#ifndef QFX_DAEMON_MAIN_H
#define QFX_DAEMON_MAIN_H

/* `domains_program` makes DisposableVMs; its absolute path. Returns the exit status. */
int daemon_main(int argc, char **argv, const char *domains_program);

#endif

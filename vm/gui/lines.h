/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text of several lines that may be shown. Pure. */
#ifndef QFX_VM_GUI_LINES_H
#define QFX_VM_GUI_LINES_H

/* As vm_printable() has it, but the line ends stay. The caller frees it. */
char *lines_printable(const char *untrusted);

/* The same of what `program` has written to its standard error, without its name before each line,
 * which whoever sees a window did not type. */
char *lines_of_program(const char *program, const char *untrusted);

#endif

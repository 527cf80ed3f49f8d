/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket on which a test commands simvm: one line a request, `TAG VERB key=value...`,
 * values escaped as in a URL.
 * Every line of the answer starts with the TAG: any number of `TAG - DATA`, then `TAG ok [DATA]`
 * or `TAG error TEXT`. Answers may come in another order than the requests. `help` lists the verbs.
 */
#ifndef QFX_SIMVM_CONTROL_H
#define QFX_SIMVM_CONTROL_H

void control_open(const char *socket_path);

#endif

# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash

_qvm_desktop() {
	local cur prev words cword split
	_init_completion -s || return
	mapfile -t COMPREPLY < <(compgen -W "$(_parse_help "$1")" -- "$cur")
} && complete -F _qvm_desktop qvm-incoming-notify

# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash

_qfilexchg_agent() {
	local cur prev words cword split
	_init_completion -s || return
	mapfile -t COMPREPLY < <(compgen -W "$(_parse_help "$1")" -- "$cur")
} && complete -F _qfilexchg_agent qfilexchg-agent

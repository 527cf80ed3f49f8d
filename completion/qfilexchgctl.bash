# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash

_qfilexchgctl() {
	local cur prev words cword
	_init_completion || return
	local offer=/usr/share/qfilexchgd/completion-words list=
	case $cword:${words[1]}:${words[2]-} in
	1:*) list="list show cancel dvm block unblock blocked agent history policy" ;;
	2:show:* | 2:cancel:*) list=$("$offer" ids) ;;
	2:dvm:*) list="prepare destroy" ;;
	3:dvm:destroy) list=$("$offer" disposables) ;;
	2:block:*) list=$("$offer" vms) ;;
	2:unblock:*) list=$("$offer" blocked) ;;
	2:policy:*) list="check explain list forget" ;;
	3:policy:check) _filedir && return ;;
	3:policy:explain | 3:policy:forget) list=$("$offer" vms) ;;
	4:policy:explain) list="$("$offer" vms) disposable" ;;
	4:policy:forget) list=$("$offer" vms) ;;
	esac
	if [[ $cur == -* ]]; then
		list=$(_parse_help "$1")
	fi
	mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur")
} && complete -F _qfilexchgctl qfilexchgctl

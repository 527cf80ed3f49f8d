# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash

_qfilexchgd() {
	local cur prev words cword split
	_init_completion -s || return
	case $prev in
	--config | --savefile | -c)
		_filedir
		return
		;;
	esac
	$split && return
	local list=
	if [[ $cur == -* ]]; then
		list=$(_parse_help "$1")
	elif [[ ${1##*/} == qfilexchg-domains ]]; then
		list="make unpause destroy survey prepare"
	fi
	mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur")
	[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
} && complete -F _qfilexchgd qfilexchgd qfilexchg-domains

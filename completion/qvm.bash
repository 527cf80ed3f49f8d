# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For the programs in a VM. Names of VMs are never offered: a VM does not know the others.

# How many words before the cursor are no options.
_qvm_arguments() {
	local i count=0
	for ((i = 1; i < cword; i++)); do
		[[ ${words[i]} == -* ]] || ((count++))
	done
	echo "$count"
}

_qvm() {
	local cur prev words cword split list=
	_init_completion -s || return
	case $prev in
	--take)
		_filedir -d
		return
		;;
	--size | --timeout | -t | --from | --offset | --opener | --mode | --config) return ;;
	esac
	$split && return
	if [[ $cur == -* ]]; then
		list=$(_parse_help "$1")
	else
		case ${1##*/}:$(_qvm_arguments) in
		qvm-copy-to-vm:0 | qvm-move-to-vm:0) return ;;
		qvm-copy-to-vm:* | qvm-move-to-vm:* | qvm-open-in-dvm:0)
			_filedir
			return
			;;
		qubes_penctl:0) list="new send umount discard killme" ;;
		qubes_penctl:*) [[ ${words[1]} == new ]] && list="size= format=vfat format=none" ;;
		qubes_add_pendrive_script:0) list=xvdh ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur")
	[[ ${COMPREPLY-} == *= ]] && compopt -o nospace
} && complete -F _qvm qubes_penctl qvm-copy-to-vm qvm-move-to-vm qvm-incoming qvm-open-in-dvm \
	qubes_add_pendrive_script qubes_dvm_open qubes_dvm_read qubes_dvm_seed qubes_dvm_store

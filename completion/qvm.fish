# SPDX-License-Identifier: GPL-2.0-or-later
# For the programs in a VM. Names of VMs are never offered: a VM does not know the others. One file for
# all of them: it is called after the one that is asked for.

function __qvm_words
    set -l words (commandline -opc)
    set -l arguments (string match -v -- '-*' $words[2..-1])
    if test "$words[-1]" = --take
        __fish_complete_directories (commandline -ct)
        return
    else if contains -- "$words[-1]" -t --timeout --size --from --offset --opener --mode --config
        return
    else if string match -q -- '-*' (commandline -ct)
        $words[1] --help | string match -rg '^ +(?:-\w, )?(--[a-z-]+=?)'
        return
    end
    switch (path basename $words[1]):(count $arguments)
        case 'qvm-copy-to-vm:0' 'qvm-move-to-vm:0'
            return
        case 'qvm-copy-to-vm:*' 'qvm-move-to-vm:*' 'qvm-open-in-dvm:0'
            __fish_complete_path (commandline -ct)
        case 'qubes_penctl:0'
            printf '%s\n' new send umount discard killme
        case 'qubes_penctl:*'
            test $arguments[1] = new && printf '%s\n' size= format=vfat format=none
        case 'qubes_add_pendrive_script:0'
            echo xvdh
    end
end

complete -c (status basename | string replace -r '\.fish$' '') -f -a '(__qvm_words)'

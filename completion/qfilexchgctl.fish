# SPDX-License-Identifier: GPL-2.0-or-later

function __qfilexchgctl_words
    set -l words (commandline -opc)
    set -l offer /usr/share/qfilexchgd/completion-words
    if string match -q -- '-*' (commandline -ct)
        $words[1] --help | string match -rg '^ +(?:-\w, )?(--[a-z-]+=?)'
        return
    end
    switch (count $words)":$words[2]:$words[3]"
        case '1:*'
            printf '%s\n' list show cancel dvm block unblock blocked agent history policy
        case '2:show:*' '2:cancel:*'
            $offer ids
        case '2:dvm:*'
            printf '%s\n' prepare destroy
        case '3:dvm:destroy'
            $offer disposables
        case '2:block:*'
            $offer vms
        case '2:unblock:*'
            $offer blocked
        case '2:policy:*'
            printf '%s\n' check explain list forget
        case '3:policy:check'
            __fish_complete_path (commandline -ct)
        case '3:policy:explain' '3:policy:forget' '4:policy:forget'
            $offer vms
        case '4:policy:explain'
            $offer vms
            echo disposable
    end
end

complete -c qfilexchgctl -f -a '(__qfilexchgctl_words)'

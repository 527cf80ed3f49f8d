# SPDX-License-Identifier: GPL-2.0-or-later

function __qvm_desktop_words
    if string match -q -- '-*' (commandline -ct)
        set -l words (commandline -opc)
        $words[1] --help | string match -rg '^ +(?:-\w, )?(--[a-z-]+=?)'
    end
end

complete -c qvm-incoming-notify -f -a '(__qvm_desktop_words)'

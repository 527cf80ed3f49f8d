# SPDX-License-Identifier: GPL-2.0-or-later
# One file for several programs: it is called after the one that is asked for.

function __qfilexchgd_words
    set -l words (commandline -opc)
    if contains -- $words[-1] -c --config --savefile
        __fish_complete_path (commandline -ct)
    else if string match -q -- '-*' (commandline -ct)
        $words[1] --help | string match -rg '^ +(?:-\w, )?(--[a-z-]+=?)'
    else if string match -q '*qfilexchg-domains' $words[1]
        printf '%s\n' make unpause destroy survey prepare
    end
end

complete -c (status basename | string replace -r '\.fish$' '') -f -a '(__qfilexchgd_words)'

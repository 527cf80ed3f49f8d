# SPDX-License-Identifier: GPL-2.0-or-later

function __qfilexchg_agent_words
    if string match -q -- '-*' (commandline -ct)
        set -l words (commandline -opc)
        $words[1] --help | string match -rg '^ +(?:-\w, )?(--[a-z-]+=?)'
    end
end

complete -c qfilexchg-agent -f -a '(__qfilexchg_agent_words)'

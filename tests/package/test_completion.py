# SPDX-License-Identifier: GPL-2.0-or-later
"""What the real shells offer when Tab is pressed, with the installed files and the real programs.

In dom0 qfilexchgctl and xl are stand-ins: what they print is what there is to offer.
"""
import os
import re
import subprocess
import unittest

import installed
from installed import COMPONENTS, scratch

CTL = r"""#!/bin/sh
case "$*" in
list) printf '%s\n' '  ID  STATE          SENDER            RECEIVER                SIZE       AGE' \
	'   7  asking         work              personal            1.1 GB      12 s' \
	'  12  lent           mail              -                   1.1 GB       3 s' '' \
	'DISPOSABLEVM      STATE          OPENER                 SEQ       AGE' \
	'disp3             open           work                     1       5 s' ;;
blocked) echo 'evil              for 10 min' ;;
'policy list') printf '%s\n' 'SOURCE            DEST              ANSWER  FOR' 'bank              vault             deny    always' ;;
*) exec "$QFX_REAL" "$@" ;;
esac
"""
XL = r"""#!/bin/sh
printf '%s\n' 'Name                                        ID   Mem VCPUs	State	Time(s)' \
	'Domain-0                                     0  1536     1     r-----     334.2' \
	'work                                         2   300     1     -b----     290.9'
"""
VMS = {"work", "personal", "mail", "bank", "vault"}

# Each prints what is offered for the command line in $1 and on, the last word being the one to complete.
BASH = r"""
source /usr/share/bash-completion/bash_completion
source "$COMPLETIONS/bash-completion/completions/${1##*/}"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMP_KEY=9
compopt() { :; }
function=$(complete -p "${1##*/}" | sed 's/.*-F \([^ ]*\) .*/\1/')
"$function" "$1" "${*: -1}" "${*: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
"""
FISH = r"""
set -p fish_complete_path $COMPLETIONS/fish/vendor_completions.d
complete -C (string join ' ' -- $argv)
"""
# A terminal of its own, in which Tab is pressed; compadd says what it is given. What is waited for is written
# in two parts, since the terminal may show the command itself.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "stty -echo; PS1= PROMPT_EOL_MARK=; LISTMAX=10000; fpath=($COMPLETIONS/zsh/site-functions \$fpath)"
zpty -w shell 'autoload -Uz compinit; compinit -D -u; setopt no_beep; zstyle ":completion:*" insert-unambiguous no
compadd() {
	[[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]] && { builtin compadd "$@"; return }
	typeset -a found
	builtin compadd -O found "$@"
	print -lr -- "" "<"${^found}">"
	builtin compadd "$@"
}
finish() { print -r -- "<<E""ND>>"; exit }
report() { zle complete-word; finish }
zle -N report; bindkey "^I" report; print -r -- "<<REA""DY>>"'
zpty -r shell ready '*<<READY>>*' || exit 1
zpty -n -w shell "$*"$'\t'
while zpty -r shell line '*
'; do
	print -rn -- "$line"
	[[ $line == *'<<END>>'* ]] && break
done
"""


def bin_folder():
    """The programs of all components, side by side as on no system, with the stand-ins for those of dom0."""
    folder = scratch() / "bin"
    if not folder.exists():
        folder.mkdir()
        for component in COMPONENTS:
            for program in installed.programs(component):
                if program.name != "qfilexchgctl":
                    (folder / program.name).symlink_to(program)
        for name, text in (("qfilexchgctl", CTL), ("xl", XL)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
    return folder


def completions():
    """The installed completions; the program for words where this tree put it."""
    folder = scratch() / "share"
    if not folder.exists():
        words = installed.tree("dom0") / "usr/share/qfilexchgd/completion-words"
        for component in COMPONENTS:
            root = installed.tree(component) / "usr/share"
            for path in root.rglob("*"):
                relative = path.relative_to(root)
                if path.is_file() and relative.parts[0] in ("bash-completion", "fish", "zsh"):
                    target = folder / relative
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(path.read_text().replace("/usr/share/qfilexchgd/completion-words", str(words)))
    return folder


class Shell:
    """One of the three; a mixin of what each of them has to offer."""

    argv = []

    def offered(self, *words, cwd=None):
        environment = dict(os.environ, PATH=f"{bin_folder()}:/usr/bin:/bin", COMPLETIONS=str(completions()), LC_ALL="C.UTF-8",
                           QFX_REAL=str(installed.tree("dom0") / "usr/bin/qfilexchgctl"), HOME=str(scratch()),
                           XDG_CONFIG_HOME=str(scratch()), XDG_DATA_HOME=str(scratch()), TERM="dumb", G_MESSAGES_DEBUG="")
        done = subprocess.run([*self.argv, *words], capture_output=True, text=True, check=False, timeout=120,
                              env=environment, cwd=cwd or scratch(), stdin=subprocess.DEVNULL)
        self.assertEqual(done.stderr, "")
        return self.parse(done.stdout)

    def parse(self, text):
        # fish adds what it knows of a word, behind a tab.
        return {line.partition("\t")[0] for line in text.splitlines() if line}

    def options_of(self, program):
        text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
        return {option.rstrip("=") for option in re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.M)}

    def test_all_options_of_every_program(self):
        for component in COMPONENTS:
            for program in installed.programs(component):
                if program.name.endswith("-gui"):
                    continue  # run by other programs, never typed
                with self.subTest(program.name):
                    found = {word.rstrip("=") for word in self.offered(program.name, "--")}
                    self.assertEqual(found, self.options_of(program))

    def test_commands_of_qfilexchgctl(self):
        text = subprocess.run([installed.tree("dom0") / "usr/bin/qfilexchgctl", "--help"], capture_output=True, text=True,
                              check=True).stdout.partition("Help Options")[0].partition("Commands:")[2]
        commands = set(re.findall(r"^ +([a-z]+)", text, re.M))
        self.assertGreater(len(commands), 6)
        self.assertEqual(self.offered("qfilexchgctl", ""), commands)
        self.assertEqual(self.offered("qfilexchgctl", "policy", ""),
                         set(re.findall(r"^ +policy ([a-z]+)", text, re.M)))
        self.assertEqual(self.offered("qfilexchgctl", "dvm", ""), {"prepare", "destroy"})

    def test_in_dom0_what_there_is(self):
        for words, wanted in ((("show", ""), {"7", "12"}), (("cancel", ""), {"7", "12"}), (("dvm", "destroy", ""), {"disp3"}),
                              (("block", ""), VMS), (("unblock", ""), {"evil"}), (("policy", "explain", ""), VMS),
                              (("policy", "explain", "work", ""), VMS | {"disposable"}), (("block", "p"), {"personal"})):
            with self.subTest(words):
                self.assertEqual(self.offered("qfilexchgctl", *words), wanted)

    def test_in_a_vm_no_names_of_vms_but_files(self):
        folder = scratch() / "files"
        folder.mkdir(exist_ok=True)
        (folder / "report.odt").write_text("")
        self.assertEqual(self.offered("qvm-copy-to-vm", "", cwd=folder), set())
        self.assertEqual(self.offered("qvm-copy-to-vm", "-q", "", cwd=folder), set())
        self.assertEqual(self.offered("qvm-copy-to-vm", "personal", "rep", cwd=folder), {"report.odt"})
        self.assertEqual(self.offered("qvm-open-in-dvm", "rep", cwd=folder), {"report.odt"})
        self.assertEqual(self.offered("qubes_penctl", "send", "", cwd=folder), set())
        self.assertEqual(self.offered("qubes_penctl", "", cwd=folder), {"new", "send", "umount", "discard", "killme"})


class Bash(Shell, unittest.TestCase):
    argv = ["bash", "--norc", "-c", BASH, "bash"]


class Fish(Shell, unittest.TestCase):
    argv = ["fish", "-N", "-c", FISH]


class Zsh(Shell, unittest.TestCase):
    argv = ["zsh", "-f", "-c", ZSH, "zsh"]

    def parse(self, text):
        return set(re.findall(r"^<([^<>]+)>\r?$", text, re.M))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# What the scripts of this folder have in common. To be sourced, from the top of the tree.

say() { echo "${0##*/}: $*"; }
die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# need_packages PACKAGE...: installs those of them that are missing (Debian 12 or later).
need_packages() {
	missing=
	for package; do
		dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
			missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "please install:$missing"
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "run this as root once, to install:$missing"
		as_root=sudo
	fi
	say "installing$missing"
	mkdir -p build
	# shellcheck disable=SC2086 # a list of words
	if ! { $as_root apt-get update &&
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >build/apt.log 2>&1; then
		tail -n 5 build/apt.log >&2
		die "the packages could not be installed; build/apt.log has it all"
	fi
}

# What it takes to build; the tests and the Xen box ask for more themselves.
# shellcheck disable=SC2034 # used by those who source this
build_packages='gcc libc6-dev make cmake ninja-build pkg-config libglib2.0-dev libxen-dev libsystemd-dev libjson-glib-dev libgtk-3-dev libnotify-dev libseccomp-dev libx11-dev lowdown dosfstools'
# What it takes to make Debian packages, which the Xen box installs.
# shellcheck disable=SC2034
package_packages='debhelper dpkg-dev'
# What the tests run on top of it.
# shellcheck disable=SC2034
test_packages='python3 dbus dbus-daemon systemd-journal-remote xenstore-utils clang libclang-rt-14-dev xvfb xdotool x11-utils openbox at-spi2-core python3-gi gir1.2-atspi-2.0 gir1.2-gtk-3.0 gir1.2-gtk-vnc-2.0 libglib2.0-bin gvfs gvfs-daemons udisks2 debhelper dpkg-dev rpm lintian mandoc bash-completion fish zsh'

# The file managers whose menus are tried.
# shellcheck disable=SC2034
test_packages="$test_packages thunar caja python3-caja nautilus python3-nautilus pcmanfm-qt desktop-file-utils"

# run_logged LOG COMMAND...: quiet unless it fails; then the end of the log.
run_logged() {
	log=$1
	shift
	mkdir -p "$(dirname "$log")"
	"$@" >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "failed: $* (all of it in $log)"
	}
}

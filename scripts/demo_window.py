# SPDX-License-Identifier: GPL-2.0-or-later
"""dom0's desktop in a window: what scripts/demo --gui shows. To be run by the distribution's Python.

    demo_window.py --check      whether a window can be opened at all
    demo_window.py FD           FD: a socket on which a VNC server speaks; ends with the window or the server

Says "shown" on stdout when the desktop is on the screen.
"""
import os
import sys

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import GLib, Gtk  # noqa: E402 (after the version)

TITLE = "The desktop of dom0 (qfilexchgd's demo)"


def build(fd):
    gi.require_version("GtkVnc", "2.0")
    from gi.repository import GtkVnc

    window = Gtk.Window(title=TITLE)
    screen = GtkVnc.Display()
    # A small screen gets a small picture.
    screen.set_scaling(True)
    screen.set_shared_flag(True)
    window.add(screen)
    window.connect("destroy", Gtk.main_quit)
    screen.connect("vnc-disconnected", lambda _: Gtk.main_quit())
    screen.connect("vnc-initialized", lambda _: show(window, screen))
    screen.open_fd(fd)


def show(window, screen):
    window.set_default_size(screen.get_width(), screen.get_height())
    window.connect("map-event", lambda *_: print("shown", flush=True))
    window.show_all()


def main():
    if not Gtk.init_check(sys.argv)[0]:
        names = " ".join(f"{name}={os.environ[name]}" for name in ("DISPLAY", "WAYLAND_DISPLAY") if name in os.environ)
        sys.exit(f"demo: the display ({names}) takes no window of this user: run it as the one whose session it is, "
                 "or without --gui")
    if sys.argv[1] != "--check":
        build(int(sys.argv[1]))
        Gtk.main()


if __name__ == "__main__":
    GLib.set_prgname("qfilexchgd-demo")
    main()

"""Memory in pages of 2 MB for XLA's buffers on a CPU, which else cost much time in page faults.

glibc asks the kernel for them when `GLIBC_TUNABLES` tells it to, and looks at that only as a process starts. So a
command that gains by it starts itself again, once and before it has done anything.
"""

import os
import sys

VARIABLE = "GLIBC_TUNABLES"
TUNABLES = "glibc.malloc.hugetlb=1"  # madvise(MADV_HUGEPAGE), see "Memory Allocation Tunables" in glibc's manual
FIRST_GLIBC = (2, 35)  # that knows it
COMMANDS = ("train",)  # measured, see docs/speed.md
KERNEL_SETTING = "/sys/kernel/mm/transparent_hugepage/enabled"


def restart() -> None:
    """Start the process again with large pages, where its command gains by them and the system has them to give.

    Number, terminal, open files and arguments stay. Where the variable is set, to whatever, nothing is done: by the
    user, whose choice it is, or by an earlier call.
    """
    # Python's own options and the program stand before the arguments; otherwise these are not what the process was
    # started with, but what somebody who imports this has put there.
    given = sys.argv[1:]
    own = given and sys.orig_argv[-len(given) :] == given
    if not own or given[0] not in COMMANDS or VARIABLE in os.environ or not offered():
        return
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, VARIABLE: TUNABLES})
    except OSError:
        return  # it works without


def offered() -> bool:
    """Whether the kernel gives large pages to who asks, and glibc knows how to."""
    if sys.platform != "linux":
        return False
    try:
        with open(KERNEL_SETTING, encoding="ascii") as file:
            library, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
            # Where the kernel is set to "always", glibc does nothing, and need not.
            return "[madvise]" in file.read() and library == "glibc" and _numbers(version) >= FIRST_GLIBC
    except (OSError, ValueError):  # no such pages; another library, such as musl
        return False


def _numbers(version: str) -> tuple[int, ...]:
    """Read "2.36"."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())

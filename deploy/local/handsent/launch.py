"""Becomes a part: ties its life to the supervisor's, gives up root where asked, then execs the part's command.

Run as a script by a bare interpreter (`python -I -S`), so that it costs milliseconds. A child that forked and then
called this code inside a threaded parent could deadlock; a fresh process cannot.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


class CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def main() -> None:
    death_signal, parent, uid, gid, reach = (int(word) for word in sys.argv[1:6])
    command = sys.argv[6:]
    if uid >= 0:
        try:
            become(uid, gid, keep_reach=bool(reach))
        except OSError as error:
            sys.exit(f"it may not run as root, and user {uid} cannot enter the folders on the way to it: {error}")
    # Last, because a change of user clears it.
    prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died before the line above: no signal will come
        sys.exit(128 + signal.SIGKILL)
    os.execvp(command[0], command)


def become(uid: int, gid: int, keep_reach: bool) -> None:
    """Gives up root. `keep_reach` keeps one capability of it: to enter folders that only root may enter.

    A checkout under /root is closed to every other user. Opening that folder would be wrong, moving the data away from
    HANDSENT_HOME surprising; a process that may not be root, but may pass, is neither.
    """
    if keep_reach:
        # Lets capabilities outlive the change of user, and count in access(2), by which initdb looks for its programs.
        prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if keep_reach:
        bit = 1 << CAP_DAC_OVERRIDE
        data = (CapData * 2)(CapData(bit, bit, bit), CapData(0, 0, 0))
        checked(libc.capset(ctypes.byref(CapHeader(CAPABILITY_VERSION_3, 0)), ctypes.byref(data)))
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    checked(libc.prctl(option, *padded))


def checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


libc = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    main()

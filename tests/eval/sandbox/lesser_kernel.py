"""Execute a program with some system calls disabled: LACKING PROGRAM ARGUMENT…

Simulates kernels and sites without user namespaces, Landlock or seccomp.
"""

import errno
import os
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from eval.sandbox.isolation import kernel

X86 = kernel.MACHINE == "x86_64"
UNSHARE, LANDLOCK, PRCTL = (272, 444, 157) if X86 else (97, 444, 167)
PR_SET_SECCOMP = 22
LOAD, EQUAL, RETURN, ALLOW, FAIL = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000

CALLS = {
    "namespaces": (UNSHARE, errno.EPERM),
    "landlock": (LANDLOCK, errno.EOPNOTSUPP),
}


def forbid(lacking: list[str]) -> None:
    code = [(LOAD, 0, 0, 0)]
    for name in lacking:
        if name == "seccomp":
            code += [(EQUAL, 0, 4, PRCTL), (LOAD, 0, 0, 16), (EQUAL, 0, 1, PR_SET_SECCOMP)]
            code += [(RETURN, 0, 0, FAIL | errno.EINVAL), (RETURN, 0, 0, ALLOW)]
        else:
            number, error = CALLS[name]
            code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL | error)]
    code.append((RETURN, 0, 0, ALLOW))
    kernel.forbid_new_privileges()
    kernel.install_filter(b"".join(struct.pack("=HBBI", *one) for one in code))


if __name__ == "__main__":
    forbid(sys.argv[1].split(","))
    os.execv(sys.argv[2], sys.argv[2:])

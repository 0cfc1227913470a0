"""Each attack changes a file outside the sandbox, or its folder."""

import ctypes
import os
import subprocess
import tempfile


def overwrite(path):
    with open(path, "w") as file:
        file.write("changed")


def append(path):
    with open(path, "a") as file:
        file.write("changed")


def write_from_c(path):
    libc = ctypes.CDLL(None)
    libc.write(libc.open(path.encode(), os.O_WRONLY), b"changed", 7)


def truncate(path):
    os.truncate(path, 1)


def remove(path):
    os.unlink(path)


def replace(path):
    new = path + ".new"
    with open(new, "w") as file:
        file.write("changed")
    os.rename(new, path)


def move_away(path):
    os.rename(path, path + ".old")


def create_beside(path):
    with open(path + ".new", "w") as file:
        file.write("new")


def folder_beside(path):
    os.mkdir(path + ".d")


def link_beside(path):
    os.symlink(path, path + ".link")


def change_rights(path):
    os.chmod(path, 0o777)


def change_times(path):
    os.utime(path, (1, 1))


def through_a_symbolic_link(path):
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(path, link)
    overwrite(link)


def through_a_link_to_its_folder(path):
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(os.path.dirname(path), link)
    overwrite(os.path.join(link, os.path.basename(path)))


def in_place_of_the_temporary_folder(path):
    """Whoever clears the temporary folder would clear another one."""
    folder = tempfile.mkdtemp()
    os.rmdir(folder)
    os.symlink(os.path.dirname(path), folder)
    overwrite(os.path.join(folder, os.path.basename(path)))


def by_another_program(path):
    subprocess.run(["/bin/sh", "-c", f"echo changed > {path}"], check=True)

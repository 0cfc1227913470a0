"""Each attack connects to a server on this machine, by host and port or by name."""

import ctypes
import socket
import struct
import subprocess
import sys


def tcp(tcp, udp, unix, abstract):
    socket.create_connection(tcp).sendall(b"hello")


def tcp_from_c(tcp, udp, unix, abstract):
    libc = ctypes.CDLL(None)
    host, port = tcp
    address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(host))
    libc.connect(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0), address, len(address))


def udp(tcp, udp, unix, abstract):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", tuple(udp))


def unix(tcp, udp, unix, abstract):
    socket.socket(socket.AF_UNIX).connect(unix)


def abstract_unix(tcp, udp, unix, abstract):
    socket.socket(socket.AF_UNIX).connect(f"\0{abstract}")


def by_another_program(tcp, udp, unix, abstract):
    code = f"import socket; socket.create_connection(({tcp[0]!r}, {tcp[1]}))"
    subprocess.run([sys.executable, "-c", code], check=True)

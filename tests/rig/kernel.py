"""Which connections are being tried, by Linux's own word: where nothing arrives, nobody else can tell."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

SYN_SENT = 2
# [sock_diag(7)] and linux/netlink.h
_SOCK_DIAG, _BY_FAMILY, _REQUEST_ALL, _ERROR, _DONE = 4, 20, 0x301, 2, 3
_HEAD = struct.Struct("=IHHII")  # length, type, flags, number, pid


def connecting(port: int) -> set[int]:
    """The ports of this machine from which a connection to `port` is tried at this moment.

    A millisecond where the kernel can be asked for these alone; reading its whole table may take 20.
    """
    try:
        return by_asking(port)
    except OSError:
        return by_reading(port)


def by_asking(port: int) -> set[int]:
    """Raises OSError where the kernel has no tcp_diag."""
    asked = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 1 << SYN_SENT) + bytes(48)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as sock:
        sock.settimeout(5)
        sock.sendto(_HEAD.pack(_HEAD.size + len(asked), _BY_FAMILY, _REQUEST_ALL, 1, 0) + asked, (0, 0))
        # inet_diag_msg: four bytes of state, then both ports in the order of the network
        pairs = [struct.unpack_from("!HH", message, 4) for message in _messages(sock)]
    return {here for here, there in pairs if there == port}


def _messages(sock: socket.socket) -> Iterator[bytes]:
    while True:
        data = sock.recv(1 << 16)
        while data:
            length, kind, *_ = _HEAD.unpack_from(data)
            message, data = data[_HEAD.size : length], data[-(-length // 4) * 4 :]
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", message)[0]
                raise OSError(number, f"sock_diag: {os.strerror(number)}")
            yield message


def by_reading(port: int) -> set[int]:
    """From [proc_net_tcp]: sl local_address rem_address st …, all in hexadecimal."""
    table = [line.split(None, 4) for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    tried = [own for _, own, there, state, _ in table if there.endswith(f":{port:04X}") and state == "02"]
    return {int(own.rpartition(":")[2], 16) for own in tried}

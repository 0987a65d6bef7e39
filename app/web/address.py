"""Whose address a request comes from: the peer's, or what trusted proxies in front say.

Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

# Some proxies tell the port as well: 198.51.100.7:4711, [2001:db8::1]:4711.
_WITH_PORT = re.compile(r"^(?:\[([^\]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+)$")


class Addresses:
    """`trusted`: networks whose `X-Forwarded-For` is believed, as in TRUSTED_PROXIES; ("none",): no proxy is.

    Empty: nobody knows whether a proxy is in front, so addresses are not told apart.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._known = bool(trusted)
        self._trusted = [ipaddress.ip_network(one, strict=False) for one in trusted if one != "none"]

    def of(self, remote: str, forwarded: str) -> str:
        """Whom a request counts against, "" for nobody. `remote`: the peer's address, "" on a unix socket;
        `forwarded`: the header `X-Forwarded-For`."""
        if not self._known:
            return ""
        chain = [part.strip() for part in forwarded.split(",") if part.strip()]
        while self._trusts(remote) and chain:
            remote = chain.pop()  # each proxy adds whom it saw; what a browser claims stands before
        return _household(remote)

    def _trusts(self, address: str) -> bool:
        """A unix socket has no address: whoever connects there is a proxy on this machine."""
        if not address:
            return bool(self._trusted)
        parsed = _parse(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self._trusted
        )


def _household(address: str) -> str:
    """[RFC 6177] an IPv6 user has a /64 at least, and could be a new address for each stream."""
    parsed = _parse(address)
    if parsed is None:
        return address[:64]
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = _WITH_PORT.sub(r"\1\2", address).partition("%")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed

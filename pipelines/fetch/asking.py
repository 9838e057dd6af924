"""Asking a server from a distance: redirects that lead into one's own network are not followed,
and a question has an end, however slowly the answer drips."""

import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

SECONDS_TO_LET_GO = 1.0


class InnerAddress(Exception):
    """A redirect to an address that is not the world's."""


class OutOfTime(Exception):
    """An answer that had not ended when it had to."""


class Session(requests.Session):
    """Requests that follow redirects to public addresses alone, but where the first URL's own host
    is not public: then it is the user who asks there."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._asked_inside = is_inner(url)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads, None where it leads nowhere; raises InnerAddress."""
        target: str | None = super().get_redirect_target(resp)
        if target and not self._asked_inside and is_inner(urljoin(resp.url, target)):
            resp.close()
            raise InnerAddress
        return target


def is_inner(url: str) -> bool:
    """Whether a URL's host is, by any of its addresses, on this machine, on its network or kept for
    something else than the world; a name that is not known is not."""
    try:
        host = urlsplit(url).hostname or ""
        found = socket.getaddrinfo(host, None)
    except (OSError, ValueError, UnicodeError):
        return False
    addresses = {ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found}
    return any(not address.is_global or address.is_multicast for address in addresses)


def within(seconds: float, ask: Callable[[threading.Event], Any]) -> Any:
    """What `ask` gives or raises; OutOfTime after so many seconds.

    A thread asks, for a server that sends a byte now and then keeps every read alive; `ask` is told
    by its event that nobody waits any more.
    """
    over, results, errors = threading.Event(), list[Any](), list[BaseException]()

    def work() -> None:
        try:
            results.append(ask(over))
        except BaseException as error:  # it is raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if thread.is_alive():
        over.set()
        thread.join(SECONDS_TO_LET_GO)
        raise OutOfTime
    if errors:
        raise errors[0]
    return results[0]

"""Public files: from a mirror when one is configured, else downloaded once; always checked against a hash."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import pooch
import requests
import urllib3

from rivalry.data._files import expanded
from rivalry.errors import RivalryError, one_line

MIRROR_VARIABLE = "RIVALRY_DATA_MIRROR"
RETRIES = 3
TIMEOUT = (10, 30)
"""Seconds to wait for a connection, and for the next bytes."""
PATIENCE = 60
SLOWEST = 16 << 10
"""Seconds after which a download must have come at this many bytes a second, on the whole."""
CHUNK = 64 << 10
MIB = 1 << 20
TELL = 5.0
"""Seconds between two lines that say how far a long download is."""
ABSENT = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
"""How servers say that there is no such file; stores of objects say 403."""


@dataclass(frozen=True)
class Remote:
    """A public file: its place in a mirror, its hash as 'algorithm:hexadecimal', and where to download it.

    `most` is a bound on its size in bytes. Where only the first digits of the hash are known, it is not `whole`.
    """

    name: str
    hash: str
    urls: tuple[str, ...] = ()
    most: int = 16 << 20
    whole: bool = True

    def check(self, path: Path) -> None:
        """Raise a RivalryError if a file's bytes are not this one's."""
        algorithm, expected = self.hash.split(":")
        found = pooch.file_hash(str(path), alg=algorithm)
        if not (found == expected if self.whole else found.startswith(expected)):
            begins = "" if self.whole else " at its beginning"
            raise RivalryError(f"{path}: expected {algorithm} {expected}{begins}, got {found}; replace the file")


class _Absent(RivalryError):
    """A server has no such file."""


class Fetch:
    """Callable that turns `Remote` files into local, verified paths.

    Parameters
    ----------
    mirror
        Folder or http(s) address under which the files lie by `Remote.name`; None: what the environment
        variable RIVALRY_DATA_MIRROR says, and without that the files' own addresses. When there is a mirror,
        nothing is looked for elsewhere.
    cache_dir
        Where downloads are kept; None: the user's cache folder.
    """

    def __init__(self, mirror: str | None = None, cache_dir: str | Path | None = None) -> None:
        self.mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
        self.cache_dir = Path(cache_dir or pooch.os_cache("rivalry"))

    def __call__(self, *alternatives: Remote) -> Path:
        """The local path of the first of these files that can be had; it ends in that file's `name`.

        Raises
        ------
        RivalryError
            None can be had, or the one that can has another checksum.
        """
        if self.mirror is None:
            downloadable = [remote for remote in alternatives if remote.urls]
            return self._download(downloadable[0], downloadable[0].urls)
        if self.mirror.startswith(("http://", "https://")):
            for remote in alternatives:
                url = f"{self.mirror.rstrip('/')}/{remote.name}"
                try:
                    return self._download(remote, (url,))
                except _Absent:
                    continue
        else:
            folder = expanded(self.mirror)
            path = folder
            try:
                if not folder.is_dir():
                    raise RivalryError(f"data_mirror: '{self.mirror}' is neither a folder nor an http(s) address")
                for remote in alternatives:
                    path = folder / remote.name
                    if path.is_file():
                        remote.check(path)
                        return path
            except OSError as error:
                raise RivalryError(f"{path}: cannot be read ({error.strerror})") from error
        wanted = " or ".join(remote.name for remote in alternatives)
        raise RivalryError(f"data_mirror: {self.mirror} lacks {wanted}; add it, or unset the mirror to download")

    def _download(self, remote: Remote, urls: tuple[str, ...]) -> Path:
        """The cached copy, downloaded from the first address that serves it.

        Raises
        ------
        _Absent
            The last address has no such file.
        RivalryError
            It cannot be had for another reason.
        """
        failure: Exception | None = None
        for url in urls:
            cache = pooch.create(
                self.cache_dir,
                base_url="",
                registry={remote.name: remote.hash if remote.whole else None},
                urls={remote.name: url},
                retry_if_failed=RETRIES,
            )
            try:
                path = Path(cache.fetch(remote.name, downloader=partial(_receive, remote.most)))
                if not remote.whole:  # what pooch cannot compare
                    _check_or_remove(remote, path)
                return path
            except (ValueError, OSError, RivalryError) as error:  # requests' errors are OSErrors
                failure = error
        reason = one_line((str(failure).splitlines() or [type(failure).__name__])[0])
        kind = _Absent if isinstance(failure, _Absent) else RivalryError
        raise kind(f"{remote.name}: cannot be downloaded from {' or '.join(urls)} ({reason})") from failure


def _check_or_remove(remote: Remote, path: Path) -> None:
    try:
        remote.check(path)
    except RivalryError:
        path.unlink()
        raise


def _receive(most: int, url: str, output_file: str, _: object) -> None:
    """What pooch calls to write a file to a temporary name; pooch then checks and renames it, or begins anew.

    It ends in bounded time and space, whatever a server sends. A RivalryError is final, other errors are tried again.
    """
    with open(output_file, "wb") as file:
        transfer = _Transfer(most, url, file)
        start = said = time.monotonic()
        transfer.start()
        while transfer.is_alive():
            transfer.join(0.1)
            took = time.monotonic() - start
            if transfer.total > MIB and start + took - said >= TELL:
                said = start + took
                print(f"{transfer.received // MIB} of {transfer.total // MIB} MiB", flush=True)
            if transfer.is_alive() and transfer.received < (took - PATIENCE) * SLOWEST:
                raise RivalryError(f"it is too slow, {transfer.received} bytes in {took:.0f} s; try again later")
    if transfer.error is not None:
        raise transfer.error


class _Transfer(threading.Thread):
    """One answer of a server, written to an open file.

    It has a thread of its own because nothing limits the time that headers, redirections and sizes of chunks take, as
    long as now and then a byte comes. Closing the file ends the thread at its next bytes.
    """

    def __init__(self, most: int, url: str, file: BinaryIO) -> None:
        super().__init__(daemon=True)
        self.most, self.url, self.file = most, url, file
        self.received, self.total = 0, 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._take()
        except urllib3.exceptions.HTTPError as error:
            self.error = requests.ConnectionError(f"the connection broke: {error}")
        except Exception as error:  # of whatever kind, it is for who waits
            self.error = error

    def _take(self) -> None:
        # A server must not pack, or call packed, what is a packed file already: bytes are taken as they are sent.
        headers = {"Accept-Encoding": "identity"}
        with requests.get(self.url, stream=True, timeout=TIMEOUT, headers=headers) as response:
            if response.status_code in ABSENT:
                raise _Absent(f"{response.status_code} {response.reason}")
            response.raise_for_status()
            length = response.headers.get("Content-Length", "")
            self.total = int(length) if length.isdecimal() else 0
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise RivalryError("the answer is a web page, not the file; does the network ask to log in?")
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                self.received += len(chunk)
                if self.received > self.most:
                    raise RivalryError(f"it sends over {self.most} bytes, more than the file has")
                self.file.write(chunk)

"""Public files: from a mirror when one is configured, else downloaded once; always checked against a hash."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from rivalry.errors import RivalryError

MIRROR_VARIABLE = "RIVALRY_DATA_MIRROR"
RETRIES = 3


@dataclass(frozen=True)
class Remote:
    """A public file: its place in a mirror, its hash as 'algorithm:hexadecimal', and where to download it."""

    name: str
    hash: str
    urls: tuple[str, ...] = ()


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
                if self._is_available(url):
                    return self._download(remote, (url,))
        else:
            folder = Path(self.mirror).expanduser()
            if not folder.is_dir():
                raise RivalryError(f"data_mirror: '{self.mirror}' is neither a folder nor an http(s) address")
            for remote in alternatives:
                path = folder / remote.name
                if path.is_file():
                    algorithm, expected = remote.hash.split(":")
                    found = pooch.file_hash(str(path), alg=algorithm)
                    if found != expected:
                        message = f"{path}: expected {algorithm} {expected}, got {found}; replace the file"
                        raise RivalryError(message)
                    return path
        wanted = " or ".join(remote.name for remote in alternatives)
        raise RivalryError(f"data_mirror: {self.mirror} lacks {wanted}; add it, or unset the mirror to download")

    def _download(self, remote: Remote, urls: tuple[str, ...]) -> Path:
        """The cached copy, downloaded from the first address that serves it."""
        failure: Exception | None = None
        for url in urls:
            cache = pooch.create(
                self.cache_dir,
                base_url="",
                registry={remote.name: remote.hash},
                urls={remote.name: url},
                retry_if_failed=RETRIES,
            )
            try:
                return Path(cache.fetch(remote.name, progressbar=True))
            except (ValueError, requests.RequestException) as error:
                failure = error
        reason = str(failure).splitlines()[0]
        raise RivalryError(f"{remote.name}: cannot be downloaded from {' or '.join(urls)} ({reason})") from failure

    def _is_available(self, url: str) -> bool:
        try:
            return requests.head(url, allow_redirects=True, timeout=30).ok
        except requests.RequestException as error:
            reason = str(error).splitlines()[0]
            raise RivalryError(f"data_mirror: {self.mirror} does not answer ({reason})") from error

"""Files behind an address of http or https, by ranges or whole.

Time limits and the offline flag are those of huggingface_hub.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants, errors
from huggingface_hub.utils import get_session, hf_raise_for_status, http_stream_backoff, parse_ratelimit_headers

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.ranges import NoRanges

RETRIED = (408, 429, 500, 502, 503, 504)  # statuses that may pass
TRIES = 4  # of a body that breaks off, or of an address that has expired
PLAIN = {"Accept-Encoding": "identity"}  # a compressed body has other ranges
CHANGED = "it changed while it was read; try again"


@dataclass
class WebFile:
    """A file of `size` bytes; `version` is what its server calls this state of it, None if nothing."""

    url: str
    size: int
    version: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # an authorization, say

    def renew(self) -> bool:
        """Ask for a new address after a refusal; False: there is none."""
        return False

    def check(self) -> None:
        """Nothing is left to check: each answer told the file's version."""

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`, as `ranges.Remote`."""
        asked = f"bytes {start}-{stop - 1}/{self.size}"
        ranged = {"Range": f"bytes={start}-{stop - 1}", **PLAIN}
        reason = ""
        for _ in range(TRIES):
            with http_stream_backoff(
                "GET", self.url, headers={**self.headers, **ranged}, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
            ) as response:
                if response.status_code == 200:
                    raise NoRanges
                if response.status_code in (403, 404, 410) and self.renew():
                    reason = "its address expires at once"
                    continue
                hf_raise_for_status(response)
                if self.version and version_of(response.headers) not in (None, self.version):
                    raise AtlasError(CHANGED)
                if response.headers.get("Content-Range") == asked:
                    body = bytearray()
                    try:
                        for block in response.iter_bytes():
                            body += block
                            if len(body) > stop - start:
                                break
                    except httpx2.TransportError as error:
                        reason = brief(error)
                    if len(body) == stop - start:
                        return bytes(body)
                reason = reason or f"asked for {asked}, got {response.headers.get('Content-Range')}"
        raise AtlasError(f"the server does not send what it was asked for ({reason}); try again later")


def open_web(url: str) -> WebFile:
    """The file at an address, as its server describes it.

    Raises
    ------
    NoRanges
        The server sends whole files only.
    httpx2.HTTPError, OSError
        It is not to be had.
    """

    def ask() -> tuple[int, httpx2.Headers]:
        ranged = {"Range": "bytes=0-0", **PLAIN}
        with get_session().stream("GET", url, headers=ranged, timeout=constants.HF_HUB_ETAG_TIMEOUT) as response:
            hf_raise_for_status(response)
            return response.status_code, response.headers

    status, headers = retried(ask)
    size = re.fullmatch(r"bytes 0-0/(\d+)", headers.get("Content-Range", ""))
    if status != 206 or not size:
        raise NoRanges
    return WebFile(url, int(size[1]), version_of(headers))


def fetch_web(url: str, path: Path) -> None:
    """Write a whole file.

    Raises
    ------
    AtlasError
        Its body breaks off, again and again.
    httpx2.HTTPError, OSError
        It is not to be had.
    """
    reason = ""
    for _ in range(TRIES):
        with (
            http_stream_backoff("GET", url, headers=PLAIN, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response,
            path.open("wb") as file,
        ):
            hf_raise_for_status(response)
            try:
                for block in response.iter_bytes():
                    file.write(block)
                return
            except httpx2.TransportError as error:
                reason = brief(error)
    raise AtlasError(f"its body breaks off ({reason}); try again later")


def version_of(headers: httpx2.Headers) -> str | None:
    """What a server calls the state of a file: its ETag, else the time of its last change."""
    return headers.get("ETag") or headers.get("Last-Modified")


def retried(ask: Callable[[], Any]) -> Any:
    """The answer of a call that huggingface_hub does not retry itself."""
    for wait in (1, 2, 4, None):
        try:
            return ask()
        except (httpx2.TransportError, errors.HfHubHTTPError, json.JSONDecodeError) as error:
            response = getattr(error, "response", None)
            if wait is None or (response is not None and response.status_code not in RETRIED):
                raise
            headers = {} if response is None else response.headers
            limit, after = parse_ratelimit_headers(headers), headers.get("Retry-After", "")
            time.sleep(limit.reset_in_seconds if limit else int(after) if after.isdecimal() else wait)


def brief(error: Exception) -> str:
    """A network error in a few words. Addresses are cut, as they carry signatures."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    text = re.sub(r"https?://\S+", "...", " ".join(str(error).split()))
    return f"status {status}" if status else text[:160] or type(error).__name__

"""Limits on the size and rate of requests, and API keys."""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.console import say
from keras_nmt.app.server.errors import TooLargeError, TooManyRequestsError, UnauthorizedError

KEY_BYTES = 32
MAX_CLIENTS = 10_000  # clients with a token bucket; above this, the client seen least recently is dropped


@dataclass(frozen=True)
class Limits:
    """Limits on a request and on the rate of requests.

    Attributes:
        body_bytes: Maximum size of the body in bytes, before and after decompression.
        characters: Maximum number of characters in all texts of a request.
        texts: Maximum number of texts in a request.
        requests_per_minute: Maximum number of requests of an API key, or of an address if the server has no keys; 0 is
            no limit.
        deadline: Seconds within which a request must be answered; after that time the request fails.
        arrival: Seconds within which the whole body must arrive.
    """

    body_bytes: int = 2 * 1024 * 1024
    characters: int = 50_000
    texts: int = 256
    requests_per_minute: int = 0
    deadline: float = 60.0
    arrival: float = 60.0

    def check(self, texts: Sequence[str]) -> None:
        """Checks the number and size of a request's texts.

        Raises:
            TooLargeError: There are too many texts, or the texts have too many characters.
        """
        if len(texts) > self.texts:
            raise TooLargeError(f"{len(texts)} texts in one request; at most {self.texts} are allowed")
        characters = sum(map(len, texts))
        if characters > self.characters:
            raise TooLargeError(f"{characters} characters in one request; at most {self.characters} are allowed")


class RateLimiter:
    """Rate limit with one token bucket per client. A full bucket allows `per_minute` requests at once.

    Args:
        per_minute: Requests that a client may make in a minute; 0 is no limit.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by client: requests left, last update

    def count(self, client: str, now: float | None = None) -> None:
        """Counts a request of a client. A refused request does not use up the client's limit.

        Args:
            client: Name of the holder of the client's API key, or the client's address.
            now: Time of the request in seconds; None is the current time.

        Raises:
            TooManyRequestsError: The client has no requests left.
        """
        if not self.per_minute:
            return
        now = time.monotonic() if now is None else now
        left, since = self._buckets.pop(client, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - since) * self.per_minute / 60)
        self._buckets[client] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if left < 1:
            wait = int(60 * (1 - left) / self.per_minute) + 1
            raise TooManyRequestsError(f"more than {self.per_minute} requests a minute; wait {wait} s", wait)


class ApiKeys:
    """The API keys that the server accepts, stored as hashes.

    Each line of the key file holds the name of a key's holder, a space, and the SHA-256 hash of the key in hex. The
    keys are long and random, so a fast hash is safe.

    Args:
        hashes: Hash of each key, by the name of the key's holder.
        path: File from which the hashes were read; None for no file. The file is read again when it changes.
    """

    def __init__(self, hashes: Mapping[str, str], path: Path | None = None) -> None:
        self.hashes = dict(hashes)
        self.path = path
        self._changed = path and path.stat().st_mtime_ns

    @classmethod
    def read(cls, path: Path) -> "ApiKeys":
        """Reads a key file.

        Raises:
            UserError: The file cannot be read, or a line is not a name and a hash.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the keys in {path}: {error}") from error
        hashes = {}
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if not words or line.startswith("#"):
                continue
            if len(words) != 2 or len(words[1]) != 64:
                raise UserError(f"{path}, line {number}: expected a name and a SHA-256 in hex, as --new-api-key writes")
            hashes[words[0]] = words[1]
        return cls(hashes, path)

    def holder(self, key: object) -> str:
        """Returns the name of a key's holder.

        Raises:
            UnauthorizedError: The key is missing or unknown, or the key file cannot be read.
        """
        self._reload_if_changed()
        given = hash_of(key if isinstance(key, str) else "")
        found = [name for name, stored in self.hashes.items() if hmac.compare_digest(stored, given)]
        if not found:
            raise UnauthorizedError("unknown API key" if key else "this server needs an API key")
        return found[0]

    def _reload_if_changed(self) -> None:
        """Reads the key file again if it has changed. While the file cannot be read, every key is refused."""
        try:
            changed = self.path and self.path.stat().st_mtime_ns
            if changed != self._changed and self.path:
                self.hashes = self.read(self.path).hashes
            self._changed = changed
        except (OSError, UserError) as error:
            self.hashes, self._changed = {}, None
            say(f"every API key is refused, because the keys cannot be read: {error}")
            raise UnauthorizedError("the server cannot read its keys; its log has the reason") from error


def add_api_key(path: Path, name: str) -> str:
    """Creates an API key and adds its hash to a key file.

    Args:
        path: The key file; created if missing.
        name: Name of the key's holder, one word.

    Returns:
        The API key. The key file contains only the hash of the key.

    Raises:
        UserError: The name is not one word, begins with "#" or has a key already; or the existing file cannot be read.
    """
    if not name or name != "".join(name.split()) or name.startswith("#"):
        raise UserError(f"the name of a key's holder must be one word, not {name!r}")
    if path.exists() and name in ApiKeys.read(path).hashes:
        raise UserError(f"{path} already has a key for {name}; delete its line first, or choose another name")
    key = secrets.token_urlsafe(KEY_BYTES)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name} {hash_of(key)}\n")
    path.chmod(0o600)
    return key


def hash_of(key: str) -> str:
    """Returns the SHA-256 hash of a key in hex."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()

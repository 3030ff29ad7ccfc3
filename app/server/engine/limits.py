"""Who may ask, how much at once, and how often."""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import UserError
from app.runtime.console import say
from app.server.errors import TooLargeError, TooManyRequestsError, UnauthorizedError

KEY_BYTES = 32
MOST_CLIENTS = 10_000  # whose requests are counted; the one not seen for longest is forgotten first


@dataclass(frozen=True)
class Limits:
    """What one request may ask, and how many of them a client may make.

    Attributes:
        body_bytes: Of a request.
        characters: Of all its texts.
        texts: Of a request.
        requests_per_minute: By key, or by address without one; 0 for as many as one likes.
        deadline: Seconds within which a request is answered, or not at all.
        arrival: Seconds within which its body must be there.
    """

    body_bytes: int = 2 * 1024 * 1024
    characters: int = 50_000
    texts: int = 256
    requests_per_minute: int = 0
    deadline: float = 60.0
    arrival: float = 60.0

    def check(self, texts: list[str]) -> None:
        """Refuses what is too much.

        Raises:
            TooLargeError: There are too many texts, or too many characters in them.
        """
        if len(texts) > self.texts:
            raise TooLargeError(f"{len(texts)} texts in one request; at most {self.texts} are taken")
        characters = sum(map(len, texts))
        if characters > self.characters:
            raise TooLargeError(f"{characters} characters in one request; at most {self.characters} are taken")


class RateLimiter:
    """Counts requests of each client; a client who pauses may make up for it, up to a minute's worth.

    Args:
        per_minute: How many a client may make in a minute; 0 for as many as one likes.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by client: requests left, and when

    def count(self, client: str, now: float | None = None) -> None:
        """One more request of a client.

        Raises:
            TooManyRequestsError: It is one too many.
        """
        if not self.per_minute:
            return
        now = time.monotonic() if now is None else now
        left, since = self._left.pop(client, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - since) * self.per_minute / 60)
        self._left[client] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        if left < 1:
            wait = int(60 * (1 - left) / self.per_minute) + 1
            raise TooManyRequestsError(f"more than {self.per_minute} requests a minute; wait {wait} s", wait)


class ApiKeys:
    """Keys by the names of their holders. A file holds their hashes alone: a name, a space, and SHA-256 in hex a line.

    The keys are long and random, so that a fast hash is no weakness.

    Args:
        hashes: By name.
        path: The file they are from, which is read again when it changes.
    """

    def __init__(self, hashes: Mapping[str, str], path: Path | None = None) -> None:
        self.hashes = dict(hashes)
        self.path = path
        self._changed = path and path.stat().st_mtime_ns

    @classmethod
    def read(cls, path: Path) -> "ApiKeys":
        """The keys of a file.

        Raises:
            UserError: It cannot be read, or a line is something else.
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
        """Whose key it is.

        Raises:
            UnauthorizedError: Nobody's.
        """
        self._renew()
        given = hash_of(key if isinstance(key, str) else "")
        found = [name for name, stored in self.hashes.items() if hmac.compare_digest(stored, given)]
        if not found:
            raise UnauthorizedError("this key is not known" if key else "this server wants an API key")
        return found[0]

    def _renew(self) -> None:
        """Reads the file again if it has changed; while it cannot be read there is no key."""
        try:
            changed = self.path and self.path.stat().st_mtime_ns
            if changed != self._changed and self.path:
                self.hashes = self.read(self.path).hashes
            self._changed = changed
        except (OSError, UserError) as error:
            self.hashes, self._changed = {}, None
            say(f"cannot read the keys, so nobody has one: {error}")
            raise UnauthorizedError("the server cannot read its keys; its log says more") from error


def add_api_key(path: Path, name: str) -> str:
    """Makes a key, writes its hash into the file, and gives the key: it can be read nowhere afterwards.

    Raises:
        UserError: The name is taken or no word, or the file cannot be written.
    """
    if not name or name != "".join(name.split()) or name.startswith("#"):
        raise UserError(f"the name of a key is one word, not {name!r}")
    if path.exists() and name in ApiKeys.read(path).hashes:
        raise UserError(f"{path} has a key of {name} already; take its line out first, or choose another name")
    key = secrets.token_urlsafe(KEY_BYTES)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name} {hash_of(key)}\n")
    path.chmod(0o600)
    return key


def hash_of(key: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()

"""Repairs strings from JSON that cannot be encoded as UTF-8.

JSON can contain half of a surrogate pair, for example when a client cuts a text in the middle of an emoji.
"""

from collections.abc import Mapping
from typing import Any


def replace_lone_surrogates(value: Any) -> Any:
    """Returns a JSON value in which U+FFFD replaces every lone surrogate, in all strings and names at any depth."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {replace_lone_surrogates(name): replace_lone_surrogates(one) for name, one in value.items()}
    return [replace_lone_surrogates(one) for one in value] if isinstance(value, list) else value

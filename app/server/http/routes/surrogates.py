"""Repairs strings from JSON that cannot be encoded as UTF-8.

JSON can contain half of a surrogate pair, for example when a client cuts a text in the middle of an emoji.
"""

from collections.abc import Mapping
from typing import Any


def replace_lone_surrogates(value: Any) -> Any:
    """Replaces every lone surrogate by U+FFFD in all strings of a JSON value, at any depth."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {replace_lone_surrogates(name): replace_lone_surrogates(one) for name, one in value.items()}
    return [replace_lone_surrogates(one) for one in value] if isinstance(value, list) else value

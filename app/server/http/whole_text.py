"""Text from JSON that can be encoded: half of a surrogate pair, as of an emoji cut in two, becomes U+FFFD."""

from collections.abc import Mapping
from typing import Any


def whole(value: Any) -> Any:
    """A value from JSON, with every string in it made whole."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {whole(name): whole(one) for name, one in value.items()}
    return [whole(one) for one in value] if isinstance(value, list) else value

"""The signatures of two engines together, of which one is faster and has fewer."""

from collections.abc import Callable, Iterator, Mapping

from keras_nmt.app.decoding.signatures import Signature, Signatures


class FasterSignatures(Mapping[str, Signature]):
    """The signatures of two engines. A signature of the slower engine is used only if the faster engine lacks it.

    Args:
        faster: The signatures of the faster engine.
        load_others: The function that returns all signatures of the slower engine. It is called when a signature is
            needed that the faster engine does not have, or when names are listed.
    """

    def __init__(self, faster: Signatures, load_others: Callable[[], Signatures]) -> None:
        self.faster = faster
        self.load_others = load_others

    def __getitem__(self, name: str) -> Signature:
        return self.faster[name] if name in self.faster else self.load_others()[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.load_others(), **self.faster})

    def __len__(self) -> int:
        return len(list(iter(self)))

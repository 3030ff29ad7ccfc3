"""Tags at the beginning of a source text, which give the target language and the domain.

If the data has several target languages, each source text begins with the tag of its target language, such as
`<2fr> The house is small.` The tag of a domain follows: `<2fr> <news> The house is small.` Each tag is a piece of the
vocabulary. If the text of a user happens to contain the characters of a tag, these characters must not be read as a
tag. Therefore `Languages.tagger` inserts a space into them.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.normalization import INVISIBLE

Tagger = Callable[[str], str]

_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
_DOMAIN = re.compile(r"(?!(s|unk|pad)$)[A-Za-z][A-Za-z0-9_-]*")  # <s>, <unk>, <pad> are in every vocabulary
_BRACKETS = re.compile("[<\ufe64\uff1c]")  # characters that normalisation turns into "<"


def language_tag(language: str) -> str:
    """Returns the tag of a target language: "fr" -> "<2fr>"; raises a `DataError` if it is not a language code."""
    if not _LANGUAGE.fullmatch(language):
        raise DataError(f"{language!r} is not a language code; use two or more letters, such as fr or pt-BR")
    return f"<2{language}>"


def domain_tag(domain: str) -> str:
    """Returns the tag of a domain: "news" -> "<news>"; raises a `DataError` if the name is not allowed."""
    if not _DOMAIN.fullmatch(domain):
        raise DataError(
            f"{domain!r} cannot be the name of a domain; use a letter followed by letters, digits, _ or -, but not "
            "s, unk or pad"
        )
    return f"<{domain}>"


def is_tag(text: str) -> bool:
    """Returns True if the text has the form of a language tag or a domain tag."""
    name = text[1:-1]
    is_language = name[:1] == "2" and _LANGUAGE.fullmatch(name[1:])
    return text == f"<{name}>" and bool(is_language or _DOMAIN.fullmatch(name))


def tagged(text: str, tags: Sequence[str]) -> str:
    """Puts tags before a text. Returns blank text unchanged, since it has nothing to translate."""
    return " ".join([*tags, text]) if text.strip() else text


@dataclass(frozen=True)
class Languages:
    """The language pairs and domains of a data set or a model.

    Attributes:
        pairs: The language pairs, one for each direction of translation; the first is the main pair.
        domains: The domains that have a tag.

    Raises:
        DataError: There is no pair, a pair or domain occurs twice, or a name cannot be a tag.
    """

    pairs: tuple[LanguagePair, ...]
    domains: tuple[str, ...] = ()

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Languages":
        """Reads the pairs and domains from the manifest of data or of a run. Older manifests have only a `pair`."""
        pairs = manifest.get("pairs") or [manifest["pair"]]
        return cls(tuple(LanguagePair(**pair) for pair in pairs), tuple(manifest.get("domains", ())))

    def __post_init__(self) -> None:
        for what, names in (("pair", list(map(str, self.pairs))), ("domain", self.domains)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise DataError(f"{what} {twice[0]} occurs twice; name each once")
        if not self.pairs:
            raise DataError("there is no language pair; expected at least one, such as en-de")
        _ = self.tags

    def find(self, pair: LanguagePair) -> LanguagePair | None:
        """Returns the pair in `pairs` that has the same languages, in any spelling of their codes, or None."""
        same = (p for p in self.pairs if match(pair.source, [p.source]) and match(pair.target, [p.target]))
        return pair if pair in self.pairs else next(same, None)

    @property
    def targets(self) -> tuple[str, ...]:
        """The target languages, without duplicates."""
        return tuple(dict.fromkeys(pair.target for pair in self.pairs))

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags. Each is a piece of the vocabulary. Empty if there is only one target language and no domain."""
        languages = self.targets if len(self.targets) > 1 else ()
        return (*map(language_tag, languages), *map(domain_tag, self.domains))

    def tags_of(self, target: str | None, domain: str | None = None) -> tuple[str, ...]:
        """Returns the tags to put before a source text: the language tag, then the domain tag.

        Args:
            target: The target language; may be None if there is only one target language.
            domain: The domain; if None, the text gets no domain tag.

        Raises:
            DataError: The language or domain does not exist, or `target` is None although there are several target
                languages.
        """
        if target is None and len(self.targets) > 1:
            raise DataError(f"there are several target languages: {', '.join(self.targets)}; choose one with --to")
        name = match(target, self.targets) if target else None
        if target is not None and name is None:
            raise DataError(f"there is no translation into {target!r}; {_known('language', target, self.targets)}")
        if domain is not None and domain not in self.domains:
            raise DataError(f"there is no domain {domain!r}; {_known('domain', domain, self.domains)}")
        languages = [language_tag(name)] if name and len(self.targets) > 1 else []
        return (*languages, *([domain_tag(domain)] if domain else []))

    def tagger(self, target: str | None, domain: str | None = None) -> Tagger:
        """Returns a function that puts the tags of `tags_of` before a text.

        If the text itself contains a tag, the function inserts a space into this tag: "<2de>" -> "< 2de>".

        Raises:
            DataError: For the same reasons as in `tags_of`.
        """
        tags = self.tags_of(target, domain)
        return lambda text: tagged(self.without_tags(text), tags)

    def without_tags(self, text: str) -> str:
        """Inserts a space into each tag in a text, so that the vocabulary reads the tag as ordinary characters.

        A text that contains a tag is also normalised to NFKC, and loses its control characters and `INVISIBLE`
        characters. Other texts are returned unchanged.
        """
        if not _BRACKETS.search(text) or not self.tags:
            return text
        characters = unicodedata.normalize("NFKC", text)
        normalised = "".join(c for c in characters if c.isspace() or unicodedata.category(c) != "Cc")
        normalised = normalised.translate(INVISIBLE)
        if not any(tag in normalised for tag in self.tags):
            return text
        return re.sub("|".join(map(re.escape, self.tags)), lambda found: f"< {found[0][1:]}", normalised)

    def split(self, text: str) -> tuple[tuple[str, ...], str]:
        """Splits a text into the tags at its beginning and the rest; the inverse of `tagged`."""
        tags: list[str] = []
        while (first := text.partition(" "))[0] in self.tags:
            tags.append(first[0])
            text = first[2]
        return tuple(tags), text


def _known(what: str, name: str, known: Sequence[str]) -> str:
    """Returns the end of a message about an unknown name: the most similar known name, and all known names."""
    if not known:
        return f"there is no {what} with a tag"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}there {'is' if len(known) == 1 else 'are'}: {', '.join(known)}"

"""The tags in front of a source text: the language that it is to be translated into, and the domain that it is of.

Data of several target languages has a tag of the language before each source text, such as `<2fr> The house is small.`;
data of one has none. A domain's comes behind it: `<2fr> <news> The house is small.`. Each tag is a piece of the
vocabulary; the same characters in a text that somebody wrote are text, and `Languages.tagger` keeps them apart.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.errors import DataError
from pipelines.language_codes import match
from pipelines.sources.corpora import LanguagePair
from pipelines.vocabulary.normalization import INVISIBLE

Tagger = Callable[[str], str]

_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
_DOMAIN = re.compile(r"(?!(s|unk|pad)$)[A-Za-z][A-Za-z0-9_-]*")  # <s>, <unk> and <pad> are pieces of every vocabulary
_BRACKETS = re.compile("[<\ufe64\uff1c]")  # what normalisation makes "<" of


def language_tag(language: str) -> str:
    """The tag of a target language: "fr" -> "<2fr>"; `DataError` if it is no language's code."""
    if not _LANGUAGE.fullmatch(language):
        raise DataError(f"{language!r} is no code of a language; use letters, two or more, such as fr or pt-BR")
    return f"<2{language}>"


def domain_tag(domain: str) -> str:
    """The tag of a domain: "news" -> "<news>"; `DataError` if it cannot be one's name."""
    if not _DOMAIN.fullmatch(domain):
        raise DataError(
            f"{domain!r} cannot be the name of a domain; begin with a letter, go on with letters, digits, _ or -, and "
            "use none of s, unk, pad"
        )
    return f"<{domain}>"


def is_tag(text: str) -> bool:
    """Whether this is written as a tag is."""
    name = text[1:-1]
    is_language = name[:1] == "2" and _LANGUAGE.fullmatch(name[1:])
    return text == f"<{name}>" and bool(is_language or _DOMAIN.fullmatch(name))


def tagged(text: str, tags: Sequence[str]) -> str:
    """The text behind its tags; one without a word stays as it is, for there is nothing to translate."""
    return " ".join([*tags, text]) if text.strip() else text


@dataclass(frozen=True)
class Languages:
    """What a data set or a model knows.

    Attributes:
        pairs: Of languages, in every direction; the first is the main one.
        domains: Names of domains that have a tag.

    Raises:
        DataError: There is no pair, one comes twice, or a name cannot be in a tag.
    """

    pairs: tuple[LanguagePair, ...]
    domains: tuple[str, ...] = ()

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Languages":
        """Those that the manifest of data or of a run names; an older one names but one `pair`."""
        pairs = manifest.get("pairs") or [manifest["pair"]]
        return cls(tuple(LanguagePair(**pair) for pair in pairs), tuple(manifest.get("domains", ())))

    def __post_init__(self) -> None:
        for what, names in (("pair", list(map(str, self.pairs))), ("domain", self.domains)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise DataError(f"{what} {twice[0]} comes twice; name each once")
        if not self.pairs:
            raise DataError("there is no language pair; expected at least one, such as en-de")
        _ = self.tags

    def find(self, pair: LanguagePair) -> LanguagePair | None:
        """Returns the pair that means the same languages, however its codes are spelt."""
        same = (p for p in self.pairs if match(pair.source, [p.source]) and match(pair.target, [p.target]))
        return pair if pair in self.pairs else next(same, None)

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages that are translated into, each once."""
        return tuple(dict.fromkeys(pair.target for pair in self.pairs))

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags there are, each a piece of the vocabulary; none if there is one target language and no domain."""
        languages = self.targets if len(self.targets) > 1 else ()
        return (*map(language_tag, languages), *map(domain_tag, self.domains))

    def tags_of(self, target: str | None, domain: str | None = None) -> tuple[str, ...]:
        """The tags of a text, in their order.

        Args:
            target: The language to translate into; may be None where there is but one.
            domain: May be None: in no domain in particular.

        Raises:
            DataError: There is no such language or domain, or a language must be chosen.
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
        """What puts the tags of `tags_of` before a text. A tag that stands in the text is broken: "<2de>" -> "< 2de>".

        Raises:
            DataError: As `tags_of` does.
        """
        tags = self.tags_of(target, domain)
        return lambda text: tagged(self.without_tags(text), tags)

    def without_tags(self, text: str) -> str:
        """The text with each tag in it broken, so that the vocabulary reads it letter by letter; else as it is."""
        if not _BRACKETS.search(text) or not self.tags:
            return text
        characters = unicodedata.normalize("NFKC", text)
        normalised = "".join(c for c in characters if c.isspace() or unicodedata.category(c) != "Cc")
        normalised = normalised.translate(INVISIBLE)
        if not any(tag in normalised for tag in self.tags):
            return text
        return re.sub("|".join(map(re.escape, self.tags)), lambda found: f"< {found[0][1:]}", normalised)

    def split(self, text: str) -> tuple[tuple[str, ...], str]:
        """The tags at the beginning of a text, and the text behind them: what `tagged` has put together."""
        tags: list[str] = []
        while (first := text.partition(" "))[0] in self.tags:
            tags.append(first[0])
            text = first[2]
        return tuple(tags), text


def _known(what: str, name: str, known: Sequence[str]) -> str:
    """What to try in place of an unknown `name`."""
    if not known:
        return f"no {what} has a name here"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}there {'is' if len(known) == 1 else 'are'}: {', '.join(known)}"

"""Rules that find the ends of sentences: regular expressions with the same result in RE2 and in Python's `regex`.

RE2 runs in TensorFlow graphs. The rules do not depend on the language. One list contains abbreviations of many
languages; no abbreviation in the list ends a sentence in any of these languages. Each rule inserts or removes marks,
and texts are cut at the marks that remain. Text without sentence punctuation, as in Thai, is cut only at line ends.
"""

# ruff: noqa: RUF001  # punctuation of many scripts

from collections.abc import Iterable
from typing import NamedTuple


class Rule(NamedTuple):
    """A pattern, and the replacement of all its matches."""

    pattern: str
    replacement: str


# Marks: code points that are no characters. Rules that remove CUT keep SURE_CUT, and a later rule turns it into CUT.
CUT, LINE_CUT, SURE_CUT = "\ufdd0", "\ufdd1", "\ufdd2"
_MARKS = f"{CUT}-{SURE_CUT}"

# Contents of character classes.
SPACES = " \t\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
LINE_ENDS = "\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
BLANKS = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_ENDS = ".!?…‥‼⁇⁈⁉؟۔།"  # end a sentence if a space follows
_UNSPACED_ENDS = "。！？｡।॥։።፧፨။។៕༎᙮᠃᠉᱾᱿꛳꘎꯫꩝꩟܀܁܂᥄᥅᭚᭛᭞᭟꧈꧉"  # end a sentence, whichever character follows
_CLOSING = "\"'”’“»«›‹\\)\\]\\}」』）】》〉"
_OPENING = "“‘「『（【《〈"
_UNSPACED_CLOSING = "\"'”’»\\)\\]」』）】》〉"  # without “, which opens a quotation in unspaced text

_SPACE, _NO_LETTER = f"[{SPACES}]", "(?:^|[^\\p{L}\\p{N}\\p{M}])"
_LOWER = "[^\\P{Ll}ა-ჿ]"  # not Georgian letters, which are all lower case in Unicode
# Repetitions before another part of a pattern are bounded. Otherwise Python would try every length at every position.
_END = (
    f"(?:[{_ENDS}](?:{_SPACE}?[{_ENDS}]){{0,20}}|\\p{{Greek}}\\p{{M}}?;|\\p{{Armenian}}:)"
    f"[{_CLOSING}]{{0,8}}(?:[ \u00a0\u202f]»)?"
)


def _words(text: str) -> str:
    """Turns words separated by spaces into the alternatives of a regular expression: "a b" -> "a|b"."""
    return "|".join(text.split())


_NEVER_LAST = _words(
    "Mr Mrs Ms Mx Messrs Mmes Dr Drs Prof Rev Revd Hon Gov Gen Col Maj Capt Cpt Cmdr Cdr Lt Sgt Cpl Pvt Adm Sen Rep "
    "Pres Supt Insp Mt Ft St Ste vs cf viz esp approx incl excl resp e\\.g i\\.e "
    "Hr Hrn Frl Mag bzw ca evtl ggf inkl exkl zzgl vgl sog hrsg geb z\\.B d\\.h u\\.a "
    "Mme Mlle Mlles MM Mgr Me apr env p\\.ex "
    "Sra Sres Sras Srta Dra Ud Uds Vd Vds Lic Gral Tte Cnel Srs Exmo Exma Profa "
    "Sig Sigg Dott Avv Ing Arch Geom dhr mevr drs bijv dvs "
    "например напр г ул им проф Проф акад Акад см рис вул див "
    "dr prof hab inż mgr św np tzn tzw tzv tj sv např MUDr JUDr Doç Av"
)
_BEFORE_NUMBERS = _words(
    "No Nos Nr Nrn nr no nº Núm núm p pp vol Vol Bd Abs Art Fig Figs fig figs Abb Tab Kap Ch ch chap Chap Sec sec Sect "
    "Eq Ref pag pág págs str рис стр гл ст Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Okt Nov Dec Dez cap cca Tel tel"
)
# A single letter, letters with points between them, and these abbreviations end a sentence only before a starter.
_INITIALS = (
    f"{_NO_LETTER}(?:(?:\\p{{L}}\\.){{1,8}}\\p{{L}}|[^\\P{{Lu}}I]|[b-hj-z]|Inc|Ltd|Corp|Co|Bros|Jr|Sr|Ave|Blvd)\\."
)
_STARTERS = _words(
    "He She It They We You I The This That These Those His Her Its Our Their My Your But And So If There Here What "
    "When Where Why How Who Then In On At For Not No Yes"
)
_MONTHS = _words(
    "Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember "
    "januar februar marts mars april maj mai juni juli august september oktober november desember december "
    "ledna února března dubna května června července srpna září října listopadu prosince "
    "siječnja veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada studenoga prosinca"
)
_ORDINAL_OF = _words("[Dd](?:er|ie|as|en|em|es) [Ii]m [Vv]om [Zz]u[mr] [Bb]eim [Ee]ine[nrms]? [Jj]ede[nrms]?")
_NUMBER = "\\p{Nd}{1,3}(?:\\.\\p{Nd}{1,3})*"

_TAKE_OUT = (
    Rule(f"({_NO_LETTER}(?:{_ORDINAL_OF}) \\p{{Nd}}{{1,2}}\\.){CUT}", "\\1"),
    Rule(f"({_NO_LETTER}\\p{{Nd}}{{1,2}}\\.){CUT}({_SPACE}(?:{_MONTHS}))", "\\1\\2"),
    Rule(f"({_INITIALS}){CUT}({_SPACE}(?:{_STARTERS}){_SPACE})", f"\\1{SURE_CUT}\\2"),
    Rule(f"({_INITIALS}){CUT}", "\\1"),
    Rule(f"({_NO_LETTER}(?:{_NEVER_LAST})\\.)[{_MARKS}]", "\\1"),
    Rule(f"({_NO_LETTER}(?:{_BEFORE_NUMBERS})\\.){CUT}({_SPACE}(?:[#№]?\\p{{N}}|[IVXLC]+\\b))", "\\1\\2"),
    Rule(SURE_CUT, CUT),
    # "1." and "a)" at the beginning of a sentence are the number of a list item.
    Rule(f"((?:^|[{_MARKS}]){_SPACE}*)([(\\[\"']?(?:{_NUMBER}|[IVXLivx]{{1,5}}|\\p{{L}})[.)\\]]+){CUT}", "\\1\\2"),
)
# Text without a letter or digit is no sentence. This rule is applied twice, since a match consumes the next mark.
_JOIN_REST = (Rule(f"{CUT}([^\\p{{L}}\\p{{N}}{_MARKS}]*)([{_MARKS}]|$)", "\\1\\2"),) * 2

# The rules for a whole text.
CUTTING = (
    Rule(f"[{_MARKS}]", ""),
    Rule(f"([{LINE_ENDS}](?:{_SPACE}*[{LINE_ENDS}])*)", f"\\1{LINE_CUT}"),
    Rule(f"({_END})({_SPACE})", f"\\1{CUT}\\2"),
    Rule(f"{CUT}({_SPACE}\\(?{_LOWER}\\){_SPACE})", f"{SURE_CUT}\\1"),  # as in "a) the dog"
    Rule(f"{CUT}([^\\p{{L}}\\p{{N}}{_MARKS}]*{_LOWER})", "\\1"),
    *_TAKE_OUT,
    Rule(f"((?:[{_UNSPACED_ENDS}]+|\\p{{Hiragana}}．)[{_UNSPACED_CLOSING}]*)", f"\\1{CUT}"),
    Rule(f"([{_UNSPACED_CLOSING}]){CUT}([^{SPACES}{LINE_ENDS}{_OPENING}])", "\\1\\2"),  # as in 「行く。」と言う
    *_JOIN_REST,
    Rule(LINE_CUT, CUT),
)
# More rules for a sentence without capital letters: in such text, sentences may begin with small letters.
WITHOUT_CAPITALS = "[^\\p{Lu}\\p{Lt}]*"
CUTTING_SMALL = (
    Rule(f"((?:\\p{{L}}{{3}}\\.|[!?])[.!?]{{0,20}})({_SPACE}{_LOWER})", f"\\1{CUT}\\2"),
    Rule(f"({_NO_LETTER}(?:mr|mrs|etc|usw|max|min|dept|govt|{_NEVER_LAST})\\.){CUT}", "\\1"),
)

# Cuts between words and between characters, for texts that cannot be cut between sentences.
WORDS = (Rule(f"([^{SPACES}{LINE_ENDS}]+)", f"\\1{CUT}"),)
CHARACTERS = (Rule("((?s:.)\\p{M}*)", f"\\1{CUT}"),)

# Ranges instead of Unicode properties: RE2 runs out of memory if large character classes are repeated.
_ADDRESS = "A-Za-z0-9À-ɏͰ-ԯ"  # Latin, Greek and Cyrillic
_URL = f"[^{SPACES}{LINE_ENDS}ぁ-ゖ、。，！？「」（）]+"
_LINK = (
    f"(?:[A-Za-z][A-Za-z0-9+.-]*://|www\\.|mailto:){_URL}"
    f"|(?:[{_ADDRESS}][{_ADDRESS}._%+'-]*)?@[{_ADDRESS}_-]+(?:\\.[{_ADDRESS}_-]+)*"
    f"|(?:[a-z0-9-]+\\.)+[a-z]{{2,24}}(?:[/:?#]{_URL})?"
)
_AROUND_LINK = "[\"'“”‘’«»<>()\\[\\]{}.,;:!?…*_|–—-]{0,8}"
# Matches a whole sentence in which every word is a link or has no letter.
COPIED = f"(?:(?:{_AROUND_LINK}(?:{_LINK}){_AROUND_LINK}|[^\\p{{L}}{SPACES}]+)(?:[{SPACES}]+|$))+"

_LIST_MARK = (
    f"[(\\[]?{_NUMBER}[.)\\]]+|\\p{{Nd}}{{1,3}}(?:\\.\\p{{Nd}}{{1,3}}){{2,}}|\\(?(?:\\p{{Latin}}|[IVXivx]{{1,5}})\\)"
    "|[IVX]{2,5}\\.|[①-⓿]|[-–—*•‣◦▪▫●○■□·>]+|#{1,6}"
)
LISTED = f"((?:(?:{_LIST_MARK}){_SPACE}+)+)(.*\\p{{L}}.*)"  # groups: numbers or bullets, text of the item
DATE = f"\\p{{Nd}}{{1,2}}\\.{_SPACE}(?:{_MONTHS})(?:[^\\p{{L}}].*)?"  # "3. Oktober" is not a list item

_UNSPACED = "\\p{Han}\\p{Hiragana}\\p{Katakana}ー。！？｡、，；：…」』）】》〉”’"
NO_SPACE_AFTER = f"(?s:.*)[{_UNSPACED}]"  # matches text that the next text follows without a space


def tags_pattern(tags: Iterable[str]) -> str:
    """Returns a regular expression for leading tags and the spaces around them, or "" if there are no tags."""
    escaped = "|".join(
        "".join(f"\\{c}" if c.isascii() and not c.isalnum() and c != "_" else c for c in tag) for tag in tags
    )
    return f"^((?:{_SPACE}*(?:{escaped}))+{_SPACE}*)" if escaped else ""

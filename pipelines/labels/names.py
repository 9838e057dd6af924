"""Artists' and titles' names: the one normal form they are compared in, how alike two
are, and lists of true names."""

import io
from collections.abc import Sequence
from difflib import SequenceMatcher

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

ARTIST, TITLE = "artist", "title"
# What follows a dash or stands in brackets at the end of a title says which take it is, not
# which song.
VERSION = (
    r"(re-?master|re-?mix|mix|version|edit|live|album|single|mono|stereo|demo|acoustic|instrumental|explicit|"
    r"soundtrack|bonus|unplugged|medley|dub|take|cut)"
)
# A bracket at the very beginning is part of the name: "(Sittin' on) the Dock of the Bay".
BRACKET = (r"([\pL\pN].*?)(?:[(\[{][^)\]}]*[)\]}]?\s*)+", r"\1 ")
# Applied in this order, after lower-casing and the removal of accents.
RULES = {
    ARTIST: (
        (r"\b(featuring|feat|ft|with|vs|versus)\b\.?.*$", ""),
        BRACKET,
    ),
    TITLE: (
        BRACKET,
        (r"\s[-/:]\s.*\b" + VERSION + r".*$", ""),
        (r"\b(featuring|feat|ft)\b\.?.*$", ""),
    ),
}
PUNCTUATION = ((r"['’‘`´.]", ""), (r"&|\+", " and "), (r"[^\pL\pN]+", " "))
WORD = r"[\pL\pN]"
ARTICLE = r"^(the|a|an) | (the|a|an)$"


def normalise(names: pa.Array | pa.ChunkedArray, part: str) -> pa.Array | pa.ChunkedArray:
    """The form in which two names of an artist or a title (`part`) are the same name; null
    stays null.

    Lower case without accents or punctuation; "&" is "and"; bracketed words that do not
    begin the name, featured guests, version remarks after a dash and the English articles
    at either end go, unless nothing would be left: "Beatles, The" and "The Beatles" are
    both "beatles", "Help! - 2009 Remaster" and "Help (live)" both "help".
    """
    plain = pc.replace_substring_regex(
        pc.utf8_lower(pc.utf8_normalize(names, "NFKD")), r"\p{Mn}+", ""
    )
    short = plain
    for pattern, by in RULES[part]:
        cut = pc.replace_substring_regex(short, pattern, by)
        short = pc.if_else(pc.match_substring_regex(cut, WORD), cut, short)
    words = _words(short)
    without_article = pc.utf8_trim_whitespace(
        pc.replace_substring_regex(words, ARTICLE, " ")
    )
    return pc.if_else(pc.equal(without_article, ""), words, without_article)


def normalise_one(name: str, part: str) -> str:
    """normalise for a single name."""
    return normalise(pa.array([name]), part)[0].as_py()


def similarity(one: str, other: str) -> float:
    """How alike two normal forms are, 0 to 1: the larger of the share of common letters and
    of common words.

    Letters: twice the matching characters over all characters (Ratcliff & Obershelp 1988),
    blanks left out. Words: those of the shorter name that the longer one has too, where the
    shorter has two or more.
    """
    if not one or not other:
        return 0.0
    # The matcher is not symmetric, so the two go in by order.
    first, second = sorted((one.replace(" ", ""), other.replace(" ", "")))
    letters = SequenceMatcher(None, first, second, autojunk=False).ratio()
    shorter, longer = sorted((set(one.split()), set(other.split())), key=len)
    return (
        max(letters, len(shorter & longer) / len(shorter)) if len(shorter) > 1 else letters
    )


def similarities(
    ones: Sequence[str | None], others: Sequence[str | None]
) -> list[float | None]:
    """similarity pair by pair, None where either name is missing."""
    pairs = zip(ones, others, strict=True)
    return [
        None if one is None or other is None else similarity(one, other)
        for one, other in pairs
    ]


def read_names(data: bytes, name: str) -> pa.Table:
    """A list of true names, tab-separated with a header `md5, artist, title`: one row an
    md5, all strings.

    name: the file's, for the error. Raises ValueError where the columns are not there or an
    md5 has two names.
    """
    types = dict.fromkeys(("md5", ARTIST, TITLE), pa.string())
    try:
        table = csv.read_csv(
            io.BytesIO(data),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=types, include_columns=list(types)
            ),
        )
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(
            f"{name} is no tab-separated list of md5, artist, title with a header: {error}"
        ) from error
    if pc.count_distinct(table["md5"]).as_py() != len(table):
        raise ValueError(f"{name} names an md5 twice: keep one line for each")
    return table


def _words(names: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    for pattern, by in PUNCTUATION:
        names = pc.replace_substring_regex(names, pattern, by)
    return pc.utf8_trim_whitespace(names)

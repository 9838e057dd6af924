"""Names: pairs that are one name and pairs that are two, likeness, and the list of true
names."""

import pyarrow as pa
import pytest

from pipelines.labels.names import (
    ARTIST,
    TITLE,
    normalise,
    normalise_one,
    read_names,
    similarity,
)

SAME = [
    (ARTIST, "Beatles, The", "The Beatles"),
    (ARTIST, "Céline Dion", "Celine Dion"),
    (ARTIST, "Simon & Garfunkel", "simon and garfunkel"),
    (ARTIST, "Eminem feat. Dido", "Eminem"),
    (ARTIST, "The The", "the the"),
    (TITLE, "Help! - 2009 Remaster", "Help (live)"),
    (TITLE, "(Sexual) Healing", "Sexual Healing"),
    (TITLE, "Easy Come_ Easy Go", "Easy Come, Easy Go"),
    (TITLE, "Don't Stop", "Dont Stop"),
    (TITLE, "Smooth (feat. Rob Thomas) [Remix]", "SMOOTH"),
    (TITLE, "Live", "Live - Album Version"),
]
OTHER = [
    (TITLE, "Song 2", "Song 3"),
    (TITLE, "Baby - Come Back", "Baby"),
    (TITLE, "Live and Let Die", "Let Die"),
    (ARTIST, "Bob Dylan", "Dylan Thomas"),
    (TITLE, "Angel", "Angels"),
]


@pytest.mark.parametrize(("part", "one", "other"), SAME)
def test_one_name(part, one, other):
    assert normalise_one(one, part) == normalise_one(other, part) != ""


@pytest.mark.parametrize(("part", "one", "other"), OTHER)
def test_two_names(part, one, other):
    assert normalise_one(one, part) != normalise_one(other, part)


def test_normal_form_is_stable_and_keeps_nulls():
    names = [name for _, *pair in SAME + OTHER for name in pair] + [
        None,
        "",
        "???",
        "夜に駆ける",
        "Ленинград",
    ]
    for part in (ARTIST, TITLE):
        once = normalise(pa.array(names), part)
        assert normalise(once, part).to_pylist() == once.to_pylist()
        assert [name is None for name in once.to_pylist()] == [
            name is None for name in names
        ]
    assert normalise_one("夜に駆ける", TITLE) != "" != normalise_one("Ленинград", ARTIST)


def test_one_at_a_time_equals_the_column():
    names = [name for _, *pair in SAME + OTHER for name in pair]
    assert normalise(pa.array(names), TITLE).to_pylist() == [
        normalise_one(name, TITLE) for name in names
    ]


def test_similarity_is_symmetric_and_bounded():
    names = [normalise_one(name, TITLE) for _, *pair in SAME + OTHER for name in pair] + [
        ""
    ]
    for one in names:
        for other in names:
            assert 0 <= similarity(one, other) <= 1
            assert similarity(one, other) == similarity(other, one)
        assert similarity(one, one) == (1.0 if one else 0.0)


def test_similarity_knows_slips_and_shortenings():
    assert similarity("seperate ways", "separate ways") > 0.9
    assert similarity("i was made for lovin you", "i was made for loving you baby") > 0.8
    assert similarity("montagues and capulets", "romeo and juliet") < 0.6
    assert similarity("always", "always be my baby") < 0.8


def test_read_names(real_data):
    table = read_names(
        (real_data / "lmd_clean_names.tsv").read_bytes(), "lmd_clean_names.tsv"
    )
    assert table.column_names == ["md5", "artist", "title"] and len(table) == 621
    lines = (real_data / "lmd_clean_names.tsv").read_text("utf-8").splitlines()[1:]
    assert [list(row.values()) for row in table.to_pylist()] == [
        line.split("\t") for line in lines
    ]


@pytest.mark.parametrize(
    "data", [b"", b"md5\tartist\nx\ty\n", b"md5\tartist\ttitle\na\tb\n", b"\x00\xff\xfe"]
)
def test_a_file_that_is_no_list_is_one_sentence(data):
    with pytest.raises(ValueError, match=r"names\.tsv is no tab-separated list"):
        read_names(data, "names.tsv")


def test_a_name_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        read_names(b"md5\tartist\ttitle\na\tb\tc\na\tb\td\n", "names.tsv")


def test_quotes_and_blanks_in_names_are_kept():
    table = read_names(b'md5\tartist\ttitle\na\t"Weird Al"\tEat It\n', "names.tsv")
    assert table["artist"].to_pylist() == ['"Weird Al"']

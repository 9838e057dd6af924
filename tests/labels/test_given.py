"""Published splits: the forms they come in, and what is none."""

import pytest

from pipelines.config import CurateConfig
from pipelines.curate import refuse_leaking_splits
from pipelines.labels.given import given_splits, merge_given, read_given
from pipelines.labels.splits import Shares
from schemas.reject import BuildFailed


def splits(data: str, ids: list[str], keys: list[str], name: str = "x.csv") -> list[int]:
    return given_splits(ids, keys, read_given(data.encode(), name)).tolist()


def test_songs_are_named_by_id_key_md5_or_file():
    ids, keys = ["midi:a/b", "midi:c", "midi:d"], ["a/b", "c", "d"]
    assert splits("song_id,split\nmidi:c,test\n", ids, keys) == [-1, 2, -1]
    assert splits("source_key,split\na/b,train\nc,val\n", ids, keys) == [0, 1, -1]
    assert splits("md5\tsplit\nd\tValid\n", ids, keys, "x.tsv") == [-1, -1, 1]
    assert splits("file,split\na/b.mid,test\n", ids, keys) == [2, -1, -1]
    assert splits("file,split\na/b.mid,test\n", ids, ["a/b.mid", "c", "d"]) == [2, -1, -1]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("name,split\na,test\n", "lacks a column split or one of song_id"),
        ("song_id\na\n", "lacks a column split"),
        ("song_id,split\na,tset\n", "'tset' is no split"),
        ("song_id,split\na,test\na,train\n", "gives a song two splits"),
        ("", "is no list of splits"),
    ],
)
def test_what_is_no_list_of_splits_is_refused(data, says):
    with pytest.raises(ValueError, match=says):
        read_given(data.encode(), "x.csv")


def test_two_lists_must_agree():
    one, other = (
        read_given(f"song_id,split\na,{split}\n".encode(), "x.csv")
        for split in ("test", "train")
    )
    assert len(merge_given([one, one])) == 1
    with pytest.raises(ValueError, match=r"splits.given gives a song two splits"):
        merge_given([one, other])


def test_published_splits_that_leak_end_the_build_unless_songs_may_be_set_aside():
    leaking = {"given_conflicts": 3}
    with pytest.raises(BuildFailed, match="the published splits leak: 3 songs"):
        refuse_leaking_splits(CurateConfig("t", {}), leaking)
    aside = CurateConfig("t", {}, splits=Shares(given_leaks="set_aside"))
    refuse_leaking_splits(aside, leaking)
    refuse_leaking_splits(CurateConfig("t", {}), {"given_conflicts": 0})

"""How kept songs are dealt out to files."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.beam.release import parts_of


@given(st.integers(1, 40), st.lists(st.integers(1, 40), min_size=3, max_size=3))
def test_every_split_takes_every_song_shard_once_and_in_order(
    n_shards: int, wanted: list[int]
) -> None:
    n_files = {
        split: min(n, n_shards)
        for split, n in zip(("train", "validation", "test"), wanted, strict=True)
    }
    parts = parts_of(n_files, n_shards)
    for split, n in n_files.items():
        mine = [part for part in parts if split in part.splits]
        assert [(part.index, part.n_files) for part in mine] == [(i, n) for i in range(n)]
        assert [shard for part in mine for shard in part.song_shards] == list(
            range(n_shards)
        )
        sizes = [len(part.song_shards) for part in mine]
        assert max(sizes) - min(sizes) <= 1


def test_splits_of_as_many_files_are_written_in_one_pass() -> None:
    parts = parts_of({"train": 4, "validation": 1, "test": 1}, 8)
    assert [(part.splits, part.song_shards) for part in parts] == [
        (("train",), (0, 1)),
        (("train",), (2, 3)),
        (("train",), (4, 5)),
        (("train",), (6, 7)),
        (("validation", "test"), tuple(range(8))),
    ]

"""Spotify's API against a local server that misbehaves: what is retried, what ends the
run, and what is never said."""

import logging

import pytest

from pipelines.labels.spotify.client import Found, Manners, SpotifyApi, SpotifyError

IDS = [f"{index:022d}" for index in range(3)]
QUERY = "track:One artist:A"


@pytest.fixture
def fake(fake_spotify):
    fake_spotify.tracks = {
        IDS[0]: ("One", ["A", "B"], "R", 100.5),
        IDS[1]: ("Two", ["A"], "", 200.0),
    }
    fake_spotify.values = {IDS[0]: (0.25, 0.75), IDS[1]: (0, 1)}
    return fake_spotify


def api(fake, waits=None, **manners) -> SpotifyApi:
    manners = Manners(
        **{"timeout_seconds": 5.0, "backoff_seconds": 1.0, "tries": 4} | manners
    )
    sleep = [].append if waits is None else waits.append
    return SpotifyApi(manners, sleep, f"{fake.url}/v1/", f"{fake.url}/api/token")


def test_search_and_features(fake):
    spotify = api(fake)
    assert spotify.search(QUERY, 10) == [Found(IDS[0], "One", ("A", "B"), "R", 100.5)]
    assert spotify.features(IDS) == {IDS[0]: (0.25, 0.75), IDS[1]: (0.0, 1.0), IDS[2]: None}
    assert spotify.spent == 2


PASSING = [
    500,
    502,
    429,
    "half",
    "cut",
    b"",
    b"<html>busy</html>",
    b"null",
    [],
    {"tracks": 3},
]


@pytest.mark.parametrize(
    "trick",
    [
        *PASSING,
        {"tracks": {"items": 3}},
        {"tracks": {"items": ["x"]}},
        {"tracks": {"items": [{"id": 1}]}},
    ],
)
def test_search_asks_again(fake, trick):
    fake.tricks, waits = [trick, trick], []
    assert [found.title for found in api(fake, waits).search(QUERY, 10)] == ["One"]
    assert len(fake.asked) == 3 and waits == [1.0, 2.0]


@pytest.mark.parametrize(
    "trick",
    [
        *PASSING, {"audio_features": []}, {"audio_features": "x"}, {"audio_features": [None, None]},
        {"audio_features": [{"id": "other", "valence": 0.5, "energy": 0.5}]},
    ],
)  # fmt: skip
def test_features_ask_again(fake, trick):
    fake.tricks, waits = [trick], []
    assert api(fake, waits).features(IDS[:1]) == {IDS[0]: (0.25, 0.75)}
    assert len(fake.asked) == 2 and waits == [1.0]


@pytest.mark.parametrize(
    "token",
    [b"[]", b"{}", b"null", b'{"access_token": "x"}', b'{"access_token": "x", "expi', b""],
)
def test_a_token_of_another_form_is_asked_for_again(fake, token):
    fake.tokens, waits = [token, token], []
    assert api(fake, waits).features(IDS[:1]) == {IDS[0]: (0.25, 0.75)}
    assert len(fake.asked) == 1 and waits == [1.0, 2.0]


def test_a_slow_answer_is_asked_for_again(fake):
    fake.tricks = ["slow"]
    assert api(fake, timeout_seconds=0.2).features(IDS[:1]) == {IDS[0]: (0.25, 0.75)}
    assert len(fake.asked) == 2


def test_an_answer_to_the_search_before_is_not_taken(fake):
    spotify = api(fake)
    spotify.search(QUERY, 10)
    fake.tricks = ["stale"]
    assert [found.title for found in spotify.search("track:Two artist:A", 10)] == ["Two"]
    assert len(fake.asked) == 3


def test_features_of_the_track_before_are_not_taken(fake):
    spotify = api(fake)
    spotify.features(IDS[:1])
    fake.tricks = ["stale"]
    assert spotify.features(IDS[1:2]) == {IDS[1]: (0.0, 1.0)}
    assert len(fake.asked) == 3


@pytest.mark.parametrize("value", ["0.5", 7, -0.1, None, True, [0.5], {"x": 1}])
def test_a_value_of_another_type_is_no_value(fake, value):
    fake.values[IDS[0]] = (value, 0.5)
    assert api(fake).features(IDS[:2]) == {IDS[0]: None, IDS[1]: (0.0, 1.0)}


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("7", 7.0), ("0", 1.0), ("soon", 1.0), ("-5", 1.0), ("1e9", 1.0), ("", 1.0)],
)
def test_429_waits_as_long_as_it_is_asked_to(fake, asked, waited):
    fake.tricks, waits = [(429, {"Retry-After": asked})], []
    api(fake, waits).features(IDS[:1])
    assert waits == [waited]


def test_429_for_a_day_ends_the_run(fake):
    fake.tricks = [(429, {"Retry-After": "86400"})]
    with pytest.raises(
        SpotifyError, match=r"asks to wait 86400 seconds: after that, run again"
    ):
        api(fake).features(IDS[:1])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (403, "closed to new apps since November 2024, use a frozen label table"),
        (404, "use a frozen label table"),
        (401, "refuses the token"),
        (400, "calls the request wrong"),
    ],
)
def test_a_refusal_ends_the_run_at_once_in_one_sentence(fake, code, says):
    fake.always = code
    with pytest.raises(SpotifyError, match=says):
        api(fake).features(IDS[:1])
    assert len(fake.asked) == 1


def test_failing_for_ever_ends_after_the_tries(fake):
    fake.always, waits = 500, []
    with pytest.raises(SpotifyError, match="failed 4 times, last with status 500"):
        api(fake, waits).features(IDS[:1])
    assert len(fake.asked) == 4 and waits == [1.0, 2.0, 4.0]


def test_the_budget_counts_tries(fake):
    fake.tricks = [500]
    spotify = api(fake, budget=3)
    spotify.search(QUERY, 10)
    spotify.search(QUERY, 10)
    with pytest.raises(SpotifyError, match="budget of 3 requests is spent: run again"):
        spotify.search(QUERY, 10)
    assert len(fake.asked) == 3


def test_a_server_that_is_not_there(fake):
    spotify = api(fake)
    spotify.client.prefix = "http://127.0.0.1:1/v1/"
    with pytest.raises(SpotifyError, match="failed 4 times, last with ConnectionError"):
        spotify.search(QUERY, 10)


def test_no_credentials_is_one_sentence(fake, monkeypatch):
    monkeypatch.delenv("SPOTIPY_CLIENT_SECRET")
    with pytest.raises(
        SpotifyError, match="set SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
    ):
        api(fake)


def test_credentials_are_never_logged_nor_written(
    fake, caplog, capfd, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("spotipy").setLevel(logging.DEBUG)
    fake.tricks = [None, 500]
    spotify = api(fake, tries=2)
    spotify.search(QUERY, 10)
    spotify.features(IDS)
    fake.always = 403
    with pytest.raises(SpotifyError) as error:
        spotify.features(IDS)
    said = caplog.text + str(capfd.readouterr()) + repr(error.value)
    assert "urllib3" in said, "nothing was logged at all, so this shows nothing"
    # The secret goes over the line in base 64.
    for secret in (fake.secret, fake.token, "YXBwOnNlY3JldC1vZi10aGUtYXBw"):
        assert secret not in said
    assert list(tmp_path.iterdir()) == []

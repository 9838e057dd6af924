"""Keys: numbers, names, neighbours, and profiles against music21's."""

import numpy as np
import pytest
from music21.analysis import discrete

from pipelines.features.key.profiles import key_profile, neighbour_costs
from schemas.keys import KEY_NAMES, KEY_NAMES_ASCII, N_KEYS, NO_KEY, is_minor, tonic


def test_names():
    assert len(KEY_NAMES) == len(set(KEY_NAMES)) == N_KEYS + 1
    assert (KEY_NAMES[0], KEY_NAMES[1], KEY_NAMES[6], KEY_NAMES[13], KEY_NAMES[15]) == (
        "C major", "D♭ major", "F♯ major", "C♯ minor", "E♭ minor",
    )  # fmt: skip
    assert KEY_NAMES[NO_KEY] == "none"
    assert all(name.isascii() for name in KEY_NAMES_ASCII)
    assert (KEY_NAMES_ASCII[10], KEY_NAMES_ASCII[18]) == ("Bb major", "F# minor")


def test_tonic_and_mode():
    assert [tonic(key) for key in (0, 11, 12, 23)] == [0, 11, 0, 11]
    assert [is_minor(key) for key in (0, 11, 12, 23, NO_KEY)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    with pytest.raises(ValueError, match="24 has no tonic"):
        tonic(NO_KEY)


@pytest.mark.parametrize(
    ("name", "analysis"),
    [
        ("krumhansl_kessler", discrete.KrumhanslSchmuckler),
        ("aarden_essen", discrete.AardenEssen),
        ("bellman_budge", discrete.BellmanBudge),
        ("temperley", discrete.TemperleyKostkaPayne),
        ("sapp_simple", discrete.SimpleWeights),
    ],
)
def test_profiles_are_those_of_music21(name, analysis):
    for key in (0, 7, 12, 21):
        weights = analysis().getWeights("minor" if is_minor(key) else "major")
        np.testing.assert_allclose(key_profile(name)[key], np.roll(weights, tonic(key)))


def test_every_profile_has_its_triad_on_top():
    for name in (
        "albrecht_shanahan",
        "temperley",
        "aarden_essen",
        "bellman_budge",
        "krumhansl_kessler",
        "sapp_simple",
    ):
        profile = key_profile(name)
        assert set(profile[0].argsort()[-2:]) <= {0, 4, 7}
        assert profile[12, 3] > profile[12, 4] and profile[0, 4] > profile[0, 3]


def test_neighbours():
    costs = neighbour_costs(fifths=1.0, mode=10.0, parallel=0.3, relative=0.2)
    c_major = costs[0]
    assert c_major[7] == c_major[5] == 0.0  # G, F
    assert (c_major[2], c_major[6]) == (1.0, 5.0)  # D, F sharp
    assert (c_major[21], c_major[12]) == (0.2, 0.3)  # A minor, C minor
    assert c_major[16] == 10.0  # E minor, the relative of G
    assert np.isinf(np.diag(costs)).all()
    np.testing.assert_array_equal(costs, costs.T)
    # Equally far from every tonic.
    for up in range(12):
        moved = [(key + up) % 12 + 12 * (key >= 12) for key in range(N_KEYS)]
        np.testing.assert_array_equal(costs[np.ix_(moved, moved)], costs)

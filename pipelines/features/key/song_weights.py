"""What tells the key of a song, and how much: fitted by tests/bench/key_fit.py, which
writes this file.

2,485 songs: Beatles, folk tunes with and without chords, scores, piano pieces.
"""

from pipelines.features.key.song_key import SongWeights

# Degrees are semitones above the tonic.
# fmt: off
FITTED = SongWeights(
    #        0      1      2      3      4      5      6      7      8      9     10     11
    major=(
        11.68, -5.54, -1.80,  0.05, 10.24,  2.67, -8.34,  4.74, -5.29,  1.66, -12.08, -0.20,
    ),
    #        0      1      2      3      4      5      6      7      8      9     10     11
    minor=(
        10.66, -4.51,  3.88,  4.65, -8.66, -1.63, -3.34, 10.12,  4.60, -9.56, -4.13,  0.12,
    ),
    #        0      2      5      7     10
    opening_bass=(
         4.43,  1.58, -1.62,  1.55,  1.82,
    ),
    #        0      5      7
    first_bass=(
         1.85, -1.00,  1.19,
    ),
    #        0      5      7
    last_bass=(
         2.48,  0.98,  0.81,
    ),
    melody_phrase=0.19,
    melody_last=2.03,
    minor_key=-1.38,
)
# fmt: on

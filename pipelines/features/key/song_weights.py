"""What tells the key of a song, and how much: fitted by tests/bench/key_fit.py, which
writes this file.

1,542 pieces: Beatles songs, folk tunes with and without chords, scores, piano music.
"""

from pipelines.features.key.song_key import SongWeights

# Degrees are semitones above the tonic.
# fmt: off
FITTED = SongWeights(
    #        0      1      2      3      4      5      6      7      8      9     10     11
    major=(
        12.21, -5.48, -1.74, -1.36,  8.76,  2.02, -8.53,  6.19, -4.02,  0.52, -11.80, -0.49,
    ),
    #        0      1      2      3      4      5      6      7      8      9     10     11
    minor=(
        11.53, -5.41,  4.27,  4.83, -9.62, -1.43, -2.71, 11.18,  3.56, -10.16, -4.27,  1.94,
    ),
    #        0      2      5      7     10
    opening_bass=(
         3.70,  0.25, -1.42,  0.72,  1.29,
    ),
    #        0      5      7
    first_bass=(
         1.30, -0.14,  0.64,
    ),
    #        0      5      7
    last_bass=(
         1.62,  0.43,  0.64,
    ),
    melody_phrase=0.17,
    melody_last=1.31,
    minor_key=-2.28,
)
# fmt: on

"""Keys as numbers: 0-11 C..B major, 12-23 C..B minor, 24 none; their names."""

N_KEYS = 24
NO_KEY = 24

_MAJOR = ("C", "D♭", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_MINOR = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "G♯", "A", "B♭", "B")

# The spelling a musician uses: the one with fewer accidentals; sharps for F♯ major, flats
# for E♭ minor (six either way).
KEY_NAMES = (
    *(f"{tonic} major" for tonic in _MAJOR),
    *(f"{tonic} minor" for tonic in _MINOR),
    "none",
)
KEY_NAMES_ASCII = tuple(name.replace("♯", "#").replace("♭", "b") for name in KEY_NAMES)


def tonic(key: int) -> int:
    """Pitch class (0 C to 11 B) of a key's tonic; ValueError for no key."""
    if not 0 <= key < N_KEYS:
        raise ValueError(f"{key} has no tonic: keys are 0-{N_KEYS - 1}")
    return key % 12


def is_minor(key: int) -> bool:
    """Whether a key is a minor one; no key is not."""
    return 12 <= key < N_KEYS

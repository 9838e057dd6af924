"""Works: what a release may be derived from, each with its licence and how to cite it, once.

A file of manifests/sources names the works behind what it fetches; the card, the Croissant file
and the lineage name those behind a release.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """Something to be named, licensed and cited.

    licence: an id as Hugging Face's cards spell it (`other` where no id fits); terms: what
    it asks, in a sentence.
    """

    name: str
    url: str
    licence: str
    licence_name: str
    licence_url: str
    terms: str
    citation: str


LPD = Work(
    "Lakh Pianoroll Dataset (LPD-5)",
    "https://hermandong.com/lakh-pianoroll-dataset/",
    "cc-by-4.0",
    "CC BY 4.0",
    "https://creativecommons.org/licenses/by/4.0/",
    "free to use and to change with attribution",
    "Hao-Wen Dong, Wen-Yi Hsiao, Li-Chia Yang and Yi-Hsuan Yang. MuseGAN: Multi-track Sequential Generative Adversarial "
    "Networks for Symbolic Music Generation and Accompaniment. AAAI 2018.",
)


LMD = Work(
    "Lakh MIDI Dataset (LMD)",
    "https://colinraffel.com/projects/lmd/",
    "cc-by-4.0",
    "CC BY 4.0",
    "https://creativecommons.org/licenses/by/4.0/",
    "free to use and to change with attribution; what its files transcribe has owners of its own",
    "Colin Raffel. Learning-Based Methods for Comparing Sequences, with Applications to Audio-to-MIDI Alignment and "
    "Matching. PhD thesis, Columbia University, 2016.",
)


NOTTINGHAM = Work(
    "Nottingham Music Database (jukedeck's cleaned copy)",
    "https://github.com/jukedeck/nottingham-dataset",
    "gpl-3.0",
    "GPL-3.0",
    "https://www.gnu.org/licenses/gpl-3.0.html",
    "what is derived from it and passed on stays under GPL-3.0",
    "Eric Foxley. Nottingham Music Database; its ABC edition as cleaned by Jukedeck, github.com/jukedeck/nottingham-dataset.",
)


MUSIC21 = Work(
    "music21's corpus",
    "https://www.music21.org",
    "other",
    "terms of each piece",
    "https://github.com/cuthbertLab/music21/blob/master/music21/corpus/license.txt",
    "each piece has terms of its own, some of which exclude commercial use",
    "Michael Scott Cuthbert and Christopher Ariza. music21: A Toolkit for Computer-Aided Musicology and Symbolic Music "
    "Data. ISMIR 2010.",
)


MSD = Work(
    "Million Song Dataset (MSD)",
    "http://millionsongdataset.com",
    "other",
    "The Echo Nest's API terms",
    "https://github.com/tbertinmahieux/MSongsDB/blob/master/LICENSE",
    "research may use it and publish results; companies are asked to enquire",
    "Thierry Bertin-Mahieux, Daniel P. W. Ellis, Brian Whitman and Paul Lamere. The Million Song Dataset. ISMIR 2011.",
)


SPOTIFY = Work(
    "Spotify's audio features (valence, energy)",
    "https://developer.spotify.com/documentation/web-api",
    "other",
    "Spotify's Developer Terms",
    "https://developer.spotify.com/policy",
    "since 8 May 2023 the Developer Policy forbids training machine-learning models on Spotify content; whoever trains on "
    "these values, or passes them on, has to settle that with Spotify first",
    "Spotify. Web API, audio features. developer.spotify.com.",
)


MIDI_EMOTION = Work(
    "midi-emotion's table of MSD tracks and Spotify features",
    "https://github.com/serkansulun/midi-emotion",
    "gpl-3.0",
    "GPL-3.0",
    "https://www.gnu.org/licenses/gpl-3.0.html",
    "what is derived from it and passed on stays under GPL-3.0",
    "Serkan Sulun, Matthew E. P. Davies and Paula Viana. Symbolic Music Generation Conditioned on Continuous-Valued "
    "Emotions. IEEE Access 10, 2022.",
)


SEMG_GMVAE = (
    "Xu Bei and Liu Tong. Semi-supervised Emotional Music Generation Method Based on Improved Gaussian Mixture Variational "
    "Autoencoders. Computer Science 51(8), 281-296, 2024."
)


CORPORA: dict[str, tuple[Work, ...]] = {
    "lpd5": (LPD, LMD),
    "nottingham": (NOTTINGHAM,),
    "sample": (MUSIC21,),
}

# By the name under which a file of manifests/sources calls a work.
WORKS = {
    "lpd": LPD,
    "lmd": LMD,
    "nottingham": NOTTINGHAM,
    "music21": MUSIC21,
    "msd": MSD,
    "spotify": SPOTIFY,
    "midi-emotion": MIDI_EMOTION,
}

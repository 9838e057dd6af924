"""Sources: who made what a release is derived from, under which terms, how to cite it, and
what is known to be wrong with it.

The one table from which the card, the Croissant file and the lineage take these facts. A
release names its sources and its label tables in the manifest; what it does not use is not
told.
"""

import re
from collections.abc import Mapping
from typing import Any

from pipelines.sources.sample.synthetic_labels import LABEL_SOURCE
from pipelines.works import CORPORA, MIDI_EMOTION, MSD, SPOTIFY, Work

UNKNOWN_TERMS = "see where it came from"
# As Hugging Face's cards spell licences: cc-by-4.0
HUB_LICENCE = re.compile(r"[a-z][a-z0-9.]*(-[a-z0-9.]+)+")


def works(manifest: Mapping[str, Any]) -> list[Work]:
    """Everything that a release is derived from, corpora first, then what its labels are
    from; nothing twice."""
    found = [
        work
        for name in manifest["waterfall"]
        if name != "all"
        for work in corpus_works(name, manifest)
    ]
    tables = service_tables(manifest)
    if tables:
        found += [
            MSD,
            *([MIDI_EMOTION] if "msd_spotify_features" in tables else []),
            SPOTIFY,
        ]
    used = label_tables(manifest)
    found += [
        stated_work(f"{name} (labels)", says)
        for name, says in own_tables(manifest).items()
        if name in used
    ]
    return list(dict.fromkeys(found))


def corpus_works(name: str, manifest: Mapping[str, Any]) -> tuple[Work, ...]:
    """The works behind a source: of the registry, else as the build states them; one of
    which nothing is stated is named, with its terms said to be unknown."""
    known = CORPORA.get(name)
    if known:
        return known
    return (stated_work(name, manifest["config"]["sources"].get(name, {})),)


def stated_work(name: str, says: Mapping[str, Any]) -> Work:
    """A work as a build file states it: license, citation and url."""
    licence = says.get("license", "")
    return Work(
        name,
        says.get("url", ""),
        licence if HUB_LICENCE.fullmatch(licence) else "other",
        licence or UNKNOWN_TERMS,
        "",
        "as the one who built this states" if licence else "no terms are on record",
        says.get("citation", "") or f"{name}.",
    )


def own_tables(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The label tables of one's own that the build names, by name."""
    own: Mapping[str, Any] = manifest["config"]["affect"].get("own", {})
    return own


def service_tables(manifest: Mapping[str, Any]) -> list[str]:
    """The label tables whose values are a service's: neither the sample's rule nor one's
    own."""
    others = {LABEL_SOURCE, *own_tables(manifest)}
    return [name for name in label_tables(manifest) if name not in others]


def licences(manifest: Mapping[str, Any]) -> list[Work]:
    """One work for each different licence, in the order of works."""
    return list(
        {
            (work.licence, work.licence_name): work for work in reversed(works(manifest))
        }.values()
    )[::-1]


def label_tables(manifest: Mapping[str, Any]) -> list[str]:
    """The label tables that gave labels, by name: a label's source is `table:rule`, that
    of a mean `table+table:mean`."""
    return sorted(
        {
            table
            for source in manifest["labels"]["sources"]
            for table in source.rpartition(":")[0].split("+")
        }
    )


def has_rule_labels(manifest: Mapping[str, Any]) -> bool:
    """Whether any label is made by the sample's rule and by nobody's ear."""
    return LABEL_SOURCE in label_tables(manifest)


def flaws(manifest: Mapping[str, Any]) -> list[str]:
    """What is known to be wrong with the data, a sentence or two each, of what this release
    holds.

    Figures were measured on 13,215 songs of LPD-5, 2,014 songs whose true name is known and
    20,394 labels.
    """
    sources, labelled = set(manifest["waterfall"]), manifest["labels"]["labelled"]
    from_service = bool(service_tables(manifest))
    config = manifest["config"]
    rules = [
        (
            "lpd5" in sources and from_service,
            "About a third of LMD's matches to MSD point at the wrong song (34.6 % of 2,014 songs whose true name is known). "
            "`label_trust` says how likely a match is right and `trusted` marks the songs to evaluate on.",
        ),
        (
            from_service,
            "Arousal is Spotify's `energy`: Spotify publishes no arousal, and that energy stands for it is our decision. "
            "Valence and energy describe a recording, not this arrangement of it, and correlate (.43).",
        ),
        (
            bool(labelled) and has_rule_labels(manifest),
            "The labels are made by a rule from tempo, mode and register. They try the commands; they say nothing of emotion.",
        ),
        (
            from_service,
            "Valence is hardly tied to mode: major against minor tells valence no better than chance (.48 to .51).",
        ),
        (
            from_service,
            "Two labels of one piece agree in .754 (valence) and .759 (arousal) of cases: no model that sees the notes alone "
            "can be much better than .79. Give balanced accuracy, the majority's share and this ceiling beside any figure.",
        ),
        (
            from_service and config["affect"]["zero_is_missing"],
            "Valence of exactly 0 is taken as missing: spoken intros and effects carry it.",
        ),
        (
            "lpd5" in sources,
            "LPD keeps no meter: where nothing says otherwise bars are an assumed 4/4 from the first tick "
            "(`meter_source` = assumed_4_4).",
        ),
        (
            "lpd5" in sources,
            "LPD's piano rolls cannot tell a repeated note from a held one unless the loudness changes, and a drum hit lasts "
            "one tick. Forty in a hundred onsets stand one tick early, so tokens round to the nearest sixteenth.",
        ),
        (
            True,
            "A sixteenth grid has no triplets: they are moved to the nearest sixteenth (`moved_onsets`); durations are cut to "
            "16 sixteenths (`clipped_durations`) and pitches outside 21-108 left out of the tokens (`dropped_pitches`). The "
            "`note_*` columns keep all of them.",
        ),
        (
            config["key"]["method"] == "hmm",
            "Keys are estimated by a hidden Markov model, not given by the corpus; `key_confidence` says how sure it is.",
        ),
        (
            config["key"]["method"] == "ks_bar",
            "Keys are estimated by Krumhansl-Schmuckler on each bar alone, as the paper does, which is right in about half of "
            "the bars; `key_confidence` is the lead over the next best key.",
        ),
        (
            True,
            "Duplicates are found from notes, not from names: other arrangements of one song stay, and may be in another split "
            "where nothing else ties them together.",
        ),
    ]
    return [says for holds, says in rules if holds]

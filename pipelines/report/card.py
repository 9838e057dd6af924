"""card: a release's README.md, a Hugging Face dataset card, written from the manifest
and from nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.labels.config import AGREE
from pipelines.report import citations, snippets
from pipelines.report.card_header import configs, header
from pipelines.works import SEMG_GMVAE
from schemas.keys import KEY_NAMES
from schemas.labels import QUADRANT_CLASSES
from schemas.markdown import table

CARD = "README.md"


def card(manifest: Mapping[str, Any]) -> str:
    """The card as Markdown under a YAML header; the same manifest gives the same bytes."""
    sections = [
        _what(manifest),
        _use(manifest),
        _built(manifest),
        _waterfalls(manifest),
        _labels(manifest),
        *([_people(manifest)] if manifest.get("people") else []),
    ]
    sections += [
        _splits(manifest),
        _columns(manifest),
        _flaws(manifest),
        _licences(manifest),
        _cite(manifest),
    ]
    return f"---\n{header(manifest)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _what(manifest: Mapping[str, Any]) -> str:
    labels, splits = manifest["labels"], manifest["splits"]
    names = ", ".join(
        work.name
        for name in _sources(manifest)
        for work in citations.corpus_works(name, manifest)[:1]
    )
    rows = sum(splits.values())
    labelled = (
        f"{labels['labelled']:,} of them with a valence and an arousal"
        if labels["labelled"]
        else "none of them labelled"
    )
    warning = (
        "\n\n**The labels of this release are made by a rule from tempo, mode and register. No listener and no service gave "
        "them: they are there to try the commands with, not to study emotion.**"
        if citations.has_rule_labels(manifest)
        else ""
    )
    return (
        f"# {manifest['name']}\n\n{rows:,} songs of symbolic music from {names}, {labelled}: notes, bars, tempo, REMI tokens, "
        f"rhythm and key bar by bar, one row a song.{warning}\n\n"
        "It is made for generating music of a wanted emotion with few labels: songs without a label stay, near-duplicates "
        "never stand in two splits, and every song that was left out says why. `report.html` shows the data in plots, "
        "`manifest.json` holds every number on this page, `vocabulary.json` the names of the tokens, `croissant.json` describes "
        "the files to programs."
    )


def _use(manifest: Mapping[str, Any]) -> str:
    return "\n\n".join(
        [
            "## Use",
            _python(snippets.LOAD),
            f"A second word chooses rows: {', '.join(f'`{name}`' for name in configs(manifest))}. `quadrant`, the classes, "
            "`meter_source` and `note_track` are ClassLabels there. To put this folder on the Hub: "
            '`huggingface_hub.upload_folder(folder_path=".", repo_id="you/name", repo_type="dataset")`.',
            "Any Parquet reader will do, for example "
            "`duckdb.sql(\"select split, quadrant, count(*) from 'data/*.parquet' group by all\")`. "
            "A tick is 1/24 of a quarter note. Tracks are 0 Drums, 1 Piano, 2 Guitar, 3 Bass, 4 Strings.",
            "A row to a MIDI file:",
            _python(snippets.TO_MIDI),
            "`remi` holds the same music on a grid of sixteenths, as token ids. `vocabulary.json` names "
            "them, and this reads them:",
            _python(snippets.DECODE),
        ]
    )


def _python(code: str) -> str:
    return f"```python\n{code}```"


def _built(manifest: Mapping[str, Any]) -> str:
    config, ingest = manifest["config"], manifest["ingest"]
    versions = ", ".join(
        f"{name} {version}" for name, version in manifest["versions"].items()
    )
    dedupe = config["dedupe"]
    read = _table(
        ["source", "read", "ingested", "refused", "why", "sha256 of what was read"],
        [
            [name, ingest["read"][name], ingest["kept"][name], ingest["rejected"][name],
             ", ".join(f"{why} {n:,}" for why, n in ingest["reasons"][name].items()), _pin(ingest["pins"], name)]
            for name in ingest["read"]
        ],
    )  # fmt: skip
    tables = _table(
        ["side file", "bytes", "sha256"],
        [
            [pin["name"], pin["items"], f"`{pin['sha256']}`"]
            for pin in manifest["metadata"]["pins"]
        ],
    )
    return "\n\n".join(
        [
            "## How it was built",
            "Every file is read once into notes, bars, tempo, tokens, rhythm and keys. All rules are then put to all songs, "
            "duplicates are found from notes whatever their key and tempo, and each group of songs that belong together "
            f"goes to one split by a draw with seed {config['seed']}. Two songs are duplicates from a Jaccard similarity of "
            f"{dedupe['duplicate_jaccard']:g} or a containment of {dedupe['duplicate_containment']:g} of their n-grams, and "
            f"of one group from {dedupe['group_jaccard']:g} or {dedupe['group_containment']:g}. The same files and settings "
            "give the same bytes.",
            read,
            *([tables] if manifest["metadata"]["pins"] else []),
            f"Schema version {manifest['schema_version']}, vocabulary sha256 `{manifest['vocabulary_sha256']}`; made with "
            f"{versions}.",
        ]
    )


def _waterfalls(manifest: Mapping[str, Any]) -> str:
    """Every source's waterfall, and that of all where there is more than one."""
    names = [*_sources(manifest), *(["all"] if len(_sources(manifest)) > 1 else [])]
    blocks = [
        "## What was left out",
        "A song may fail several rules; *alone* counts those that fail this one and no other.",
    ]
    for name in names:
        fall = manifest["waterfall"][name]
        rows: list[Sequence[Any]] = [["**songs in**", fall["in"], ""]]
        rows += [
            [_rule(manifest, name, rule), n, fall["failed_alone"][rule]]
            for rule, n in fall["failed"].items()
            if n
        ]
        blocks += [f"### {'all sources' if name == 'all' else name}"]
        blocks += [
            _table(["rule", "fail", "alone"], [*rows, ["**kept**", fall["kept"], ""]])
        ]
    return "\n\n".join(blocks)


def _rule(manifest: Mapping[str, Any], source: str, rule: str) -> str:
    """A rule with the threshold it has for a source."""
    setting = {
        "too_short": "min_seconds", "too_few_bars": "min_bars", "too_few_notes": "min_notes",
        "bar_too_long": "max_bar_sixteenths",
    }.get(rule)  # fmt: skip
    value = manifest["config"]["filters"].get(source, {}).get(setting) if setting else None
    return f"{rule} ({setting} {value:g})" if value is not None else rule


def _labels(manifest: Mapping[str, Any]) -> str:
    labels, thresholds = manifest["labels"], manifest["thresholds"]
    if not labels["labelled"] or not thresholds:
        return "## Labels\n\nThis release has no emotion labels: `valence`, `arousal` and their classes are null."
    affect = manifest["config"]["affect"]
    found = (
        "the medians of the training songs"
        if thresholds["rule"] == "train_median"
        else "fixed numbers"
    )
    blocks = [
        "## Labels",
        f"{labels['labelled']:,} songs have a label, from {', '.join(f'`{source}`' for source in labels['sources'])}; "
        f"{labels['trusted']:,} are `trusted` (`label_trust` at least {affect['trusted_from']:g}), {labels['lent']:,} were "
        f"lent by a duplicate that had one. A song with several matches takes its label by the rule `{affect['rule']}`"
        + (
            f"; where titles differ and valence or energy ranges over {affect['max_title_spread']:g}, it has none, unless its "
            f"match is trusted from {affect['rescue_from']:g} on"
            if affect["rule"] == AGREE
            else ""
        )
        + f". {labels['disagreeing']['0.1']:,} labelled songs have matches that differ by more than .1 (`label_spread`).",
        f"A class is 1 above its threshold and 0 at or below it. The thresholds are {found}: **valence "
        f"{thresholds['valence']:.4f}, arousal {thresholds['arousal']:.4f}**, margin {thresholds['margin']:g}, from "
        f"{thresholds['n_train']:,} training songs. Within the margin a song has no class.",
        _table(
            ["split", *(f"{name} {_classes(name)}" for name in QUADRANT_CLASSES), "none"],
            [[split, *by.values()] for split, by in labels["quadrants"].items()],
        ),
        f"{labels['judge']:,} training songs have `judge` set: they are for training the classifiers that judge generated "
        "music, and a generator should leave them out. `label_rank` under p picks the same share p of labels everywhere.",
    ]
    blocks += _trust(labels["audit"])
    if labels["unlabelled"]:
        blocks += [
            _table(["no label because", "songs"], list(labels["unlabelled"].items()))
        ]
    return "\n\n".join(blocks)


def _trust(audit: Mapping[str, Any]) -> list[str]:
    """What label_trust is of, and how often it is right on songs whose true name is known."""
    says = (
        "`label_trust` is the probability that the matched **title** is the song's, from five counts (further matches of "
        "the title, matches of others, titles of the artist in the match list, near-duplicates matched to another title, "
        "n-grams shared with another file of the title) and whatever else `label_evidence` lists. It was fitted on names "
        "of one list of popular songs; elsewhere it ranks less steeply."
    )
    if not audit["songs"]:
        return [says]
    rows = [
        [f"from {low}", band["songs"], _share(band, "title"), _share(band, "artist")]
        for low, band in audit["by_trust_without_name"].items()
    ]
    head = ["trust without the name", "songs of known name", "title right", "artist too"]
    return [says, _table(head, rows)]


def _share(band: Mapping[str, Any], what: str) -> str:
    return f"{band[what] / band['songs']:.0%}" if band["songs"] else ""


def _people(manifest: Mapping[str, Any]) -> str:
    """What listeners say of the same tracks, a row a table and axis."""
    rows = []
    tables = manifest["config"]["affect"]["people"]
    for name, axes in manifest["people"].items():
        for axis, found in axes.items():
            measures = ("auc", "agreement", "rank_correlation")
            said = [_between(found, measure) for measure in measures]
            rows.append([name, axis, found["n"], *said])
    sources = "; ".join(f"`{name}`: {says['citation']}" for name, says in tables.items())
    head = ["people", "of", "tracks in common", "AUC", "agreement", "rank correlation"]
    return (
        "## Against people\n\nHow far the label tables say what listeners say of the same MSD tracks. *AUC*: of a track that "
        "people call high and one that they call low, how often the table has the first higher; *agreement*: of classes at "
        "this release's thresholds; *rank correlation* where people gave numbers. 95 % intervals over tracks. The comparison is "
        "of recordings: whether a file is an arrangement of that recording is another question (`label_trust`).\n\n"
        f"{_table(head, rows)}\n\nTables to compare with, of which nothing is published here: {sources}"
    )


def _between(found: Mapping[str, Any], name: str) -> str:
    if name not in found:
        return ""
    low, high = found[f"{name}_interval"]
    return f"{found[name]:.3f} ({low:.3f}-{high:.3f})"


def _classes(quadrant: str) -> str:
    arousal, valence = QUADRANT_CLASSES[quadrant]
    return f"A{arousal}V{valence}"


def _splits(manifest: Mapping[str, Any]) -> str:
    rows = sum(manifest["splits"].values())
    shards = manifest["shards"]
    sizes = {
        split: [one for one in shards if one["split"] == split]
        for split in manifest["splits"]
    }
    table = _table(
        ["split", "songs", "share", "files", "MB"],
        [
            [
                split,
                n,
                f"{n / max(rows, 1):.1%}",
                len(sizes[split]),
                f"{sum(one['bytes'] for one in sizes[split]) / 1e6:.1f}",
            ]
            for split, n in manifest["splits"].items()
        ],
    )
    by_artist = " and no artist" if manifest["config"]["splits"]["by_artist"] else ""
    groups = manifest["groups"]
    held = sum(groups["held_out"].values())
    return (
        f"## Splits\n\n{table}\n\nNo two near-duplicates, no track, MSD song or artist-and-title pair{by_artist} of any match, "
        "however doubtful (`group_keys`), stand in two splits; `moodroll-data verify` checks it. Shares hold in each source and "
        "quadrant. Groups of sure keys and near-duplicates are kept whole"
        + (
            f", but for {groups['cut']:,} too large ones that were cut"
            if groups["cut"]
            else ""
        )
        + f". {groups['tied']:,} songs are tied to another group: they train, and {held:,} for which training had no room "
        "are left out (`held_out_of_eval`). "
        + (
            "Where labels are, validation and test take songs with trusted ones first, so they are better known music than "
            "the training songs. "
            if manifest["config"]["splits"]["trusted_first"]
            else ""
        )
        + "Thresholds are taken from the training songs alone."
    )


def _columns(manifest: Mapping[str, Any]) -> str:
    rows = [
        [f"`{name}`", f"`{_kind(facts['type'])}`", facts["description"]]
        for name, facts in manifest["columns"].items()
    ]
    keys = ", ".join(f"{number} {name}" for number, name in enumerate(KEY_NAMES))
    return f"## Columns\n\n{_table(['column', 'type', 'meaning'], rows)}\n\nKeys, by their enharmonic names: {keys}."


def _kind(arrow: str) -> str:
    return arrow.replace("list<item: ", "list<").replace(" not null>", ">")


def _flaws(manifest: Mapping[str, Any]) -> str:
    says = "\n".join(f"- {flaw}" for flaw in citations.flaws(manifest))
    return (
        f"## Known flaws\n\n{says}\n\nShares given here that are not counts of this release were measured on 13,215 songs of "
        "LPD-5, 1,034 tunes of Nottingham and 20,394 rows of valence and energy."
    )


def _licences(manifest: Mapping[str, Any]) -> str:
    rows = [
        [_link(work.name, work.url), _link(work.licence_name, work.licence_url), work.terms]
        for work in citations.works(manifest)
    ]
    return (
        "## Licences\n\nA release carries the terms of everything it is derived from; each row's `source` says which music it "
        f"is, `label_source` whose label.\n\n{_table(['derived from', 'licence', 'which means'], rows)}"
    )


def _cite(manifest: Mapping[str, Any]) -> str:
    says = [work.citation for work in citations.works(manifest)]
    return "## How to cite\n\n" + "\n".join(
        f"- {citation}"
        for citation in [
            *says,
            f"Tokens, filters and label rule follow {SEMG_GMVAE}",
        ]
    )


def _sources(manifest: Mapping[str, Any]) -> list[str]:
    return [name for name in manifest["waterfall"] if name != "all"]


def _pin(pins: Iterable[Mapping[str, Any]], name: str) -> str:
    return next((f"`{pin['sha256']}`" for pin in pins if pin["name"] == name), "")


def _link(text: str, url: str) -> str:
    return f"[{text}]({url})" if url else text


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; numbers get thousands."""
    return table(head, [[_cell(cell) for cell in row] for row in rows])


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")

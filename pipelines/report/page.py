"""page: report.html, a release in plots, one file with everything in it."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.io import files
from pipelines.layout import REPORT
from pipelines.report import citations, label_checks, label_plots, plots
from pipelines.report.aggregates import Bars, read_bars, read_songs
from pipelines.report.croissant import version as croissant_version
from pipelines.report.figures import Plot
from pipelines.report.piano_rolls import piano_rolls
from pipelines.report.theme import CSS
from schemas import player
from schemas.columns import REJECTS
from schemas.reject import BuildFailed

EXAMPLES_OF_A_REASON = 3
BACK = '<a class="up" href="#top" aria-label="Back to the top">↑</a>'
EMOTION = (
    "Valence is how pleasant the music is, arousal how excited, both from 0 to 1; high and low of each make four quadrants: "
    "happy, tense, sad and calm. Trust is how likely a label is of the song that it is given to."
)


def write_report(
    release: str, manifest: Mapping[str, Any], build_folder: str | None = None
) -> None:
    """Write report.html into a release; rejects are told where the build's folder has them.

    Raises BuildFailed where a file of the release is missing or damaged.
    """
    try:
        text = page(release, manifest, build_folder)
    except (OSError, pa.ArrowException) as error:
        raise BuildFailed(
            f"{release} cannot be read, moodroll-data verify says where: {error}"
        ) from error
    # What a report that was stopped has left
    files.remove_where(release, lambda path: path.startswith(f"{REPORT}{files.PART}"))
    files.write_text(files.join(release, REPORT), text)


def build_around(release: str) -> str | None:
    """The folder of the build whose release this is, None where the release stands
    alone."""
    folder = release.rstrip("/").rpartition("/")[0] if "/" in release.rstrip("/") else "."
    return folder if files.exists(files.join(folder, "rejects")) else None


def page(release: str, manifest: Mapping[str, Any], build_folder: str | None) -> str:
    """The report of a release; the same release gives the same bytes."""
    songs, bars = (
        read_songs(release, manifest["shards"]),
        read_bars(release, manifest["shards"]),
    )
    sections = [
        ("waterfall", "What was left out", _waterfall_note(), _plots(_falls(manifest))),
        ("labels", "Labels", _label_note(manifest), _plots(_label_plots(songs, manifest))),
        ("songs", "What is in it", "", _plots(_song_plots(songs, bars))),
        (
            "premise",
            "Does the premise show?",
            f"{_premise_note()} {label_checks.label_checks(bars, songs)}",
            _plots(_premise_plots(songs, bars)),
        ),
        *_people(manifest),
        (
            "keys",
            "Keys, meters, duplicates",
            f"{_duplicate_note(manifest)} {_group_note(manifest['groups'])}".strip(),
            _plots(_other_plots(songs, bars, manifest)),
        ),
        ("rolls", "Six songs", _roll_note(), _plots(piano_rolls(release, songs, manifest))),
        ("rejects", "Songs that left, with examples", "", _rejects(build_folder)),
    ]
    body = "\n".join(
        _section(*section, _sample_note(bars, songs, section[0])) for section in sections
    )
    links = "".join(
        f'<a href="#{name}">{html.escape(title)}</a>' for name, title, _, _ in sections
    )
    title = html.escape(manifest["name"])
    made = (
        f"Made from the release (and its build's rejects) by moodroll {html.escape(manifest['versions']['moodroll'])}; the "
        "same release gives the same page. README.md says how the songs were chosen, what is known to be wrong with them and "
        "under which terms they stand."
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: report</title>\n<style>\n{CSS}{player.CSS}</style>\n</head>\n<body>\n<header>\n"
        f'<h1 id="top">{title}</h1>\n<p>{_what(manifest)}</p>\n{_summary(manifest)}\n<p>{_origin(manifest)}</p>\n'
        f"<nav>{links}</nav>\n</header>\n<main>\n{body}\n</main>\n"
        f"<footer><p>{made}</p></footer>\n{BACK}\n<script>\n{player.SCRIPT}</script>\n</body>\n</html>\n"
    )


def _what(manifest: Mapping[str, Any]) -> str:
    """One sentence on what the release is."""
    rows = sum(manifest["splits"].values())
    labelled = manifest["labels"]["labelled"]
    says = f"{rows:,} songs of symbolic music, {labelled:,} of them labelled with an emotion, as tables to train models from."
    return f"{says} {EMOTION}" if labelled else says


def _origin(manifest: Mapping[str, Any]) -> str:
    """Date, version, licences, and where the card is."""
    terms = "; ".join(
        html.escape(work.licence_name) for work in citations.licences(manifest)
    )
    return (
        f"Version {croissant_version(manifest)} of {manifest['dated'].partition('T')[0]}. Terms: {terms}. "
        '<a href="README.md">README.md</a> is its card.'
    )


def _section(name: str, title: str, note: str, body: str, sample: str) -> str:
    says = "".join(f"<p>{html.escape(text)}</p>" for text in (note, sample) if text)
    return (
        f'<section id="{name}">\n<h2>{html.escape(title)}</h2>\n{says}\n{body}\n</section>'
    )


def _people(manifest: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The section of what listeners say of the same tracks, where a build compares."""
    rows = []
    for name, axes in manifest.get("people", {}).items():
        for axis, found in axes.items():
            said = [
                f"{measure.replace('_', ' ')} {found[measure]:.3f} "
                f"({found[f'{measure}_interval'][0]:.3f}-{found[f'{measure}_interval'][1]:.3f})"
                for measure in ("auc", "agreement", "rank_correlation")
                if measure in found
            ]
            rows.append(
                f"{name}, {axis}, {found['n']:,} tracks: {', '.join(said) or 'too few'}"
            )
    if not rows:
        return []
    items = "".join(f"<li>{html.escape(row)}</li>" for row in rows)
    note = (
        "How far the label tables say what listeners say of the same recordings, with 95 % "
        "intervals over tracks. README.md says what each measure is."
    )
    return [("people", "Against people", note, f"<ul>{items}</ul>")]


def _plots(figures: Sequence[Plot]) -> str:
    return f'<div class="grid">\n{"".join(map(_figure, figures))}</div>'


def _figure(plot: Plot) -> str:
    says = html.escape(plot.says)
    drawn = plot.svg.replace(
        "<svg ", f'<svg role="img" aria-label="{html.escape(plot.says, quote=True)}" ', 1
    )
    return f"<figure>\n<h3>{html.escape(plot.title)}</h3>\n{plot.controls}{drawn}\n<figcaption>{says}</figcaption>\n</figure>\n"


def _summary(manifest: Mapping[str, Any]) -> str:
    """The numbers a person asks for first."""
    labels, splits = manifest["labels"], manifest["splits"]
    size = sum(shard["bytes"] for shard in manifest["shards"])
    tiles = [
        (f"{sum(splits.values()):,}", "songs"),
        *((f"{n:,}", split) for split, n in splits.items()),
    ]
    tiles += [
        (f"{labels['labelled']:,}", "labelled"),
        (f"{labels['trusted']:,}", "trusted labels"),
        (f"{size / 1e6:,.1f}", "MB"),
    ]
    rule = "<p><strong>The labels of this release are made by a rule, by nobody's ear.</strong></p>"
    cells = "".join(
        f"<div><b>{number}</b><span>{html.escape(name)}</span></div>"
        for number, name in tiles
    )
    return f'<div class="tiles">{cells}</div>\n{rule if citations.has_rule_labels(manifest) else ""}'


def _falls(manifest: Mapping[str, Any]) -> list[Plot]:
    falls = manifest["waterfall"]
    return [
        plots.waterfall(name, fall)
        for name, fall in falls.items()
        if name != "all" or len(falls) > 2
    ]


def _label_plots(songs: pa.Table, manifest: Mapping[str, Any]) -> list[Plot]:
    labelled = {
        split: {
            name: n for name, n in by.items() if name != "none" or manifest["thresholds"]
        }
        for split, by in manifest["labels"]["quadrants"].items()
    }
    classed = labelled if manifest["labels"]["labelled"] else {}
    return [
        label_plots.plane(songs, manifest["thresholds"]),
        label_plots.balance(classed),
        label_plots.spread(songs),
        label_plots.trust(songs),
        label_plots.reliability(manifest["labels"]),
    ]


def _song_plots(songs: pa.Table, bars: Bars) -> list[Plot]:
    return [
        plots.genres(songs),
        plots.lengths(songs, "n_bars", "bars"),
        plots.lengths(songs, "n_notes", "notes"),
        plots.tokens(bars),
    ]


def _premise_plots(songs: pa.Table, bars: Bars) -> list[Plot]:
    per_second = songs["n_notes"].to_numpy() / songs["seconds"].to_numpy().clip(1)
    arousal = songs["arousal_class"].fill_null(-1).to_numpy()
    return [
        label_checks.density(bars.onsets_per_bar, bars.arousal_class, "bar"),
        label_checks.density(per_second, arousal, "second"),
        label_checks.modes(bars, songs),
        label_checks.keys_by_valence(songs),
    ]


def _other_plots(songs: pa.Table, bars: Bars, manifest: Mapping[str, Any]) -> list[Plot]:
    return [
        label_checks.keys(songs),
        plots.meters(bars),
        plots.clusters(manifest["clusters"]),
    ]


def _waterfall_note() -> str:
    return "Every rule is put to every song, so that none hides another: a song may fail several."


def _label_note(manifest: Mapping[str, Any]) -> str:
    why = ", ".join(
        f"{name}: {n:,}" for name, n in manifest["labels"]["unlabelled"].items()
    )
    return f"Songs without a label, by why: {why}." if why else ""


def _premise_note() -> str:
    return (
        "The paper that these labels are made for controls arousal by rhythm density and valence by key. Do the two go "
        "together in this release, before any model is trained?"
    )


def _duplicate_note(manifest: Mapping[str, Any]) -> str:
    agree = manifest["labels"].get("cluster_agreement", {"pairs": 0})
    if not agree["pairs"]:
        return ""
    valence, arousal = (agree[axis] / agree["pairs"] for axis in ("valence", "arousal"))
    return (
        f"Two labels of one piece agree in {valence:.0%} (valence) and {arousal:.0%} (arousal) of {agree['pairs']:,} pairs: "
        "about as often as a model can be right that has the notes alone."
    )


def _group_note(groups: Mapping[str, Any]) -> str:
    """How large groups are, what was cut, what is tied, what evaluation lost."""
    held = sum(groups["held_out"].values())
    return (
        f"Songs of one group stand in one split: the largest group has {groups['largest']:,} songs, {groups['cut']:,} too large "
        f"ones were cut, {groups['tied']:,} songs are tied to another group by a match that was not taken or a cut and train, "
        f"{held:,} were left out of validation and test for it."
    )


def _roll_note() -> str:
    return (
        "One of each quadrant, then one of each source without a label, trusted labels and many tracks first. A strip for each "
        "track that plays, then the key of each bar among the 24 (major below, minor above; the darker, the surer), then the "
        "notes that start in each sixteenth. The button plays what is drawn, on a small synthesiser in the page."
    )


def _sample_note(bars: Bars, songs: pa.Table, section: str) -> str:
    """That bars were looked at in a sample, where they were."""
    if bars.n_songs == songs.num_rows or section not in ("songs", "premise", "keys"):
        return ""
    return f"What is said of bars is of the {bars.n_songs:,} songs of the first shards, a sample by hash of {songs.num_rows:,}."


def _rejects(build_folder: str | None) -> str:
    """Reasons by number of songs, with the first songs of each."""
    folder = files.join(build_folder, "rejects") if build_folder else ""
    if not folder or not files.exists(folder):
        return "<p>The build's rejects/ folder is not beside this release.</p>"
    table = pa.concat_tables([REJECTS.empty_table(), *_read_all(folder)]).sort_by("song_id")
    if not table.num_rows:
        return "<p>No song was left out.</p>"
    by_reason: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in table.to_pylist():
        by_reason.setdefault((row["stage"], row["reason"]), []).append(row)
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    total = "A song that fails several rules stands under the first of them."
    return f"<p>{table.num_rows:,} songs left. {total}</p>\n" + "\n".join(
        _reason(*key, rows) for key, rows in ordered
    )


def _reason(stage: str, reason: str, rows: Sequence[Mapping[str, str]]) -> str:
    examples = "".join(
        f"<li><code>{html.escape(row['song_id'])}</code> {html.escape(row['detail'].removeprefix(f'{reason}: '))}</li>"
        for row in rows[:EXAMPLES_OF_A_REASON]
    )
    return (
        f'<div class="reason"><h3>{html.escape(reason.replace("_", " "))} <span>{len(rows):,} '
        f"{'song' if len(rows) == 1 else 'songs'}, at {html.escape(stage)}</span></h3>\n<ul>{examples}</ul></div>"
    )


def _read_all(folder: str) -> Iterable[pa.Table]:
    for info in files.BeamFiles().walk(folder):
        if info.path.endswith(".parquet"):
            with files.open_input(files.join(folder, info.path)) as stream:
                yield pq.read_table(stream).cast(REJECTS)

"""The order in which the measures of a tune sound: parts, repeats and endings played out."""

from dataclasses import dataclass

from pipelines.formats.abc_measures import Measure, PlayedMeasure
from pipelines.formats.abc_parts import part_order, sections_in_order
from schemas.contracts import Limits
from schemas.reject import BadInput, Reason

MAX_TIMES = 9  # the most times a repeated part is played


@dataclass(frozen=True)
class _Repeat:
    """Where a repeat goes back to, whether a sign says so, and how often it is played again."""

    start: int
    explicit: bool = False
    again: int = 1


def played_measures(
    measures: list[Measure], order: str, limits: Limits
) -> list[PlayedMeasure]:
    """The measures in the order in which they sound: parts in the order that P: gives, each with
    its repeats and endings.

    Where a part is not repeated by signs but by the order, its times alternate between first and
    second. Raises BadInput(TOO_LARGE).
    """
    sections = _sections(measures, by_part=bool(part_order(order)))
    labels = [section[0].part for section in sections]
    played: list[PlayedMeasure] = []
    visits: dict[int, int] = {}
    for index in sections_in_order(labels, part_order(order)):
        section = sections[index]
        visits[index] = visits.get(index, 0) + 1
        places = _places_and_times(section)
        loops = any(time > 1 for _, time in places)
        for place, time in places:
            through = time if loops else 2 - visits[index] % 2
            played.append(PlayedMeasure(section[place], through))
        if len(played) > limits.max_bars:
            raise BadInput(Reason.TOO_LARGE, f"more than {limits.max_bars} bars")
    return played


def _sections(measures: list[Measure], by_part: bool) -> list[list[Measure]]:
    """The measures cut where a new part begins, or all in one."""
    if not by_part:
        return [measures]
    sections: list[list[Measure]] = []
    for i, measure in enumerate(measures):
        if i == 0 or measure.starts_part:
            sections.append([])
        sections[-1].append(measure)
    return sections


def play_order(measures: list[Measure]) -> list[int]:
    """Indices of the measures in the order in which they sound, repeats and endings
    followed.

    A repeat without a start sign goes back to the last double bar or end of a repeat,
    failing these to the beginning (ABC 2.1, section 4.8).
    """
    return [place for place, _ in _places_and_times(measures)]


def _places_and_times(measures: list[Measure]) -> list[tuple[int, int]]:
    """play_order, each index with the time through: 1, then 2, ... in a repeat."""
    endings = [*_ending_of_each(measures), frozenset[int]()]
    order: list[tuple[int, int]] = []
    played: set[int] = set()
    repeat = _Repeat(start=0)
    time = 1
    i = 0
    while i < len(measures):
        measure = measures[i]
        if measure.opens and (i != repeat.start or time == 1):
            repeat = _Repeat(start=i, explicit=True, again=int(measure.opens))
            time = 1
        # An ending of a later time that is come upon at the first has no repeat before it: a slip;
        # it is played.
        is_of_another_time = endings[i] and time not in endings[i]
        if is_of_another_time and (time > 1 or i in played):
            i += 1
            continue
        order.append((i, time))
        played.add(i)
        numbers = [max(ending) for ending in endings[repeat.start : i + 2] if ending]
        times = max([1 + repeat.again, 1 + int(measure.closes), *numbers])
        if measure.closes and time < min(times, MAX_TIMES):
            i = repeat.start
            time += 1
            continue
        ends_section = measure.section_end and (endings[i] or not repeat.explicit)
        i += 1
        if measure.closes or ends_section:
            repeat = _Repeat(start=i)
            time = 1
    return order


def _ending_of_each(measures: list[Measure]) -> list[frozenset[int]]:
    """For each measure the times through it is played, empty for all; an ending lasts to
    the next sign of any kind."""
    current: frozenset[int] = frozenset()
    endings = []
    for measure in measures:
        current = frozenset() if measure.opens else current
        current = measure.endings or current
        endings.append(current)
        if measure.closes or measure.section_end:
            current = frozenset()
    return endings

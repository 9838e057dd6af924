"""Run: an experiment's cells trained and measured, several at once where asked, and its
report; goes on where it stopped."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import connection
from typing import Any, NamedTuple

from schemas.settings import SettingsError, public, refuse_unknown
from training.engine.trainer import STOPS
from training.errors import RunFailed
from training.evaluation import handcrafted as hand
from training.evaluation import metrics as measures
from training.experiments import measure as measuring
from training.experiments.plan import Cell, Plan
from training.experiments.report import alpha, rho, strength, swap, tables, transfer
from training.experiments.store import Request, Store

Measured = dict[str, Any]


class Experiment(NamedTuple):
    """cells: what is trained; measured: functions of measuring.py, by name; report: JSON
    values and Markdown of it all; judged: whether judges are heard."""

    cells: Callable[[Plan], list[Cell]]
    measured: tuple[str, ...]
    report: Callable[[Store, Mapping[str, Measured]], tuple[dict[str, Any], str]]
    judged: bool = True


EXPERIMENTS = {
    "tables": Experiment(tables.cells_of, ("judged",), tables.report),
    "rho": Experiment(rho.RHO.cells_of, ("judged",), rho.RHO.report),
    "unlabelled": Experiment(rho.UNLABELLED.cells_of, ("judged",), rho.UNLABELLED.report),
    "alpha": Experiment(alpha.cells_of, ("judged", "latents"), alpha.report),
    "swap": Experiment(swap.cells_of, ("swapped",), swap.report, judged=False),
    "strength": Experiment(strength.cells_of, ("steered",), strength.report),
    "transfer": Experiment(transfer.cells_of, ("turned",), transfer.report),
}


def experiment(
    name: str, request: Request, workers: int, progress: Callable[[str], object] = print
) -> str:
    """Write OUT/NAME.json, NAME.md and plots; the Markdown. RunFailed where it cannot be
    done, or was stopped."""
    if name not in EXPERIMENTS:
        raise SettingsError(
            f"--experiment must be one of {', '.join(EXPERIMENTS)}, not {name}"
        )
    asked, store = EXPERIMENTS[name], _bench(request)
    refuse_unknown(store.plan.recipes, list(tables.ROWS), "recipes")
    cells = list({cell.name: cell for cell in asked.cells(store.plan)}.values())
    if not cells:
        raise RunFailed(
            f"the plan {request.plan} has no model that takes part in {name}: name one in [recipes]"
        )
    store.refuse(cells)
    found: dict[str, Measured] = {}
    with _stoppable():
        if asked.judged:
            hand.boosting_classifier()  # so that a missing library is said now
            progress("the judge")
            store.real()
        for cell, measured in _all(request, cells, asked, workers):
            found[cell.name] = measured
            progress(f"{len(found)} of {len(cells)}: {cell.name}")
        values, text = asked.report(store, found)
    (store.out / f"{name}.json").write_text(
        json.dumps(measures.rounded(values), indent=2) + "\n"
    )
    (store.out / f"{name}.md").write_text(text)
    return text


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT become RunFailed, in which the workers are told to stop too. (A
    training stops by itself.)"""

    def stop(number: int, frame: Any) -> None:
        raise RunFailed("stopped: the same command goes on from there")

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _all(
    request: Request, cells: Sequence[Cell], asked: Experiment, workers: int
) -> Iterator[tuple[Cell, Measured]]:
    """Each cell with what is measured of it, as they are done."""
    if workers == 1:
        yield from (
            (cell, work(request, cell, asked.measured, asked.judged)) for cell in cells
        )
        return
    context, left = multiprocessing.get_context("spawn"), list(reversed(cells))
    with ProcessPoolExecutor(workers, context, _follow_parent) as pool:
        busy: dict[Future[Measured], Cell] = {}
        try:
            while left or busy:
                # No more than are at work: what is queued could not be called back.
                while left and len(busy) < workers:
                    cell = left.pop()
                    busy[pool.submit(work, request, cell, asked.measured, asked.judged)] = (
                        cell
                    )
                for done in wait(busy, return_when=FIRST_COMPLETED).done:
                    yield busy.pop(done), done.result()
        except BaseException as error:
            broken = isinstance(error, BrokenProcessPool)
            for child in multiprocessing.active_children():
                # A training that is told to stop stops, and then waits for work; of a
                # broken pool nobody would tell it to end.
                (child.kill if broken else child.terminate)()
            if broken:
                raise RunFailed(
                    "a worker was killed, perhaps for memory: the same command goes on, with fewer --workers"
                ) from error
            raise


def _follow_parent() -> None:
    """A worker ends with the process that started it, however that ended: nothing trains on
    unseen. It alone answers Ctrl-C, which a terminal sends to all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        if parent := multiprocessing.parent_process():
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def work(request: Request, cell: Cell, names: Sequence[str], judged: bool) -> Measured:
    """Train and measure one cell; what is measured already of the same weights is read."""
    store = _bench(request)
    model = store.trained(cell.config) if cell.config else [cell.model, cell.seed]
    judge = store.trained_judge() if judged else public(store.judge_data)

    def kept(name: str) -> dict[str, Any]:
        return store.kept(
            f"{name}/{cell.name}",
            [model, judge],
            lambda: getattr(measuring, name)(store, cell),
        )

    return {name: kept(name) for name in names}


@lru_cache(maxsize=1)
def _bench(request: Request) -> Store:
    """A process's own bench: its judges are taught and its training bars sorted once,
    not once a cell."""
    return Store(request)

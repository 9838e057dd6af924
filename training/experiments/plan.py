"""Plan: at which size, for how long and with which seeds experiments are run; and its
cells, a training or plain rival each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.settings import (
    SettingsError,
    build,
    override,
    public,
    refuse_unknown,
)
from training.config import RunConfig, from_tables
from training.evaluation.baselines import Retrieval, RuleEditing
from training.evaluation.classifiers import JudgesConfig
from training.recipes import read_recipe

PLAIN: dict[str, Any] = {"retrieval": Retrieval, "rule_editing": RuleEditing}
# Exchanged songs are held against another pair's.
LEAST_SONGS = 4


@dataclass(frozen=True)
class Recipe:
    """A run file, named from the plan's folder, and what is laid over it."""

    file: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What every model of an experiment has in common.

    recipes: a model's run file, or a Recipe; judge: the same of the judge; overrides: laid
    over every model's recipe, before its own; models: which take part (none named: all);
    seeds: of training and of sampling; supervision: the share of songs whose label is used
    (the paper's rho); rhos, alphas: of figures 6-9; labelled_shares: of a batch, for the
    curve over unlabelled songs (-1: as they come); judging: the judges, and the budget,
    temperature and top_p of sampling; songs: of the test split that are exchanged and
    turned; strength: lambda of eq. (21); strengths: of the lambda-curve.
    """

    recipes: Mapping[str, Recipe]
    judge: Recipe
    overrides: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    supervision: float = 0.25
    rhos: tuple[float, ...] = (0.02, 0.08, 0.25)
    labelled_shares: tuple[float, ...] = (1.0, 0.5, 0.25)
    alphas: tuple[float, ...] = (1.0, 0.5, 0.2, 0.0)
    judging: JudgesConfig = field(default_factory=JudgesConfig)
    songs: int = 100
    strength: float = 1.0
    strengths: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        refuse_unknown(dict.fromkeys(self.models), [*self.recipes, *PLAIN], "models")
        for name in ("seeds", "rhos", "alphas", "strengths"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values) or min(values) < 0:
                raise ValueError(
                    f"{name} must be one or more different numbers of 0 or more, not {list(values)}"
                )
        if self.songs < LEAST_SONGS or max(*self.rhos, *self.alphas, self.supervision) > 1:
            raise ValueError(
                f"songs must be at least {LEAST_SONGS}; supervision, rhos and alphas at most 1"
            )


@dataclass(frozen=True)
class Cell:
    """One training of a model with a seed, or a plain rival: its name says what differs
    from the model's recipe."""

    model: str
    seed: int
    name: str
    config: RunConfig | None


def load(path: str, assignments: Sequence[str] = ()) -> Plan:
    """The plan of a file, which may have a `base` as recipes have, with `--set` laid over;
    its run files are found beside it."""
    tables = override(read_recipe(path), assignments)
    recipes = tables.get("recipes", {})
    if not isinstance(recipes, Mapping):
        raise SettingsError(f"recipes must be a table of run files, not {recipes!r}")
    folder = Path(path).parent
    found = {
        name: _recipe(folder, recipe, f"recipes.{name}") for name, recipe in recipes.items()
    }
    return build(
        Plan,
        {
            **tables,
            "recipes": found,
            "judge": public(_recipe(folder, tables.get("judge", {}), "judge")),
        },
    )


def _recipe(folder: Path, recipe: Any, where: str) -> Recipe:
    given = build(Recipe, {"file": recipe} if isinstance(recipe, str) else recipe, where)
    if not (folder / given.file).is_file():
        raise SettingsError(f"{where} names {given.file!r}, which is no file in {folder}")
    return Recipe(str(folder / given.file), given.overrides)


def judge_config(plan: Plan) -> RunConfig:
    """The judge's settings."""
    return from_tables(
        {**override(read_recipe(plan.judge.file), plan.judge.overrides), "name": "judge"}
    )


def cells(plan: Plan, model: str, changes: Mapping[str, Any] | None = None) -> list[Cell]:
    """A cell a seed of a model with `changes` (dotted settings); none where the plan leaves
    the model out.

    What is changed to the value it has anyway leaves no trace in the name, so that
    experiments share their trainings.
    """
    if (plan.models and model not in plan.models) or model not in [*plan.recipes, *PLAIN]:
        return []
    if model in PLAIN:
        return [Cell(model, seed, f"{model}-seed{seed}", None) for seed in plan.seeds]
    recipe = plan.recipes[model]
    overrides = [*plan.overrides, *recipe.overrides, f"data.supervision={plan.supervision}"]
    tables = override(read_recipe(recipe.file), overrides)
    usual = public(from_tables(tables))
    told = {
        key: value
        for key, value in (changes or {}).items()
        if _at(usual, key, model) != value
    }
    words = [f"{key.rpartition('.')[2]}={value}" for key, value in told.items()]
    found = []
    for seed in plan.seeds:
        name = "-".join([model, *words, f"seed{seed}"])
        config = override(
            tables,
            [
                f"{key}={str(value).lower()}"
                for key, value in (told | {"train.seed": seed}).items()
            ],
        )
        found.append(Cell(model, seed, name, from_tables({**config, "name": name})))
    return found


def _at(tables: Mapping[str, Any], dotted: str, model: str) -> Any:
    table, _, key = dotted.partition(".")
    if key not in tables[table]:
        raise SettingsError(
            f"{dotted} is no setting of the recipe of {model}: give it one of kind {model}"
        )
    return tables[table][key]

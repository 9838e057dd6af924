"""Checkpoints: safetensors, never pickle; weights, optimiser, random state and where the
data stood, written in one rename."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from schemas.code import code_sha256
from schemas.settings import SettingsError
from training.config import RunConfig, from_tables
from training.errors import RunFailed

FORMAT = "moodroll-checkpoint-1"
LAST, BEST = "last.safetensors", "best.safetensors"


class Checkpoint(NamedTuple):
    """tensors by dotted name (model.*, optimiser.*, random.*); facts: step, config,
    release, code, loader, best."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def code_version() -> str:
    """Hash of this program's own source: training and schemas."""
    return code_sha256("training/**/*.py", "schemas/*.py")[:16]


def save(
    path: Path,
    model: torch.nn.Module,
    facts: Mapping[str, Any],
    optimiser: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint under a temporary name, then rename: a killed run leaves the
    last whole one."""
    tensors = {
        f"model.{name}": value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }
    if optimiser is not None:
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {
                f"optimiser.{index}.{name}": value.detach().cpu().contiguous().clone()
                for name, value in state.items()
            }
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
    making = path.with_name(path.name + ".part")
    # One entry, because safetensors writes several in no order.
    save_file(tensors, making, {"facts": json.dumps({"format": FORMAT, **facts})})
    with open(making, "rb") as stream:
        os.fsync(stream.fileno())
    os.replace(making, path)


def read(path: Path) -> Checkpoint:
    """A checkpoint whole on the CPU; RunFailed where it is not one of ours."""
    try:
        with safe_open(path, "pt") as stream:
            metadata = stream.metadata() or {}
            facts = json.loads(metadata.get("facts", "{}"))
            # The first checkpoints have the format in an entry of its own.
            if facts.pop("format", metadata.get("format")) != FORMAT:
                raise RunFailed(f"{path} is not a moodroll checkpoint")
            names = stream.keys()  # what is opened is no dict, and cannot be walked itself
            return Checkpoint({name: stream.get_tensor(name) for name in names}, facts)
    except FileNotFoundError as error:
        raise RunFailed(
            f"{path} is not there: train first, or name the folder of a run"
        ) from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunFailed(f"{path} cannot be read as a checkpoint: {error}") from error


def restore_model(model: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Put the weights in; RunFailed where they are another model's."""
    weights = {
        name.removeprefix("model."): value
        for name, value in checkpoint.tensors.items()
        if name.startswith("model.")
    }
    own = model.state_dict()
    odd = sorted(set(weights) ^ set(own)) or [
        name for name in own if own[name].shape != weights[name].shape
    ]
    if odd:
        raise RunFailed(
            f"{path} holds another model than this run asks for: {odd[0]} and {len(odd) - 1} more weights differ"
        )
    model.load_state_dict(weights)


def restore_training(
    optimiser: torch.optim.Optimizer, checkpoint: Checkpoint, path: Path
) -> None:
    """Put the optimiser's state and the random state back; RunFailed where the
    checkpoint holds the weights alone."""
    if "random.cpu" not in checkpoint.tensors:
        raise RunFailed(
            f"{path} holds weights alone, as {BEST} does: training cannot go on from it, so name another --out"
        )
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in checkpoint.tensors.items():
        if name.startswith("optimiser."):
            _, index, field = name.split(".")
            state.setdefault(int(index), {})[field] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    torch.set_rng_state(checkpoint.tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in checkpoint.tensors:
        torch.cuda.set_rng_state(checkpoint.tensors["random.cuda"])


def load_run(
    run: str, device: str = "cpu"
) -> tuple[torch.nn.Module, RunConfig, dict[str, Any]]:
    """The model of a run's best checkpoint (or the last, or of a file), its settings and
    facts, ready to be used."""
    from training.registry import MODELS

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RunFailed(
            f"there is no GPU here for --device {device}: leave it out to work on the CPU"
        )
    path = Path(run)
    if path.is_dir() or not path.exists():
        path = next(
            (path / name for name in (BEST, LAST) if (path / name).exists()), path / LAST
        )
    checkpoint = read(path)
    try:
        config = from_tables(checkpoint.facts["config"])
    except SettingsError as error:
        raise RunFailed(
            f"{path} was trained by another version of this program, whose settings differ: {error}"
        ) from error
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    model = MODELS[config.kind]().make(config.model, config.data)
    restore_model(model, checkpoint, path)
    return model.to(device).eval(), config, checkpoint.facts

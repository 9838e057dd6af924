"""Checkpoints: safetensors, never pickle; weights, optimiser, random state and where the
data stood, written in one rename, with a hash of it all."""

import hashlib
import json
import math
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
    facts = {"format": FORMAT, **facts}
    sealed = {**facts, "sha256": content_sha256(tensors, facts)}
    making = path.with_name(path.name + ".part")
    try:
        # One entry, because safetensors writes several in no order.
        save_file(tensors, making, {"facts": json.dumps(sealed)})
        with open(making, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(making, path)
    except (SafetensorError, OSError) as error:
        raise RunFailed(
            f"{path} cannot be written ({error}): mend that, and run the same command again"
        ) from error


def content_sha256(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """One hash over the facts and over the name, kind, shape and bytes of every tensor."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode() + b"\0")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read(path: Path) -> Checkpoint:
    """A checkpoint whole on the CPU; RunFailed where it is not one of ours, or is not as it was
    written."""
    try:
        with safe_open(path, "pt") as stream:
            metadata = stream.metadata() or {}
            facts = json.loads(metadata.get("facts", "{}"))
            names = stream.keys()  # what is opened is no dict, and cannot be walked itself
            tensors = {name: stream.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise RunFailed(
            f"{path} is not there: train first, or name the folder of a run"
        ) from error
    except (
        SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise RunFailed(f"{path} cannot be read as a checkpoint: {error}") from error
    # The first checkpoints have the format in an entry of its own.
    if not isinstance(facts, dict) or facts.get("format", metadata.get("format")) != FORMAT:
        raise RunFailed(f"{path} is not a moodroll checkpoint")
    _check_hash(path, tensors, facts)
    facts.pop("format", None)
    if odd := _odd_fact(facts):
        raise RunFailed(
            f"{path} is not a whole checkpoint, its {odd} is not what it must be: "
            "train again into another --out"
        )
    return Checkpoint(tensors, facts)


def _check_hash(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Raise RunFailed where a checkpoint has a hash, as all but the first ones have, that is not
    its own."""
    sealed = facts.pop("sha256", None)
    if sealed is not None and sealed != content_sha256(tensors, facts):
        raise RunFailed(
            f"{path} is damaged, it is not what was saved (its sha256 differs): "
            "take another checkpoint of the run, or train again"
        )


def _odd_fact(facts: Mapping[str, Any]) -> str:
    """The first fact that is missing or of another kind than it must be, "" where there is
    none."""
    best, loader, config = facts.get("best"), facts.get("loader"), facts.get("config")
    if not _is_count(facts.get("step")):
        return "step"
    if best is not None and (type(best) not in (int, float) or not math.isfinite(best)):
        return "best"
    if not isinstance(loader, dict):
        return "loader"
    if not (_is_count(loader.get("step")) and _is_count(loader.get("seed"))):
        return "loader"
    if not isinstance(facts.get("release"), str):
        return "release"
    tables = ("model", "data", "train")
    if not isinstance(config, dict) or not isinstance(config.get("kind"), str):
        return "config"
    if not all(isinstance(config.get(name), dict) for name in tables):
        return "config"
    return ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def restore_model(model: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Put the weights in; RunFailed where they are another model's."""
    weights = {
        name.removeprefix("model."): value
        for name, value in checkpoint.tensors.items()
        if name.startswith("model.")
    }
    own = model.state_dict()
    odd = sorted(set(weights) ^ set(own)) or [
        name
        for name in own
        if (own[name].shape, own[name].dtype) != (weights[name].shape, weights[name].dtype)
    ]
    if odd:
        raise RunFailed(
            f"{path} holds another model than this run asks for: {odd[0]} and {len(odd) - 1} more weights differ"
        )
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise RunFailed(
                f"{path} holds what is no number in {name}: take another checkpoint of the run"
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
    try:
        _restore(optimiser, checkpoint.tensors)
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
        raise RunFailed(
            f"{path} holds another optimiser's state than this run asks for ({error}): "
            "train into another --out"
        ) from error


def _restore(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, field = name.split(".")
            state.setdefault(int(index), {})[field] = value
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    for place, fields in state.items():
        for field, value in fields.items():
            if value.shape not in (weights[place].shape, torch.Size([])):
                raise ValueError(f"{field} of weight {place} has shape {list(value.shape)}")
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])


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
    try:
        model = MODELS[config.kind]().make(config.model, config.data)
    except (ValueError, TypeError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise RunFailed(f"{path} has settings that make no model: {error}") from error
    restore_model(model, checkpoint, path)
    return model.to(device).eval(), config, checkpoint.facts

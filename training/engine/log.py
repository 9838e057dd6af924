"""The log of a run: log.jsonl and TensorBoard, and the pace of what is worked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Log:
    """Lines of a run; on resume, what was logged after the checkpoint, or half written,
    is taken off."""

    def __init__(self, out: Path, step: int, tensorboard: bool) -> None:
        self.path = out / "log.jsonl"
        kept = (
            [line for line in read_log(self.path) if line["step"] <= step] if step else []
        )
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(
                    str(out / "tensorboard"), purge_step=step or None
                )
            except ImportError:
                pass

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """One line; numbers also to TensorBoard."""
        with self.path.open("a") as stream:
            stream.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        for name, value in values.items():
            if self.board is not None and isinstance(value, float):
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Nothing more comes."""
        if self.board is not None:
            self.board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log, none where there is no log; a last line that a killed
    run left half is left out."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]

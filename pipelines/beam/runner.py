"""Beam's runner: ours by name unless the command line says otherwise.

The in-process Fn API runner is pinned: Beam's default switches between runners and may
download one.
"""

import os
import sys
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from pipelines.beam import worker


def pipeline(beam_args: Sequence[str]) -> beam.Pipeline:
    """A Beam pipeline with the user's flags; where they name no runner, one worker
    process a core on this machine."""
    names = {flag.split("=")[0] for flag in beam_args}
    if names & {"--runner", "--direct_running_mode"}:
        return beam.Pipeline(options=PipelineOptions(list(beam_args)))
    workers = (
        []
        if "--direct_num_workers" in names
        else [f"--direct_num_workers={os.cpu_count() or 1}"]
    )
    # What direct_running_mode=multi_processing would start, but for the logs of its
    # workers.
    processes = SubprocessSDKEnvironment.from_command_string(
        f"exec {sys.executable} -m {worker.__name__} {os.getpid()}"
    )
    return beam.Pipeline(
        FnApiRunner(default_environment=processes), PipelineOptions([*workers, *beam_args])
    )

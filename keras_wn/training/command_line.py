"""Starts every runner: defines its flags, and turns a mistake of the user into one line."""

import dataclasses
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags

from keras_wn.errors import LostProcessError, UsageError
from keras_wn.training import flag_fields
from keras_wn.training.config import TrainConfig

# The fields of `TrainConfig` that --prepare takes.
_OF_PREPARE = {"allow_partial", "data_dir", "dataset"}


def define_training_flags(**defaults: Any) -> None:
    """Defines the flags of a training run.

    Args:
        **defaults: Values of a runner that replace those of `TrainConfig`.
    """
    flag_fields.define(TrainConfig, **defaults)
    flags.DEFINE_bool(
        "resume",
        False,
        "Continues the run in --model_dir from its newest checkpoint, or starts it if the folder "
        "holds none yet.",
    )
    flags.DEFINE_bool("overwrite", False, "Replaces the run in --model_dir.")
    flags.DEFINE_bool(
        "signal_report", False, "Writes the report on signal propagation at the start, and stops."
    )
    flags.DEFINE_bool(
        "prepare",
        False,
        "Checks ImageNet in --data_dir, prepares it if the folder holds its tars, and stops.",
    )
    flags.DEFINE_string(
        "prepared_format", "array_record", "Format that --prepare writes: array_record or tfrecord."
    )


def train() -> int | None:
    """Trains as the flags say. Returns the exit status."""
    values = flags.FLAGS
    config = flag_fields.read(TrainConfig)
    if values["prepared_format"].present and not values.prepare:
        raise UsageError(
            f"--prepared_format={values.prepared_format}: has no effect. Allowed: with --prepare."
        )
    if values.prepare:
        given = {name for name in dataclasses.asdict(config) if values[name].present}
        if unused := sorted(given - _OF_PREPARE):
            raise UsageError(
                f"--{unused[0]}={values[unused[0]].value}: has no effect with --prepare. Allowed "
                f"with it: {', '.join(f'--{name}' for name in sorted(_OF_PREPARE))}."
            )
        from keras_wn.data import datasets

        with datasets.tensorflow_needed(config.data_dir):
            from keras_wn.data import prepare
        return prepare.run(
            config.dataset, config.data_dir, values.prepared_format, config.allow_partial
        )
    # A mistake is said before the slow imports that follow.
    flag_fields.check_effects(config.resolved())
    from keras_wn.training import loop

    result = loop.train(config, values.resume, values.overwrite, values.signal_report)
    # A run that diverges is a result, not a failure. A run that was stopped tells by which signal,
    # as shells do.
    stopped_by = result and result["stopped_by"]
    return 128 + signal.Signals[stopped_by] if stopped_by else 0


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags, runs `main()`, and exits.

    An error that the user can fix is one line on standard error, and exit status 2. The loss of
    another process of the run is one line and exit status 1.

    Args:
        main: Function without arguments. It returns the exit status, or None for 0.
    """
    name = os.path.basename(sys.argv[0])
    # A path need not be valid text.
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app.run(lambda _: main(), flags_parser=_parse)
    except (UsageError, flags.Error) as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except LostProcessError as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted before training.", file=sys.stderr)
        sys.exit(130)


def _parse(argv):
    try:
        rest = flags.FLAGS([argv[0], *map(_checked, argv[1:])])
    except UnicodeDecodeError as error:
        raise UsageError(f"--flagfile: holds no text ({error}). Allowed: a flag a line.") from error
    if rest[1:]:
        raise UsageError(
            f"Unexpected argument {rest[1]!r}. Allowed: flags that start with --, see --help."
        )
    return rest


def _checked(argument):
    """Returns an argument. Refuses a file of flags that never ends, such as a pipe."""
    match = re.fullmatch(r"--?flagfile=(.*)", argument, re.DOTALL)
    if match and not os.path.isfile(match[1]):
        raise UsageError(f"{argument}: no regular file. Allowed: a text file, a flag a line.")
    return argument

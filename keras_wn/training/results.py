"""Writes `result.json` at the end of a run, and shows its table on the screen."""

import json
from typing import Any

from keras_wn.errors import UsageError
from keras_wn.training import files, text_table
from keras_wn.training.config import TrainConfig
from keras_wn.training.model_dir import ModelDir

_SPLITS = ("train", "validation", "test")


def summarize(
    config: TrainConfig,
    folder: ModelDir,
    status: str,
    step: int,
    final: dict,
    stopped_by: str | None,
    images_per_second: float | None,
    context: dict[str, Any],
) -> dict[str, Any]:
    """Writes `result.json` and returns its content.

    Args:
        config: Resolved `TrainConfig`.
        folder: `ModelDir`.
        status: `finished`, `diverged` or `interrupted`.
        step: Integer, optimizer steps done.
        final: Dict from split to its metrics in inference mode; empty if they were not measured.
        stopped_by: Name of the signal that stopped the run, or None.
        images_per_second: Float or None.
        context: Dict of further entries: data, semantics, memory, time.
    """
    best = _best_validation(folder)
    result = {
        "status": status,
        "stopped_by": stopped_by,
        "method": config.norm,
        "model": config.model,
        "seed": config.seed,
        "step": step,
        "final": {split: final.get(split) for split in _SPLITS},
        "gap_top1": final["train"]["top1"] - final["test"]["top1"] if final else None,
        "best_validation": best
        and {name: best[name] for name in ("epoch", "step", "top1", "top5", "loss")},
        "images_per_second": images_per_second,
        **context,
    }
    files.write_json(folder.result_json, result)
    return result


def best_top1(folder: ModelDir) -> float | None:
    """Highest validation top-1 in the folder's metrics; None if there is none."""
    best = _best_validation(folder)
    return best and best["top1"]


def _best_validation(folder):
    validation = [
        r for r in _metrics(folder) if r["split"] == "validation" and r["top1"] is not None
    ]
    return max(validation, key=lambda record: record["top1"], default=None)


def read(folder: ModelDir) -> dict[str, Any] | None:
    """The content of `result.json`, None if there is none. Checks `metrics.jsonl`, too.

    Raises:
        UsageError: If a run could not have written one of the two.
    """
    _metrics(folder)
    if not folder.result_json.exists():
        return None
    try:
        result = json.loads(folder.result_json.read_text(encoding="utf-8"))
        if result["status"] not in ("finished", *_ENDINGS):
            raise ValueError(f"status {result['status']!r}")
        _cells(result)
        int(result["step"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise _damaged(folder.result_json, error) from error
    return result


def show(result: dict[str, Any], folder: ModelDir) -> None:
    """Prints the result as a short table."""
    headings = ["method", "train top-1", "validation top-1", "test top-1", "gap", "images/s"]
    print()
    if result["status"] != "finished":
        print(f"*** This run {_ENDINGS[result['status']]} at step {result['step']}. ***")
    print(text_table.aligned(headings, [_cells(result)]))
    print("Accuracy in inference mode on un-augmented images of each split; gap = train - test.")
    print(f"Files: {folder.path}", flush=True)


_ENDINGS = {
    "diverged": "DIVERGED (its loss is not finite)",
    "interrupted": "was INTERRUPTED (continue it with --resume)",
}


def _cells(result):
    top1 = [
        _number(result["final"][split] and result["final"][split]["top1"], ".4f")
        for split in _SPLITS
    ]
    speed = _number(result["images_per_second"], ".1f")
    return [str(result["method"]), *top1, _number(result["gap_top1"], ".4f"), speed]


def _number(value, form):
    return "-" if value is None else format(value, form)


def _metrics(folder):
    """The records of `metrics.jsonl`."""
    if not folder.metrics_jsonl.exists():
        return []
    try:
        records = files.read_json_lines(folder.metrics_jsonl)
        for number, record in enumerate(records, start=1):
            top1 = record["top1"]
            if type(record["step"]) is not int or not (top1 is None or 0 <= top1 <= 1):
                raise ValueError(f"line {number} has the step {record['step']}, top-1 {top1}")
            str(record["split"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise _damaged(folder.metrics_jsonl, error) from error
    return records


def _damaged(path, error):
    return UsageError(
        f"--model_dir={path.parent}: its {path.name} is not as a run writes it "
        f"({type(error).__name__}: {error}). Allowed: --overwrite to start anew, or the file "
        "moved away."
    )

"""What weight normalization adds to a train step, here and in the peers, each against the plain layer of its own engine.

    python tests/peers/overhead --engine=keras --output=a.json       (KERAS_BACKEND chooses the backend)
    python tests/peers/overhead --engine=tfa --output=b.json         (where TensorFlow Addons is installed)
    python tests/peers/overhead --engine=torch --output=c.json
    python tests/peers/overhead --table a.json b.json c.json

`nox -s overhead` does all of it.
"""

import argparse
import importlib
import json
import pathlib

import numpy as np
from shapes import BATCH, SHAPES
from timing import interleaved, ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["keras", "tfa", "torch"])
    parser.add_argument("--jit_compile", action="store_true", help="compile the step by XLA (TensorFlow)")
    parser.add_argument("--inference", action="store_true", help="time folded inference in place of a train step")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--table", nargs="+", type=pathlib.Path, help="print one table of these files")
    flags = parser.parse_args()
    if (flags.engine is None) == (flags.table is None):
        parser.error("give one of --engine and --table")
    rows = [json.loads(path.read_text()) for path in flags.table] if flags.table else [_measured(flags)]
    if flags.output:
        flags.output.write_text(json.dumps(rows[0], indent=1))
    _print(rows)


def _measured(flags):
    engine = importlib.import_module(f"{flags.engine}_engine")
    rng = np.random.default_rng(0)
    shapes = {}
    for shape in SHAPES:
        x = rng.normal(size=(BATCH, *shape.inputs)).astype("float32")
        y = rng.normal(size=(BATCH, *shape.inputs[:-1], shape.units)).astype("float32")
        steps = engine.inferences(shape, x) if flags.inference else engine.steps(shape, x, y, flags.jit_compile)
        seconds = interleaved(steps, flags.rounds)
        plain = seconds.pop("plain")
        shapes[shape.name] = {
            "plain_ms": 1e3 * float(np.median(plain)),
            "ratios": {name: ratio(values, plain) for name, values in seconds.items()},
        }
    what = "inference" if flags.inference else "train step"
    return {"engine": engine.ENGINE + (", XLA" if flags.jit_compile else ""), "what": what, "shapes": shapes}


def _print(rows):
    print(f"Batch {BATCH}, float32; ratio to the plain layer of the same engine: median of the rounds (quartiles)")
    for name in (shape.name for shape in SHAPES):
        print(f"\n{name}")
        for row in rows:
            plain_ms, ratios = row["shapes"][name]["plain_ms"], row["shapes"][name]["ratios"]
            for kind, r in ratios.items():
                print(
                    f"  {row['engine']:45} {row['what']:10} {kind:17} {r['median']:5.2f} ({r['low']:.2f} to {r['high']:.2f})"
                    f"   plain {plain_ms:7.1f} ms"
                )


main()

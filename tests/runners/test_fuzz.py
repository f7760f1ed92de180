"""Command lines that nobody would type: each is one line of an error, or begins to train."""

import dataclasses
import itertools
import json
import random
import resource
import subprocess
import sys
import typing

import pytest

from keras_wn.study.protocol import Protocol
from keras_wn.training.config import TrainConfig
from tests.runners.processes import HERE, RUNNERS

NUMBERS = ["", "a", "-1", "0", "1", "3", str(2**32 - 1), str(2**32), "9" * 30, f"1{'0' * 400}"]
VALUES = {
    int: [*NUMBERS, "1" * 5000, "1e3", "nan"],
    float: [*NUMBERS, "nan", "inf", "-inf", "1e308", "1e309", "1e-320", "0.5"],
    bool: ["", "maybe", "2"],
    str: [
        "",
        "nope",
        "n" * 300,
        f"{'n' * 99}/" * 40,
        "\udce9",
        "a\nb",
        "{x}",
        "%s",
        "/proc/x",
        "[",
    ],
}
PATHS = {
    "imagenet": ["data_dir", "model_dir", "flagfile"],
    "compare": ["data_dir", "out", "add_benchmark", "flagfile"],
}
OF_COMPARE = {
    "suite": str,
    "methods": str,
    "budget": str,
    "jobs": int,
    "lanes": int,
    "shard": str,
    "patience": float,
    "yes": bool,
    "report_only": bool,
    "retry_crashed": bool,
}
# Alone, each of these would begin to train in the default way.
ALWAYS = {"imagenet": ["--model_dir=run"], "compare": ["--out=study", "--budget=tiny"]}


def flags_of(config):
    kinds = {}
    for field in dataclasses.fields(config):
        if "choices" in field.metadata:
            kind, *_ = typing.get_args(field.type) or (field.type,)
            kinds[field.name] = kind
    return kinds


def lines_of(name, folder):
    """Each flag with each value of its type, and random pairs of these."""
    kinds = flags_of(TrainConfig) if name == "imagenet" else {**flags_of(Protocol), **OF_COMPARE}
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "file").write_bytes(b"\xff\xfe\x00")
    (folder / "empty").mkdir()
    paths = [str(folder / path) for path in ("loop", "file", "empty", "none/none")]
    singles = [f"--{flag}={value}" for flag, kind in kinds.items() for value in VALUES[kind]]
    singles += [f"--{flag}={path}" for flag in PATHS[name] for path in [*paths, "/dev/zero"]]
    singles += ["--flagfile=/bin/ls", "stray", "--", "-", "--=1", "--nrom=wn", "--norm"]
    rng = random.Random(0)
    pairs = [rng.sample(singles, 2) for _ in range(100)]
    return [[*ALWAYS[name], *line] for line in itertools.chain(([s] for s in singles), pairs)]


@pytest.mark.parametrize("name", ["imagenet", "compare"])
def test_every_command_line_is_refused_in_one_line_or_begins(name, tmp_path):
    lines = lines_of(name, tmp_path)
    assert len(lines) >= 200
    done = subprocess.run(
        [sys.executable, HERE / "fuzz.py", RUNNERS / f"{name}.py"],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=280,
        # Memory that grows without a bound must not take the machine's.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33)),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout)
    begun = 0
    for line, (code, err, seconds) in zip(lines, answers, strict=True):
        shown = [text[:200] for text in line]
        assert "Traceback" not in err, (shown, err[-3000:])
        assert seconds < 20, shown
        if code == 2:
            errors = [text for text in err.splitlines() if text.startswith(f"{name}.py: error: ")]
            assert len(errors) == 1 and err.splitlines()[-1] == errors[0], (shown, err)
            assert any(word in errors[0] for word in ("--", "argument", "flag")), errors
        else:
            assert code in ("begun", 0), (shown, code, err)
            begun += 1
    assert len(lines) / 20 < begun < len(lines) / 2


WITHOUT_EFFECT = {
    "--prepared_format=tfrecord": "--prepared_format=tfrecord: has no effect. Allowed: with --prep",
    "--worker_timeout=3": "--worker_timeout=3: has no effect. Allowed: with --strategy=mu",
    "--max_corrupt=3": "--max_corrupt=3: has no effect. Allowed: with --dataset=imagenet",
    "--max_pixels=3": "--max_pixels=3: has no effect. Allowed: with --dataset=imagenet",
    "--allow_partial": "--allow_partial=True: has no effect. Allowed: with a data set that was",
    "--init_batches=2 --norm=bn": "--init_batches=2: has no effect. Allowed: with a --norm that",
    "--prepare --norm=wn": "--norm=wn: has no effect with --prepare. Allowed with it: --allow_",
    "--use_synthetic_data --data_dir=/": "--data_dir=/ with --use_synthetic_data: random images",
    "--overwrite": "--overwrite needs the folder of the run. Allowed: with --model_dir.",
    "--profile_steps=100000,100001 --model_dir=run": "--profile_steps=100000,100001: after the end",
    "--augment=paper": "--augment=paper with --dataset=digits: its images are neither cropped",
    "--accumulation=30 --train_epochs=1 --warmup_epochs=0": "--accumulation=30: more batches than",
    "--init_batches=2 --norm=wn --model_dir=run": None,
}


def test_a_flag_without_an_effect_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, HERE / "fuzz.py", RUNNERS / "imagenet.py"],
        input=json.dumps([line.split() for line in WITHOUT_EFFECT]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for message, (code, err, _) in zip(
        WITHOUT_EFFECT.values(), json.loads(done.stdout), strict=True
    ):
        if message is None:
            assert (code, err) == ("begun", "")
        else:
            assert code == 2 and err.startswith(f"imagenet.py: error: {message}"), err

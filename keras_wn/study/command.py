"""Defines the flags of `runners/compare.py`, and runs the study that they ask for."""

import contextlib
import dataclasses
import math
import os
import pathlib
import signal
import time

import keras
from absl import flags

from keras_wn import methods
from keras_wn.errors import UsageError
from keras_wn.study import budgets, questions, records, report
from keras_wn.study.forecast import A100_SECONDS, Forecast, check_test_images
from keras_wn.study.log import Log
from keras_wn.study.protocol import Protocol
from keras_wn.study.questions import SUITES
from keras_wn.study.specs import BASELINE, Planner, Setting
from keras_wn.study.study import Study
from keras_wn.study.workers import Worker, Workers
from keras_wn.training import flag_fields, lock
from keras_wn.training.monitor import duration

# Lanes on a GPU. Few numbers of them, each of which is compiled, serve a search of
# 48 trials, its extension by 16, and 20 final trials.
_LANES = 16
# Processes or lanes at most.
_MOST = 1024
# Plans that take longer, in seconds, are started with --yes.
_LONG = 24 * 3600


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_list(
        "suite",
        ["accuracy", "stability"],
        f"What to compare: {', '.join(SUITES)}; or all, which leaves exploratory ones out.",
    )
    flags.DEFINE_list("methods", list(methods.PAPER), f"Methods: {', '.join(methods.names())}.")
    flags.DEFINE_enum(
        "budget",
        "small",
        budgets.names(),
        "Size of the networks and number of trials; see keras_wn/study/budgets.py.",
    )
    flags.DEFINE_string(
        "out", "runs/study", "Folder of the study: a new one, or one to go on with."
    )
    flags.DEFINE_integer(
        "jobs",
        None,
        "Processes that run trials at the same time; as many as cores without a GPU, else 1, if "
        "not given.",
        lower_bound=1,
        upper_bound=_MOST,
    )
    flags.DEFINE_integer(
        "lanes",
        None,
        "Trials of one network that train in the lanes of one step, on JAX; 16 with a GPU on JAX, "
        "else 1, if not given.",
        lower_bound=1,
        upper_bound=_MOST,
    )
    flags.DEFINE_string(
        "shard",
        "1/1",
        "Part of the trials that falls to this process, as 2/4, where several share --out.",
    )
    flags.DEFINE_float(
        "patience", 60.0, "Minutes to wait for other shards without news.", lower_bound=0.0
    )
    flags.DEFINE_bool(
        "yes", False, "Start a plan that takes over a day, or that has too few test images."
    )
    flags.DEFINE_string(
        "add_benchmark",
        None,
        "File of `benchmark.py --what=tpu --output`, which is added to the study in --out.",
    )
    flags.DEFINE_bool(
        "retry_crashed", False, "Run the trials of --out again that crashed, once each."
    )
    flags.DEFINE_bool("report_only", False, "Write the report of the trials in --out, and stop.")
    flag_fields.define(Protocol)


def run() -> int:
    """Runs the study that the flags ask for. Returns the exit status."""
    values = flags.FLAGS
    for name in ("out", "add_benchmark"):
        flag_fields.check_not_empty(name, values[name].value)
    if not math.isfinite(values.patience):
        raise UsageError(f"--patience={values.patience}: not allowed. Allowed: 0 or more.")
    suites, shard, protocol = _suites(values.suite), _shard(values.shard), _protocol(values)
    for method in values.methods:
        if method not in methods.names():
            raise UsageError(f"--methods={method}: unknown. Allowed: {', '.join(methods.names())}.")
    if not values.methods:
        raise UsageError("--methods: none given. Allowed: one at least.")
    folder = pathlib.Path(values.out)
    log = Log(folder / "trials.jsonl")
    if values.add_benchmark:
        log.add_benchmark(values.add_benchmark)
    if values.report_only or values.add_benchmark:
        return _report(log, folder)
    protocol.check()
    backend = keras.backend.backend()
    if (values.lanes or 1) > 1 and backend != "jax":
        raise UsageError(
            f"--lanes={values.lanes} with KERAS_BACKEND={backend}: not supported. "
            "Allowed: KERAS_BACKEND=jax, or --lanes=1."
        )
    names = tuple(dict.fromkeys(values.methods))

    signal.signal(signal.SIGTERM, _interrupt)
    log.make_folder()
    try:
        with _alone(folder, shard):
            _work(protocol, names, suites, log, shard, values)
    except KeyboardInterrupt as stopped:
        name = stopped.args[0] if stopped.args else "SIGINT"
        print(
            f"\n{name}: stopped. Finished trials are in {folder}; "
            "the same command goes on from them."
        )
        return 128 + signal.Signals[name]
    # With shards, the last one to end reports all.
    return _report(log, folder)


def _work(protocol, names, suites, log, shard, values):
    cores = _cores()

    def make(count):
        return Worker(protocol, max(1, cores // count), log.path.parent)

    first = make(values.jobs or cores)
    try:
        begun = first.begin()
        rules = questions.rules(protocol.margin, protocol.level)
        record = protocol.record(begun["data"], names, suites, rules)
        log.check(record)
        planner, images = Planner(protocol, names, record["classes"]), record["images"]
        if not values.yes:
            check_test_images(protocol, images["test"])
        jobs = values.jobs or (1 if begun["gpus"] else cores)
        lanes = _lanes(values, begun)
        if values.retry_crashed:
            log.withdraw_crashed()
        done = log.trials()
        forecast = Forecast(planner, suites, done, images["train"], 1 / shard[1], jobs)
        if len(done) < forecast.total(done):
            _forecast(planner, forecast, done, first, begun["gpus"], values)
        log.start(record)
    except BaseException:
        first.close(at_once=True)
        raise
    workers = Workers(make, jobs, first, lanes)
    try:
        Study(planner, suites, log, workers, forecast, shard, 60.0 * values.patience).run()
    finally:
        workers.close(at_once=True)


@contextlib.contextmanager
def _alone(folder, shard):
    """Scope in which no other process does this process' part of the trials."""
    index, count = shard
    own = folder / f"shard-{index}-of-{count}.lock"
    with lock.locked(own, f"--out={folder}"):
        for other in folder.glob("shard-*-of-*.lock"):
            # The parts of another division are parts of these.
            if not other.name.endswith(f"-of-{count}.lock"):
                lock.check_unlocked(other, f"--out={folder}")
        yield


def _lanes(values, begun):
    if values.lanes is None:
        on_jax = keras.backend.backend() == "jax"
        return _LANES if on_jax and begun["gpus"] == 1 and begun["in_memory"] else 1
    if values.lanes > 1 and begun["gpus"] > 1:
        raise UsageError(
            f"--lanes={values.lanes} with {begun['gpus']} GPUs: not supported. Allowed: one GPU, "
            "as by CUDA_VISIBLE_DEVICES=0."
        )
    if values.lanes > 1 and not begun["in_memory"]:
        raise UsageError(
            f"--lanes={values.lanes} with images that are read from files: not supported. "
            "Allowed: --lanes=1."
        )
    return values.lanes


def _forecast(planner, forecast, done, worker, gpus, values):
    """Says what the plan takes. Raises `UsageError` if that is over a day and was not asked for."""
    total = forecast.total(done)
    print(f"Plan: {total:,} trials, {total - len(done):,} of them to do.", flush=True)
    begun = time.perf_counter()
    forecast.seconds_per_multiply_add = worker.time(_timed(planner, gpus))
    # Nearly all of that time is that of the compiler.
    forecast.seconds_per_network = time.perf_counter() - begun
    seconds = forecast.seconds_left(done)
    text = f"about {duration(seconds)} on this machine"
    if gpus:
        text += f", {seconds * gpus / 3600:,.0f} GPU-hours"
    elif seconds > _LONG:
        forecast.seconds_per_multiply_add, forecast.seconds_per_network = A100_SECONDS, 0.0
        hours = forecast.seconds_left(done) * forecast.jobs / 3600
        text += f", or {hours:,.0f} GPU-hours on A100s"
    print(f"It takes {text}.", flush=True)
    if seconds > _LONG and not values.yes:
        raise UsageError(
            f"--budget={values.budget}: the plan takes {text}. Allowed: --yes to start it, fewer "
            "--methods or --suite, or more machines with --shard."
        )


def _timed(planner, gpus):
    """The trial whose steps are timed for the forecast."""
    batch_size = planner.protocol.batch_size
    return planner.spec(
        "accuracy",
        "forecast",
        BASELINE,
        Setting(1e-4, 1e-4, 0.0),
        seed=0,
        # A large batch takes minutes on a CPU, and each of its images as long as in a small one.
        batch_size=batch_size if gpus else min(32, batch_size),
    )


def _interrupt(number, frame):
    del frame
    raise KeyboardInterrupt(signal.Signals(number).name)


def _report(log, folder):
    lines = log.read()
    try:
        page, _ = report.write(lines, folder)
        judged = questions.judge(records.table_of(lines))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Each record is as the study writes them, but together they make no study.
        raise UsageError(
            f"--out={folder}: no report can be made of its trials.jsonl "
            f"({type(error).__name__}: {error}). Allowed: a study's own log."
        ) from error
    except OSError as error:
        raise UsageError(
            f"--out={folder}: the report cannot be written ({error.strerror}). "
            "The trials are whole."
        ) from error
    for claim, verdict in judged.items():
        print(f"{claim.key:<4}{verdict.outcome:<25}{claim.text}")
    for number, sentence in enumerate(questions.findings(judged), start=1):
        print(f"{number}. {sentence}")
    print(f"Report: {page}")
    return 0


def _suites(asked):
    allowed = (*SUITES, "all")
    for suite in asked:
        if suite not in allowed:
            raise UsageError(f"--suite={suite}: unknown. Allowed: {', '.join(allowed)}.")
    if not asked:
        raise UsageError(f"--suite: none given. Allowed: {', '.join(allowed)}.")
    return tuple(
        name
        for name, question in SUITES.items()
        if name in asked or ("all" in asked and not question.is_exploratory)
    )


def _shard(text):
    try:
        index, count = (int(part) for part in text.split("/"))
    except ValueError:
        index, count = 0, 0
    if not 1 <= index <= count:
        raise UsageError(
            f"--shard={text}: not allowed. Allowed: a part and the number of parts, as 2/4."
        )
    return index, count


def _protocol(values):
    protocol = budgets.get(values.budget)
    given = flag_fields.values(Protocol)
    replaced = {name: value for name, value in given.items() if value is not None}
    if replaced.get("train_size") == 0:
        replaced["train_size"] = None
    return dataclasses.replace(protocol, **replaced)


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

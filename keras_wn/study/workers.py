"""Starts the processes that run trials, and hands trials to them."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from keras_wn.errors import UsageError
from keras_wn.study.protocol import Protocol
from keras_wn.study.specs import TrialSpec, empty_record

# A trial whose process is killed from outside runs again, up to this number of times in all.
_TRIES = 3
# Exit statuses of a process that another one has killed. A fault of its own gives others.
_KILLED = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}


class Worker:
    """A process that runs trials one after the other.

    When this process ends, the worker ends after its trial at the latest.

    Args:
        protocol: `Protocol`.
        threads: Threads that an operation may use.
        folder: Folder of the study. The messages of the worker go to `workers.log` in it, and the
            state of long trials to `running`.

    Attributes:
        networks: Set of the networks that it has built.
    """

    def __init__(self, protocol: Protocol, threads: int, folder: pathlib.Path):
        self.networks: set[tuple] = set()
        self._start = {
            "protocol": protocol.values(),
            "threads": threads,
            "folder": os.fspath(folder / "running"),
            "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        }
        self._log_path = folder / "workers.log"
        self._process: subprocess.Popen | None = None
        self._process_line: dict[str, Any] = {}
        self._is_closed = False

    def begin(self) -> dict[str, Any]:
        """Starts the process.

        Returns:
            Dict with `process`, its record for the log, `data`, the counts of images and classes,
            `gpus`, the number of its GPUs, and `in_memory`, whether the images are in memory.

        Raises:
            UsageError: For a mistake that the user can mend, such as data that are missing.
        """
        started = time.perf_counter()
        with open(self._log_path, "ab") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keras_wn.study.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                # Ctrl-C must reach this process alone, which ends the workers.
                start_new_session=True,
            )
        answer = self._asked(self._start) or {
            "error": f"A worker did not start: see {self._log_path}."
        }
        if "error" in answer:
            self.close()
            raise UsageError(answer["error"])
        self._process_line = {
            **answer["process"],
            "starting_seconds": round(time.perf_counter() - started, 1),
        }
        return answer

    def time(self, spec: TrialSpec) -> float:
        """Seconds of a multiplication and addition in the training of a trial's network.

        Raises:
            UsageError: If the process dies of it.
        """
        answer = self._asked(dataclasses.asdict(spec))
        if answer is None:
            raise UsageError(
                f"--batch_size={spec.batch_size}: a step of {spec.model} cannot be timed here: see "
                f"{self._log_path}."
            )
        return answer["seconds"]

    def run(self, specs: list[TrialSpec]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Runs a few trials, in a thread of this process.

        Trials whose process is killed from outside, for example because the machine has no memory
        left, run again, twice at most. A process that ends by itself has crashed in its trial.

        Args:
            specs: List of `TrialSpec` that train in lanes, or all of the cost suite.

        Returns:
            Pair of the record of the process and the records of the trials.

        Raises:
            UsageError: For a mistake that the user can mend, such as a disk that is full.
        """
        asked = [dataclasses.asdict(spec) for spec in specs]
        for _ in range(_TRIES):
            if self._process is None or self._process.poll() is not None:
                # It was killed while it had nothing to do, which is no fault of these trials.
                self.close()
                self.begin()
            process = self._process
            self.networks.update(spec.network for spec in specs)
            answer = self._asked(asked)
            if isinstance(answer, dict):
                raise UsageError(answer["error"])
            if answer is not None:
                return self._process_line, answer
            # Another thread may have closed this worker by now.
            status = process.wait()
            self.networks = set()
            if status not in _KILLED or self._is_closed:
                break
        error = f"The trial's process ended with status {status}: see {self._log_path.name}."
        return self._process_line, [{**empty_record(spec), "error": error} for spec in specs]

    def close(self, at_once: bool = False) -> None:
        """Ends the process, after its trial unless `at_once`, in which case none follows it."""
        self._is_closed = at_once
        if self._process is None:
            return
        if at_once:
            self._process.kill()
        # A process that has ended does not read what is left for it.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._process = None

    def _asked(self, record):
        """The answer of the process, or None if it has died."""
        process = self._process
        try:
            process.stdin.write(json.dumps(record) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except (BrokenPipeError, ValueError):
            # A pipe that another thread has closed is a `ValueError`.
            return None
        # A process that was killed may leave a part of a line.
        return json.loads(answer) if answer.endswith("\n") else None


class Workers:
    """Hands trials to the workers, those of a network to the worker that has built it.

    Args:
        make: Function that makes a `Worker`, given the number of workers at the same time.
        jobs: The number of workers.
        first: `Worker` that has begun, as the first of them. None makes it as well.
        lanes: The number of trials that a worker trains in lanes.
    """

    def __init__(
        self,
        make: Callable[[int], Worker],
        jobs: int,
        first: Worker | None = None,
        lanes: int = 1,
    ):
        self._make, self._lanes = make, lanes
        self._idle = [first] if first else []
        self._idle += [make(jobs) for _ in range(jobs - len(self._idle))]
        self._threads = concurrent.futures.ThreadPoolExecutor(jobs)
        self._busy = {}

    @property
    def at_work(self) -> set[str]:
        """Identities of the trials that are running."""
        return {spec.id for _, specs in self._busy.values() for spec in specs}

    def start(self, ready: list[TrialSpec]) -> None:
        """Hands out trials while a worker is idle.

        Args:
            ready: List of `TrialSpec` that are neither done nor running, in the order of urgency.
        """
        ready = list(ready)
        while ready and self._idle:
            worker, specs = self._match(ready)
            if worker is None:
                return
            self._idle.remove(worker)
            self._busy[self._threads.submit(worker.run, specs)] = (worker, specs)
            ready = [spec for spec in ready if spec not in specs]

    def finished(self, timeout: float) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Answers of workers, as `Worker.run` returns them.

        Waits for one answer, for `timeout` seconds at most.
        """
        through, _ = concurrent.futures.wait(
            self._busy, timeout=timeout, return_when=concurrent.futures.FIRST_COMPLETED
        )
        answers = []
        for future in through:
            worker, _ = self._busy.pop(future)
            self._idle.append(worker)
            answers.append(future.result())
        return answers

    def close(self, at_once: bool = False) -> None:
        """Ends all processes."""
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.close(at_once)
        self._threads.shutdown()

    def _only(self):
        for worker in self._idle:
            worker.close()
        self._idle = [self._make(1)]
        return self._idle[0]

    def _match(self, ready):
        """An idle worker and the trials for it, or (None, None) if the ready trials must wait."""
        shared = [spec for spec in ready if not spec.together]
        if not shared:
            # Such trials wait until all else is done, and take the whole machine.
            group = [spec for spec in ready if spec.together == ready[0].together]
            return (None, None) if self._busy else (self._only(), group)
        for worker in self._idle:
            for spec in shared:
                if spec.network in worker.networks:
                    return worker, self._for_lanes(spec, shared)
        elsewhere = {spec.network for _, specs in self._busy.values() for spec in specs}
        # Prefers a network that no other worker has.
        new = [spec for spec in shared if spec.network not in elsewhere]
        chosen = (new or shared)[0]
        return self._idle[0], self._for_lanes(chosen, shared)

    def _for_lanes(self, chosen, specs):
        return [spec for spec in specs if spec.lane == chosen.lane][: self._lanes]

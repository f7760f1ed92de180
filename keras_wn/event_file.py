"""Writes scalars for TensorBoard, without TensorFlow."""

import os
import pathlib
import socket
import time
from collections.abc import Mapping


class Scalars:
    """Writes scalars into an events file of TensorBoard.

    Args:
        folder: Path for the events file, which is made with the first scalars.
    """

    def __init__(self, folder: pathlib.Path):
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._path = pathlib.Path(folder) / name

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values by name for a step; they are in the file when this returns."""
        # Imported here, because `import keras_wn` does without tensorboard.
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        events = [Event(wall_time=time.time(), step=step, summary=_summary(values))]
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            events.insert(0, Event(wall_time=time.time(), file_version="brain.Event:2"))
        with open(self._path, "ab") as file:
            for event in events:
                RecordWriter(file).write(event.SerializeToString())


def _summary(values):
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(
        value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    )

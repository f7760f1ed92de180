"""Runs trials, from the specification to the record."""

import math
import time

from keras_wn.study import data, measuring, resuming
from keras_wn.study.networks import Networks
from keras_wn.study.spec import record_of
from keras_wn.training import provenance
from keras_wn.training.diverged import StopDiverged, weights_are_finite

# Draws of the data that are kept in memory.
_DRAWS = 8


class Trials:
    """Runs the trials of a protocol in this process; those of one network share its compiled step.

    Args:
        protocol: `Protocol`.
        folder: `pathlib.Path`, where the states of long trials are kept while they run.

    Raises:
        UsageError: If the data are not there, or not what the protocol asks for.
    """

    def __init__(self, protocol, folder):
        self._protocol, self._folder = protocol, folder
        self._splits = data.load(protocol)
        longest = max(protocol.train_epochs, protocol.stability["train_epochs"], protocol.signal["train_epochs"])
        steps = longest * (self.data["images"]["train"] // protocol.batch_size)
        self._networks = Networks(protocol, self._splits, steps)
        self._draws = {}

    @property
    def data(self):
        """Counts for the protocol's line of the log: images of each split that a trial uses, and classes."""
        counts = {name: len(getattr(self._splits, name)) for name in ("train", "validation", "test")}
        counts["train"] = self._protocol.train_size or counts["train"]
        description = provenance.DATA[self._splits.name]
        return {"classes": self._splits.classes, "images": counts, "data": description}

    def run(self, spec):
        """Trains and measures.

        Args:
            spec: `TrialSpec`.

        Returns:
            Dict: the line of the log.
        """
        start = time.perf_counter()
        splits, training, batches = self._draw(spec.seed)
        is_new = not self._networks.has(spec)
        model, config = self._networks.at_start(spec, splits)
        if is_new:
            # Compiles, so that what is timed as training is training.
            _fit(model, training, 1, config.steps_per_loop)
            measuring.evaluated(model, batches["validation"].take(1))
            model, config = self._networks.at_start(spec, splits)
        ready = time.perf_counter()
        measured = measuring.Measuring(spec, splits, batches)
        last_loss = self._train(model, config, spec, splits, training, measured)
        trained = time.perf_counter()
        finite = math.isfinite(last_loss) and weights_are_finite(model)
        final = measured.at_end(model) if finite else {}
        end = time.perf_counter()
        finite = finite and all(math.isfinite(figures["loss"]) for figures in final.values())
        seconds = {
            "building": ready - start,
            "training": trained - ready - measured.seconds,
            "evaluation": end - trained + measured.seconds,
            "total": end - start,
        }
        return {
            **record_of(spec),
            "status": "finished" if finite else "diverged",
            "epochs": measured.epochs,
            "final": final,
            "curves": measured.curves,
            "signal": measured.signals,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }

    def _train(self, model, config, spec, splits, training, measured):
        """Trains to the end, from where an earlier process came to if states are kept; the last epoch's loss, 0 if none was left."""
        steps = config.steps_per_epoch(splits)
        if not resuming.is_worth_it(splits):
            return _fit(model, training, spec.train_epochs, steps, [measured])
        kept = resuming.Resuming(self._folder / spec.id, spec, steps, measured)
        first = kept.restore(model)
        training = splits.train.training_batches(config.batch_size, splits.classes, spec.seed, first * steps)
        loss = _fit(model, training, spec.train_epochs, steps, [measured, kept], first)
        kept.clear()
        return loss

    def _draw(self, seed):
        """The data of a seed: splits, training batches, and evaluation batches by split."""
        if seed not in self._draws:
            while len(self._draws) >= _DRAWS:
                self._draws.pop(next(iter(self._draws)))
            splits = data.drawn(self._splits, self._protocol, seed)
            training = splits.train.training_batches(self._protocol.batch_size, splits.classes, seed)
            evaluation = {
                name: measuring.batches_of(getattr(splits, name), splits.classes)
                for name in ("train", "validation", "test")
            }
            self._draws[seed] = splits, training, evaluation
        return self._draws[seed]


def _fit(model, batches, epochs, steps, callbacks=(), first=0):
    history = model.fit(
        batches,
        initial_epoch=first,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=[*callbacks, StopDiverged()],
        shuffle=False,
        verbose=0,
    )
    return history.history.get("loss", [0.0])[-1]

"""Compiled networks that trials share."""

import keras
import numpy as np
import tensorflow as tf

from keras_wn.study.adjustable_sgd import AdjustableSGD
from keras_wn.training import building, devices, schedules
from keras_wn.training.config import BASE_BATCH_SIZE, TrainConfig

# Networks, and starts of each, that are kept in memory.
_NETWORKS = 8
_STARTS = 8
_LONGEST_LOOP = 100


class Networks:
    """Builds the network of a trial, or takes one that an earlier trial built, and puts it at its start.

    Args:
        protocol: `Protocol`.
        splits: `Splits`, for the shapes.
        steps: Positive integer, the longest trial in steps.
    """

    def __init__(self, protocol, splits, steps):
        self._protocol, self._splits, self._steps = protocol, splits, steps
        self._models = {}
        self._devices = None

    def config(self, spec, splits):
        """The trial as the runners would be asked for it."""
        protocol = self._protocol
        steps = len(splits.train) // protocol.batch_size
        return TrainConfig(
            norm=spec.method,
            model=spec.model,
            join=spec.join,
            dataset=protocol.dataset,
            data_dir=protocol.data_dir,
            image_size=protocol.image_size,
            batch_size=protocol.batch_size,
            train_epochs=spec.train_epochs,
            base_learning_rate=spec.learning_rate * BASE_BATCH_SIZE / protocol.batch_size,
            warmup_epochs=spec.warmup_epochs,
            weight_decay=spec.weight_decay,
            momentum=protocol.momentum,
            schedule=protocol.schedule,
            dropout=spec.dropout,
            precision=protocol.precision,
            seed=spec.seed,
            # As many as divide an epoch: a return to Python takes as long as a small net's step.
            steps_per_loop=max((n for n in range(1, _LONGEST_LOOP + 1) if steps % n == 0), default=1),
        ).resolved()

    def at_start(self, spec, splits):
        """The trial's model at its start.

        Args:
            spec: `TrialSpec`.
            splits: `Splits` of the trial.

        Returns:
            Compiled model, and `TrainConfig`.
        """
        config = self.config(spec, splits)
        if self._devices is None:
            self._devices = devices.of_run(config)
            keras.config.set_dtype_policy(config.precision)
        config.check_against(splits, self._devices.replicas)
        if spec.network not in self._models:
            self._add(spec, config, splits)
        model, starts, put = self._models[spec.network]
        if spec.seed not in starts:
            while len(starts) >= _STARTS:
                starts.pop(next(iter(starts)))
            self._start(config, model, splits)
            starts[spec.seed] = [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]
        put(starts[spec.seed])
        model.optimizer.adjust(_rates(config, splits), config.weight_decay)
        return model, config

    def has(self, spec):
        """Whether the trial's network is built."""
        return spec.network in self._models

    def _add(self, spec, config, splits):
        while len(self._models) >= _NETWORKS:
            self._models.pop(next(iter(self._models)))
        with self._devices.scope():
            model = building.build(
                config,
                self._splits.image_shape,
                self._splits.classes,
                0.0,
                self._devices,
                devices.compiles(config.xla),
                optimizer=lambda *args, **kwargs: AdjustableSGD(*args, steps=self._steps, **kwargs),
            )
            model.optimizer.build(model.trainable_variables)
        self._models[spec.network] = (model, {}, _putter(_variables(model)))

    def _start(self, config, model, splits):
        """Puts the model at the start of a run, but for the optimizer's settings."""
        keras.utils.set_random_seed(config.seed)
        for layer in model.layers:
            with self._devices.scope():
                fresh = _built_anew(layer)
            for variable, value in zip(layer.variables, fresh.variables, strict=True):
                variable.assign(value)
        if config.card.initialize:
            images, _ = splits.train.sample(config.batch_size * config.init_batches, config.seed)
            config.card.initialize(model, images)
        for variable in model.optimizer.variables:
            variable.assign(keras.ops.zeros(variable.shape, variable.dtype))


def _variables(model):
    return [*(variable for layer in model.layers for variable in layer.variables), *model.optimizer.variables]


def _putter(variables):
    """Function that gives the variables values, in one compiled call: by themselves they take as long as a short trial's epoch."""

    @tf.function
    def put(values):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return put


def _built_anew(layer):
    """A layer like `layer` with variables of its own: without a call, which takes most of the time of making a network."""
    fresh = type(layer).from_config(layer.get_config())
    fresh.build_from_config(layer.get_build_config())
    return fresh


def _rates(config, splits):
    total = config.updates(splits, config.train_epochs)
    schedule = schedules.build(
        config.schedule,
        peak=config.base_learning_rate * config.images_per_update / BASE_BATCH_SIZE,
        total_steps=total,
        warmup_steps=config.updates(splits, config.warmup_epochs),
    )
    return keras.ops.convert_to_numpy(schedule(np.arange(total)))

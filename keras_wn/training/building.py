"""From a configuration to a compiled model."""

import keras

from keras_wn import models
from keras_wn.training.optimizer import SGDL2


def build(config, image_shape, classes, schedule, devices, xla, optimizer=SGDL2):
    """The compiled model of a run; to be called in the scope of its devices.

    Args:
        config: Resolved `TrainConfig`.
        image_shape: Tuple `(height, width, channels)`.
        classes: Positive integer.
        schedule: Learning-rate schedule.
        devices: `Devices`.
        xla: Boolean, whether XLA compiles it.
        optimizer: `SGDL2`, or a subclass of it.
    """
    compiled_step = devices.strategy is not None and (
        devices.replicas > 1 or xla or config.accumulation > 1 or config.agc
    )
    model = network(config, image_shape, classes)
    if compiled_step:
        from keras_wn.training.compiled_step import CompiledStepModel  # On TensorFlow alone.

        options = {"xla": xla, "accumulation": config.accumulation, "agc": config.agc, "agc_excluded": ("logits",)}
        model = CompiledStepModel(model.input, model.output, name=model.name, **options)
    model.compile(
        optimizer=optimizer(
            config.weight_decay,
            config.card.decayed,
            sums_gradients=not compiled_step,
            learning_rate=schedule,
            momentum=config.momentum,
            global_clipnorm=config.clip_norm or None,
            use_ema=bool(config.ema),
            ema_momentum=config.ema or 0.99,
        ),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True,
            label_smoothing=config.label_smoothing,
            reduction="mean_with_sample_weight",  # Weights are 1, and 0 for what fills an evaluation's last batch up.
        ),
        weighted_metrics=[keras.metrics.CategoricalAccuracy("top1"), keras.metrics.TopKCategoricalAccuracy(5, "top5")],
        steps_per_execution=config.steps_per_loop,
        jit_compile=False if compiled_step else "auto",
    )
    return model


def network(config, image_shape, classes):
    """The network of a run, not compiled; arguments as `build`'s."""
    return models.get(config.model)(config.norm, image_shape, classes, config.join, config.dropout)

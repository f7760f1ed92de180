"""Writes the files of Keras 2 of the programs in `programs.py`.

    python make_files.py FOLDER

Runs in an environment of its own (`nox -s tfa`). For each program and wrapper, `NAME` stands for
both, as `tcn-data_init`:

- `NAME_weights.h5` and `NAME_checkpoint`: `save_weights`; `NAME.weights.h5`: the newer format.
- `NAME.h5` and, of some, `NAME_saved`: the whole model, compiled, after a step of training.
- `NAME_trained/ckpt-1`: by a manager of checkpoints of the model, its optimizer and two variables.
- `NAME.npz`: input and outputs.
- `NAME_gradients.h5`: the gradients of `sum(outputs * (0, 0.1, 0.2, ...))` in the weights' places.

Also `gan/ckpt-1`, a checkpoint of two models, and `new-WRAPPER.h5` and `new-WRAPPER_checkpoint`, of
a model that was never called.
"""

import pathlib
import sys

import numpy as np
import programs
import tensorflow as tf
import tensorflow_addons as tfa
import tensorflow_tts

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(3, 8, 4)).astype("float32")
IMAGES = RNG.normal(size=(3, 8, 8, 3)).astype("float32")
TOKENS = RNG.integers(0, 20, (3, 12)).astype("int32")


def with_data_init(layer):
    """TensorFlow Addons' default, which fails for most transposed convolutions."""
    is_transposed = isinstance(layer, tf.keras.layers.Conv2DTranspose)
    return tfa.layers.WeightNormalization(layer, data_init=not is_transposed)


programs.WRAPPERS |= {
    "no_data_init": lambda layer: tfa.layers.WeightNormalization(layer, data_init=False),
    "data_init": with_data_init,
    "tensorflow_tts": tensorflow_tts.WeightNormalization,
    "plain": lambda layer: layer,
}
TFA = ("no_data_init", "data_init")
INPUTS = {
    programs.issue_2869: TOKENS,
    programs.convolutions: IMAGES,
    programs.square: IMAGES,
    programs.square_alone: IMAGES,
    programs.recurrent: SERIES,
    programs.other_layers: SERIES,
    programs.nested: SERIES,
    programs.tcn: SERIES,
    programs.wdsr: IMAGES,
    programs.subclassed: SERIES,
    programs.melgan: SERIES,
    programs.melgan_square: SERIES,
}
WRITERS = {program: TFA for program in INPUTS} | {
    programs.other_layers: ("no_data_init",),
    programs.square: ("no_data_init", "tensorflow_tts"),
    programs.square_alone: ("no_data_init", "tensorflow_tts"),
    programs.melgan: ("no_data_init", "tensorflow_tts"),
    programs.melgan_square: ("tensorflow_tts",),
    programs.subclassed: (*TFA, "plain"),
}
# Neither wrapper can write a SavedModel of transposed convolutions and recurrent layers.
SAVED_MODELS = {
    "issue_2869-no_data_init",
    "nested-data_init",
    "subclassed-data_init",
    "subclassed-plain",
    "tcn-data_init",
}


def randomize(model):
    """Gives each weight a value, g as well. Variances stay positive."""
    for variable in model.variables:
        if variable.dtype == tf.float32:
            kernel = np.abs(RNG.normal(1.0, 0.3, variable.shape)) * RNG.choice(
                [-1, 1], variable.shape
            )
            variable.assign(
                kernel if "kernel" in variable.name else RNG.uniform(0.5, 1.5, variable.shape)
            )


def write(folder, name, model, x):
    model.compile("adam", "mse", run_eagerly=True)
    model.train_on_batch(x, model(x))
    randomize(model)
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        outputs = model(x, training=False)
        loss = tf.reduce_sum(
            outputs * tf.reshape(tf.range(float(tf.size(outputs))), outputs.shape) / 10.0
        )
    gradients = tape.gradient(loss, model.trainable_variables)
    np.savez(folder / f"{name}.npz", x=x.numpy(), outputs=outputs.numpy())
    model.save_weights(folder / f"{name}.weights.h5")
    model.save_weights(folder / f"{name}_weights.h5")
    model.save_weights(folder / f"{name}_checkpoint")
    step, psnr = tf.Variable(0), tf.Variable(-1.0)
    checkpoint = tf.train.Checkpoint(step=step, psnr=psnr, optimizer=model.optimizer, model=model)
    tf.train.CheckpointManager(checkpoint, folder / f"{name}_trained", max_to_keep=3).save()
    if not isinstance(model, (programs.Subclassed, programs.MelGAN)):
        model.save(folder / f"{name}.h5")
    if name in SAVED_MODELS:
        model.save(folder / f"{name}_saved")
    # The gradients, as the weights of the same model.
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign(tf.convert_to_tensor(gradient))
    model.save_weights(folder / f"{name}_gradients.h5")


def write_gan(folder):
    models = {
        "generator": programs.tcn("data_init"),
        "discriminator": programs.issue_2869("data_init"),
    }
    for name, model in models.items():
        randomize(model)
        x = INPUTS[getattr(programs, "tcn" if name == "generator" else "issue_2869")]
        np.savez(folder / f"{name}.npz", x=x, outputs=model(x, training=False).numpy())
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(models["generator"].trainable_variables)
    checkpoint = tf.train.Checkpoint(**models, generator_optimizer=optimizer)
    tf.train.CheckpointManager(checkpoint, folder / "gan", max_to_keep=3).save()


def write_new(folder):
    """A model that was never called."""
    for wrapper in TFA:
        model = programs.issue_2869(wrapper)
        model.save_weights(folder / f"new-{wrapper}.h5")
        model.save_weights(folder / f"new-{wrapper}_checkpoint")
        if wrapper == "no_data_init":
            np.savez(folder / "new.npz", x=TOKENS, outputs=model(TOKENS, training=False).numpy())


def main(folder):
    for program, wrappers in WRITERS.items():
        for wrapper in wrappers:
            tf.keras.backend.clear_session()
            tf.keras.utils.set_random_seed(0)
            write(folder, f"{program.__name__}-{wrapper}", program(wrapper), INPUTS[program])
    write_gan(folder)
    write_new(folder)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

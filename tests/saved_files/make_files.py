"""Writes the files that `tests/test_saved_files.py` reads.

Run `python tests/saved_files/make_files.py FOLDER`.

The files in this folder were written by keras_wn 0.1.0 under Keras 3.15.1: `every_layer` and
`weighted_join` before its modules were merged into chapters, and `later_layers` when those layers
were added. They stay as they are, so that a change that would keep users from loading their own
files is seen.
"""

import pathlib
import sys

import keras
import numpy as np

from keras_wn import constraints, initializers, layers, models, regularizers

IMAGE, SERIES, VOLUME = (6, 6, 4), (7, 4), (4, 4, 4, 3)


def every_layer():
    """One model with every public layer, constraint, regularizer and initializer in it."""
    image, series, volume = (keras.Input(shape) for shape in (IMAGE, SERIES, VOLUME))
    tokens = keras.Input((3,), dtype="int32")
    on_w = {
        "kernel_regularizer": regularizers.EffectiveKernelRegularizer(keras.regularizers.L2(0.1)),
        "kernel_constraint": constraints.EffectiveKernelConstraint(keras.constraints.MaxNorm(1.0)),
    }
    unit = {
        "kernel_initializer": initializers.UnitFilters("glorot_uniform"),
        "kernel_constraint": constraints.UnitNorm(),
    }
    four = layers.WNConv2D(4, 3, padding="same", name="wn_conv2d")(image)
    outputs = [
        four,
        layers.WNConv2D(4, 3, padding="same", use_gain=False, use_bias=False, name="strict")(image),
        layers.WNConv2D(4, 3, padding="same", log_gain=True, name="log")(image),
        layers.BoundedWNConv2D(4, 3, padding="same", name="bounded")(image),
        layers.NormPropConv2D(4, 3, padding="same", name="norm_prop_conv2d", **unit)(image),
        layers.WNConv2DTranspose(4, 3, padding="same", name="transpose2d")(image),
        layers.WNDepthwiseConv2D(3, padding="same", name="depthwise2d")(image),
        layers.WNSeparableConv2D(4, 3, padding="same", name="separable2d")(image),
        layers.WNConv1D(4, 3, name="conv1d")(series),
        layers.WNConv1DTranspose(4, 3, name="transpose1d")(series),
        layers.WNDepthwiseConv1D(3, name="depthwise1d")(series),
        layers.WNSeparableConv1D(4, 3, name="separable1d")(series),
        layers.WNEinsumDense("abc,cd->abd", (None, 4), name="einsum")(series),
        layers.WNConv3D(4, 2, name="conv3d")(volume),
        layers.WNConv3DTranspose(4, 2, name="transpose3d")(volume),
        layers.WNEmbedding(6, 4, name="embedding")(tokens),
        layers.WeightNormalization(keras.layers.Conv2D(4, 3, padding="same"), name="wrapped_conv")(
            image
        ),
        layers.WeightNormalization(keras.layers.GRU(4, return_sequences=True), name="wrapped_gru")(
            series
        ),
        layers.WeightNormalization(keras.layers.Dense(4), use_gain=False, name="wrapped_strict")(
            series
        ),
        layers.MeanOnlyBatchNormalization(name="mean_only")(image),
        layers.TReLU(name="trelu")(four),
        layers.NormalizedReLU(name="normalized_relu")(four),
        layers.ScaledAdd(name="scaled_add")([image, four]),
        layers.WeightedAdd(name="weighted_add")([image, four]),
    ]
    pool = {3: keras.layers.GlobalAveragePooling1D, 4: keras.layers.GlobalAveragePooling2D}
    pool[5] = keras.layers.GlobalAveragePooling3D
    x = keras.layers.Concatenate()([pool[len(x.shape)]()(x) for x in outputs])
    dense = layers.WNDense(5, name="wn_dense", **on_w)(x)
    outputs = keras.layers.Concatenate()(
        [layers.NormPropDense(3, name="norm_prop_dense", **unit)(x), dense]
    )
    return keras.Model([image, series, volume, tokens], outputs, name="every_layer")


def later_layers():
    """One model with the public layers and options that were added later."""
    image = keras.Input(IMAGE)
    x = layers.ScaledWSConv2D(4, 3, padding="same", name="scaled_ws")(image)
    x = layers.WNConv2D(4, 3, padding="same", center=True, name="centered")(x)
    x = layers.WeightNormalization(keras.layers.Conv2D(4, 3), center=True, name="wrapped")(x)
    x = layers.BatchStatisticsNoise(8, seed=0, name="noise")(x)
    x = layers.ScalarBias(factor=0.5, name="scalar_bias")(x)
    x = layers.ScalarGain(factor=2.0, name="scalar_gain")(x)
    x = layers.SkipInit(factor=0.2, name="skip_init")(x)
    return keras.Model(image, x, name="later_layers")


def ghost_batches():
    """One model with the public layer that was added after these."""
    image = keras.Input(IMAGE)
    x = layers.GhostBatchNormalization(8, name="ghost")(image)
    return keras.Model(image, x, name="ghost_batches")


def ingredients():
    """One model with the public layers and options that came with the ingredients of methods."""
    image = keras.Input(IMAGE)
    x = keras.layers.Conv2D(
        4,
        3,
        padding="same",
        kernel_initializer=initializers.CenteredFilters("he_normal"),
        kernel_constraint=constraints.UnitNorm(norm=1.5),
        name="projected",
    )(image)
    x = layers.GroupNormalization(2, name="group_norm")(x)
    x = layers.ScaledReLU(negative_slope=0.2, name="scaled_relu")(x)
    convolution = layers.WNConv2D(
        4, 3, padding="same", use_gain=False, use_bias=False, name="convolution"
    )
    branch = convolution(x, scale=layers.SharedGain(4, factor=0.2, name="shared_gain")(x))
    return keras.Model(
        image, layers.ScaledAdd((0.3, 0.7), name="join")([branch, x]), name="ingredients"
    )


def main(folder):
    """Writes each model as a `.keras` file and as weights, and inputs and outputs as `.npz`."""
    generator = np.random.default_rng(0)
    networks = {
        "every_layer": every_layer(),
        "weighted_join": models.get("cifar_resnet8")("wn_trelu", (8, 8, 3), 10, "weighted"),
        "later_layers": later_layers(),
        "ghost_batches": ghost_batches(),
        "ingredients": ingredients(),
    }
    arrays = {}
    for name, model in networks.items():
        for variable in model.weights:
            if variable.dtype.startswith("uint"):
                continue  # The state of random numbers.
            value = keras.ops.convert_to_numpy(variable)
            variable.assign(value + generator.normal(0.0, 0.1, value.shape))
        inputs = [
            generator.integers(0, 6, (2, *x.shape[1:])).astype(x.dtype)
            if x.dtype == "int32"
            else generator.normal(size=(2, *x.shape[1:])).astype("float32")
            for x in model.inputs
        ]
        arrays |= {f"{name}/input{i}": x for i, x in enumerate(inputs)}
        arrays[f"{name}/output"] = keras.ops.convert_to_numpy(
            model(inputs if len(inputs) > 1 else inputs[0])
        )
        model.save(folder / f"{name}.keras")
    networks["every_layer"].save_weights(folder / "every_layer.weights.h5")
    np.savez_compressed(folder / "inputs_and_outputs.npz", **arrays)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

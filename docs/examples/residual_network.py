"""Trains one residual network with weight normalization, and one with batch normalization."""

import keras
import matplotlib.pyplot as plt
from keras import layers
from sklearn.datasets import load_digits

import keras_wn

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 8 - 1
train, held_out = slice(0, 1000), slice(1000, None)


def network(convolution, classifier):
    """Builds a residual network of two blocks from a function that adds a convolution."""
    inputs = keras.Input((8, 8, 1))
    x = layers.ReLU()(convolution(inputs, 16, 1, "stem"))
    for number, (filters, strides) in enumerate([(16, 1), (32, 2)]):
        branch = layers.ReLU()(convolution(x, filters, strides, f"block{number}_conv1"))
        branch = convolution(branch, filters, 1, f"block{number}_conv2")
        if strides > 1:
            x = convolution(x, filters, strides, f"block{number}_shortcut")
        x = layers.ReLU()(layers.Add()([x, branch]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, classifier(x))


def with_weight_norm():
    def convolution(x, filters, strides, name):
        # He's start gives v of every layer the same length, and with it the same step size.
        return keras_wn.layers.WNConv2D(
            filters, 3, strides, padding="same", kernel_initializer="he_normal", name=name
        )(x)

    model = network(convolution, keras_wn.layers.WNDense(10))
    # The start from data. The end of each branch starts small, so that a block starts near its
    # shortcut: without batch normalization, a residual network trains better from there.
    keras_wn.data_dependent_init(
        model,
        images[train][:64],
        init_scale=lambda layer: 0.1 if layer.name.endswith("conv2") else 1.0,
    )
    return model


def with_batch_norm():
    def convolution(x, filters, strides, name):
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization()(x)

    return network(convolution, layers.Dense(10))


EPOCHS = 15
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, build, color in [
    ("weight normalization", with_weight_norm, "tab:blue"),
    ("batch normalization", with_batch_norm, "tab:orange"),
]:
    scores = []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        model = build()
        # The rate of weight normalization is the best of 0.02, 0.05, 0.1 and 0.2 on the held-out
        # images, so that the example shows that both train, and not which is better. The rate
        # rises for 4 epochs, and falls to 0 after that.
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps=20 * (EPOCHS - 4), warmup_target=0.1, warmup_steps=20 * 4
        )
        model.compile(
            keras.optimizers.SGD(rate, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        history = model.fit(
            images[train],
            labels[train],
            batch_size=50,
            epochs=EPOCHS,
            validation_data=(images[held_out], labels[held_out]),
            verbose=0,
        ).history["val_accuracy"]
        scores.append(history[-1])
        axes.plot(range(1, EPOCHS + 1), history, color=color, label=None if seed else name)
    shown = ", ".join(f"{score:.3f}" for score in scores)
    print(f"{name}: accuracy on {len(images[held_out])} held-out images {shown}")

axes.set(xlabel="epoch", ylabel="held-out accuracy")
axes.legend()
figure.savefig("residual_network.svg")

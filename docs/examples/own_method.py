"""Adds a method to the networks of the study, without a change of the package."""

import dataclasses

import keras
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

import keras_wn
from keras_wn.methods import MethodCard

# A card says what a method is made of. This one has gains that are the exponentials of what is
# trained, filters whose entries sum to 0, and a smooth activation.
OWN = MethodCard(
    name="cwn_log_silu",
    title="centered weight normalization, gains in log space, SiLU",
    weights="wn",
    center="always",
    weight_options={"log_gain": True},  # Further arguments of keras_wn.layers.WNConv2D.
    activation="silu",
    branch_scale=0.1,  # The end of each branch starts small.
    # The gains and biases are set by one batch, to the deviation that the gains start at.
    initialize="gains",
    # For runners/imagenet.py and the study. The range is for the small networks of the study.
    learning_rate=0.016,
    learning_rate_range=(0.32, 5.12),
    scale_of_v="||v|| about sqrt(2), as He et al. 2015",
    ours=("The whole method.",),
    references=(),
)
# Change one field of a card to get a method that is nearly one of the package.
SMALLER = dataclasses.replace(keras_wn.methods.get("wn"), branch_scale=0.05)

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 8 - 1
train, held_out = slice(0, 1000), slice(1000, None)

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, card in [("own method", OWN), ("wn, smaller branches", SMALLER), ("wn", "wn")]:
    keras.utils.set_random_seed(0)
    model = keras_wn.models.cifar_resnet(8, method=card, input_shape=(8, 8, 1))
    keras_wn.methods.get(card).initialize(model, images[train][:64])
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=120, warmup_target=0.05, warmup_steps=80
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
        epochs=10,
        validation_data=(images[held_out], labels[held_out]),
        verbose=0,
    ).history["val_accuracy"]
    print(f"{name}: accuracy on {len(labels[held_out])} held-out images {history[-1]:.3f}")
    axes.plot(range(1, 11), history, marker="o", label=name)
axes.set(xlabel="epoch", ylabel="held-out accuracy")
axes.legend()
figure.savefig("own_method.svg")

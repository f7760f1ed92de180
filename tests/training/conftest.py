"""A net so small that whole runs take seconds, selected as any other: `model="tiny"`."""

import keras
import pytest

from keras_wn import methods, models
from keras_wn.methods import Place
from keras_wn.models.resnet import checked
from keras_wn.training.config import TrainConfig


def tiny(method, input_shape, classes, join=None, dropout=0.0):
    card = checked(method, classes, join, dropout)
    inputs = keras.Input(input_shape)
    x = keras.layers.AveragePooling2D(4)(inputs)
    x = card.add_convolution(x, 16, 3, 1, Place("stem"), "stem_conv")
    x = shortcut = card.add_main_activation(x, "stem_out")
    place = Place("inner")
    x = card.add_convolution(x, 16, 3, 1, place, "stage1_block1_conv1")
    x = card.add_activation(x, "stage1_block1_act1", place)
    join, branch_scale, shortcut_scale = methods.join_of(
        card, shortcut, 16, place, "stage1_block1_join"
    )
    x = card.add_convolution(x, 16, 3, 1, Place("last", scale=branch_scale), "stage1_block1_conv2")
    x = join([x, shortcut if shortcut_scale is None else shortcut_scale * shortcut])
    x = keras.layers.Flatten()(card.add_main_activation(x, "stage1_block1_out"))
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, card.add_classifier(x, classes, "logits"), name="tiny")


@pytest.fixture
def config(monkeypatch, tmp_path):
    """Function that makes a configuration of a tiny run in a folder of its own."""
    monkeypatch.setitem(models._BUILDERS, "tiny", tiny)

    def make(**values):
        defaults = {"norm": "wn", "model": "tiny", "model_dir": str(tmp_path / "run")}
        return TrainConfig(**{**defaults, "train_epochs": 3, "warmup_epochs": 1, **values})

    return make

"""Compares three methods with the study's own parts, in the cells of a notebook."""

# %% [markdown]
# `runners/compare.py` plans, tunes and decides by itself. For a question of your own, take its
# parts: a protocol, trials that share a compiled step, and the statistics.

# %%
import dataclasses
import pathlib

import matplotlib.pyplot as plt
import numpy as np

from keras_wn import methods
from keras_wn.study import budgets, estimates, specs, trial

SEEDS = range(5)
# Learning rate, weight decay and share of the warm-up. The study's search chose them on the
# validation images of Fashion-MNIST (docs/study), so that no image of this example did.
SETTINGS = {
    "bn": specs.Setting(0.06727, 0.007743, 0.083),
    "wn": specs.Setting(0.2075, 0.0007743, 0.003),
    "normprop": specs.Setting(0.07336, 0.001089, 0.323),
}

# %% [markdown]
# The protocol says on what the methods are compared: here ResNet-8 on the embedded digits.

# %%
protocol = dataclasses.replace(budgets.get("small"), train_epochs=12)
planner = specs.Planner(protocol, tuple(SETTINGS), classes=10)
trials = trial.Trials(protocol, pathlib.Path("trials"))
print("Images:", trials.data["images"])

# %% [markdown]
# A trial is a specification, and gives a record. The same seed draws the same images and their
# order for each method, so that the methods are compared seed by seed.

# %%
accuracy = {}
for method, setting in SETTINGS.items():
    own = [
        planner.spec("accuracy", "final", method, setting, seed, splits=("test",)) for seed in SEEDS
    ]
    accuracy[method] = [100 * trials.run(spec)["final"]["test"]["top1"] for spec in own]
    print(f"{method:9} {methods.get(method).title:28} {np.mean(accuracy[method]):.1f} %")

# %% [markdown]
# The difference to batch normalization, with its 95 % interval over the seeds.

# %%
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
for place, method in enumerate(["wn", "normprop"]):
    found = estimates.paired(accuracy[method], accuracy["bn"]).interval(0.95)
    print(f"{method} minus bn: {found.value:+.1f} points [{found.low:+.1f}, {found.high:+.1f}]")
    axes.plot([found.low, found.high], [place, place], color="tab:blue")
    axes.plot(found.value, place, "o", color="tab:blue")
axes.axvline(0, color="gray", linestyle="--")
axes.set(yticks=[0, 1], yticklabels=["wn", "normprop"], ylim=(-0.6, 1.6))
axes.set_xlabel("test accuracy minus that of bn, points")
figure.savefig("compare_methods.svg")

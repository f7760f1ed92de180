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
from keras_wn.study import budgets, plan, search, statistics, trial

SEEDS = range(5)
# Learning rates by method, for batches of 32: those that the study's search found good.
RATES = {"bn": 0.3, "wn": 0.1, "normprop": 0.03}

# %% [markdown]
# The protocol says on what the methods are compared: here ResNet-8 on the embedded digits.

# %%
protocol = dataclasses.replace(budgets.get("small"), train_epochs=12)
request = plan.Request(protocol, tuple(RATES), classes=10)
trials = trial.Trials(protocol, pathlib.Path("trials"))
print("Images:", trials.data["images"])

# %% [markdown]
# A trial is a specification, and gives a record. The same seed draws the same images and their
# order for each method, so that the methods are compared seed by seed.

# %%
accuracy = {}
for method, rate in RATES.items():
    setting = search.Setting(rate, weight_decay=5e-4, warmup_share=0.2)
    specs = [
        request.spec("accuracy", "final", method, setting, seed, splits=("test",)) for seed in SEEDS
    ]
    accuracy[method] = [100 * trials.run(spec)["final"]["test"]["top1"] for spec in specs]
    print(f"{method:9} {methods.get(method).title:28} {np.mean(accuracy[method]):.1f} %")

# %% [markdown]
# The difference to batch normalization, with its 95 % interval over the seeds.

# %%
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
for place, method in enumerate(["wn", "normprop"]):
    found = statistics.paired(accuracy[method], accuracy["bn"]).interval(0.95)
    print(f"{method} minus bn: {found.value:+.1f} points [{found.low:+.1f}, {found.high:+.1f}]")
    axes.plot([found.low, found.high], [place, place], color="tab:blue")
    axes.plot(found.value, place, "o", color="tab:blue")
axes.axvline(0, color="gray", linestyle="--")
axes.set(yticks=[0, 1], yticklabels=["wn", "normprop"], ylim=(-0.6, 1.6))
axes.set_xlabel("test accuracy minus that of bn, points")
figure.savefig("compare_methods.svg")

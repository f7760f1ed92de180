"""Makes up records with known effects, for tests of the analysis and the report alone."""

import hashlib
import json

import numpy as np

METHODS = ("none", "bn", "wn", "normprop", "wn_trelu")
RATES = (0.02, 0.08, 0.32, 1.28)
MODELS = ("cifar_resnet8", "cifar_resnet20", "cifar_resnet32")
DROPOUTS, DECAYS = (0.0, 0.5), (0.0, 1e-2)

PROTOCOL = {
    "kind": "protocol",
    "version": 1,
    "dataset": "digits",
    "data_dir": None,
    "image_size": 8,
    "train_size": 500,
    "label_noise": 0.1,
    "model": "cifar_resnet20",
    "batch_size": 32,
    "train_epochs": 20,
    "schedule": "polynomial",
    "momentum": 0.9,
    "precision": "float32",
    "classes": 10,
    "images": {"train": 500, "validation": 250, "test": 250},
    "target_top1": 0.8,
    "curve_points": 5,
    "tuning": {
        "trials": 8,
        "extension": 4,
        "rounds": 1,
        "learning_rate": [0.005, 0.5],
        "weight_decay": [1e-5, 1e-2],
        "warmup_share": [0.0, 0.4],
    },
    "stability": {"learning_rates": list(RATES), "models": list(MODELS), "train_epochs": 4},
    "regularization": {
        "methods": ["wn", "wn_mobn"],
        "dropout": list(DROPOUTS),
        "weight_decay": list(DECAYS),
    },
    "signal": {"model": "cifar_resnet44", "train_epochs": 12, "epochs": [0, 1, 12]},
    "cost": {"model": "resnet50", "image_size": 64, "batch_size": 32, "steps": 2, "rounds": 9},
}
PROCESS = {
    "kind": "process",
    "id": "p0",
    "command": "compare.py --suite=all (made up)",
    "time": "2000-01-01T00:00:00+00:00",
    "versions": {"keras_wn": "0.0.0", "python": "3.11.0", "keras": "3.15.0", "numpy": "2.0.0"},
    "backend": "tensorflow",
    "machine": {"platform": "made up", "processor": "made up", "cores": 2, "threads": 1},
    "commit": None,
}


def trial(suite, stage, method, seed, status="finished", final=None, error=None, **more):
    """Returns one record. `final` maps splits to top-1; keys unknown to a record go to its spec."""
    keys = ("curves", "signal", "step_seconds", "epochs", "process")
    spec = {
        "suite": suite,
        "stage": stage,
        "method": method,
        "model": PROTOCOL["model"],
        "join": "sum",
        "seed": seed,
        "train_epochs": 20,
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
        "warmup_epochs": 2.0,
        "dropout": 0.0,
        "number": None,
        "round": None,
        "chosen_from": None,
        "edge": None,
        **{key: value for key, value in more.items() if key not in keys},
    }
    figures = {
        split: {"loss": None if top1 is None else 1 - top1, "top1": top1, "top5": top1}
        for split, top1 in (final or {}).items()
    }
    return {
        "kind": "trial",
        "id": hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12],
        "process": more.get("process", "p0"),
        "spec": spec,
        "status": status,
        "error": error,
        "epochs": more.get("epochs", 20),
        "final": figures,
        "curves": more.get("curves", {}),
        "signal": more.get("signal", []),
        "step_seconds": more.get("step_seconds", []),
        "seconds": {"training": 1.0, "evaluation": 0.1, "building": 0.2, "total": 1.3},
    }


def noise(rng, size, spread):
    """Returns noise with a mean of exactly zero, so that the effects are as requested."""
    drawn = rng.normal(0, spread, size)
    return drawn - drawn.mean()


def accuracy(test, train=None, seeds=5, spread=0.004):
    """Returns tuning and final trials of methods with these mean test and train top-1.

    A train top-1 that is not given is 0.99.
    """
    found = []
    for method, mean in test.items():
        rng = np.random.default_rng(len(found))
        for number in range(8):
            rate = float(f"{0.005 * 100 ** ((number * 0.375) % 1):.3g}")
            validation = mean - 0.05 * abs(np.log10(rate / 0.1))
            spec = {
                "learning_rate": rate,
                "weight_decay": 10.0 ** -(2 + number % 4),
                "warmup_epochs": float(number),
            }
            figures = {"train": 0.99, "validation": round(validation, 3)}
            found.append(
                trial(
                    "accuracy",
                    "tune",
                    method,
                    10_000,
                    final=figures,
                    number=number,
                    round=0,
                    **spec,
                )
            )
        best = max(found[-8:], key=lambda record: record["final"]["validation"]["top1"])
        setting = {
            key: best["spec"][key] for key in ("learning_rate", "weight_decay", "warmup_epochs")
        }
        means = {"train": (train or {}).get(method, 0.99), "validation": mean, "test": mean}
        noises = {
            split: noise(rng, seeds, spread / 4 if split == "train" else spread) for split in means
        }
        for seed in range(seeds):
            drawn = {split: float(middle + noises[split][seed]) for split, middle in means.items()}
            curves = {"epoch": [4, 8, 12, 16, 20], "train_loss": [2.0, 1.0, 0.5, 0.2, 0.1]}
            for split, top1 in drawn.items():
                curves[split] = [round(top1 - 0.6 * 2.0**-e, 4) for e in range(5)]
            found.append(
                trial(
                    "accuracy",
                    "final",
                    method,
                    seed,
                    final=drawn,
                    curves=curves,
                    chosen_from=best["id"],
                    edge=False,
                    **setting,
                )
            )
    return found


def stability(limits, seeds=5, models=MODELS):
    """Returns sweeps. `limits` maps a method to its largest stable rate, or to a rate per seed."""
    found = []
    for model in models:
        for method, limit in limits.items():
            for rate in RATES:
                for seed in range(seeds):
                    stable = rate <= (limit[seed] if isinstance(limit, tuple) else limit)
                    diverged = not stable and seed % 2
                    top1 = 0.9 if stable else 0.1
                    figures = dict.fromkeys(("train", "validation"), None if diverged else top1)
                    status = "diverged" if diverged else "finished"
                    found.append(
                        trial(
                            "stability",
                            "sweep",
                            method,
                            seed,
                            status,
                            figures,
                            model=model,
                            learning_rate=rate,
                            weight_decay=0.0,
                            warmup_epochs=0.0,
                            train_epochs=4,
                        )
                    )
    return found


def regularization(test, seeds=5, spread=0.004):
    """Returns grids. `test` maps a method to the mean test top-1 of its best cell.

    The best cell is the one with most dropout and decay. The others are 2 points worse.
    """
    found = []
    for method, mean in test.items():
        rng = np.random.default_rng(len(found) + 1)
        for dropout in DROPOUTS:
            for decay in DECAYS:
                middle = mean - (0 if (dropout, decay) == (DROPOUTS[-1], DECAYS[-1]) else 0.02)
                noises = {split: noise(rng, seeds, spread) for split in ("validation", "test")}
                for seed in range(seeds):
                    figures = {
                        "train": 0.98,
                        **{split: float(middle + drawn[seed]) for split, drawn in noises.items()},
                    }
                    found.append(
                        trial(
                            "regularization",
                            "grid",
                            method,
                            seed,
                            final=figures,
                            dropout=dropout,
                            weight_decay=decay,
                        )
                    )
    return found


def signal(growth, seeds=5, blocks=6):
    """Returns measurements of the signal.

    `growth` maps a method to the factor by which its last block's variance grows and its first
    block's falls.
    """
    found = []
    for method, factor in growth.items():
        for seed in range(seeds):
            measured = []
            for epoch, power in ((0, 0.0), (1, 0.2), (12, 1.0)):
                variances = 2 * factor ** (power * np.linspace(-1, 1, blocks)) * (1 + 0.1 * seed)
                listed = [
                    {
                        "block": f"stage{1 + i // 2}_block{1 + i % 2}",
                        "mean": 0.1,
                        "variance": float(v),
                        "gradient_norm": float(0.1 / v),
                    }
                    for i, v in enumerate(variances)
                ]
                measured.append({"epoch": epoch, "gradient_norm": 1.0, "blocks": listed})
            found.append(
                trial(
                    "signal",
                    "drift",
                    method,
                    seed,
                    final={"train": 0.9, "validation": 0.9},
                    signal=measured,
                    model="cifar_resnet44",
                )
            )
    return found


def cost(ratios, rounds=9, spread=0.01, process="p0"):
    """Returns step times.

    `ratios` maps a method to its mean time divided by that of `none`, whose step takes 0.1 s.
    """
    rng = np.random.default_rng(0)
    machine = 0.1 * (1 + rng.normal(0, 0.1, rounds))  # Shared by all methods of a round.
    times = {
        method: machine * ratio * (1 + noise(rng, rounds, spread))
        for method, ratio in ratios.items()
    }
    return [
        trial(
            "cost",
            "step",
            method,
            0,
            step_seconds=[float(t) for t in seconds],
            process=process,
            model="resnet50",
            epochs=0,
        )
        for method, seconds in times.items()
    ]


def log(*suites):
    """Returns a whole log of these suites' trials."""
    return [PROTOCOL, PROCESS, *(record for suite in suites for record in suite)]


def study():
    """Returns a log with all suites, in which C1 to C6 have all kinds of verdicts."""
    return log(
        accuracy(
            {
                "none": 0.80,
                "bn": 0.90,
                "wn": 0.87,
                "normprop": 0.90,
                "wn_trelu": 0.93,
                "wn_mobn": 0.905,
            },
            train={"none": 0.95, "bn": 0.985, "wn": 0.995},
        ),
        stability(
            {
                "none": 0.01,
                "bn": 1.28,
                "wn": (0.32, 0.08, 0.32, 0.32, 0.08),
                "normprop": 0.08,
                "wn_trelu": 0.32,
            }
        ),
        regularization({"wn": 0.88, "wn_mobn": 0.905}),
        signal({"none": 1e3, "bn": 1.5, "wn": 30.0, "normprop": 12.0, "wn_trelu": 3.0}),
        cost({"none": 1.0, "bn": 1.3, "wn": 1.03, "normprop": 1.02, "wn_trelu": 1.2}),
    )

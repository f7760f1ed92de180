"""Claim C6: at which learning rates nets of growing depth still train."""

from keras_wn.study.search import Setting

NAME = "stability"
# Neither warm-up nor decay, which would hide what is asked.
_WEIGHT_DECAY = 0.0
_WARMUP_SHARE = 0.0


def plan(request, done):
    """Every method, depth, learning rate and seed; arguments and result as `accuracy.plan`'s."""
    del done  # Nothing is chosen.
    grid = request.protocol.stability
    return [
        request.spec(
            NAME,
            "sweep",
            method,
            Setting(rate, _WEIGHT_DECAY, _WARMUP_SHARE),
            seed,
            model=model,
            train_epochs=grid["train_epochs"],
            splits=("validation",),
        )
        for model in grid["models"]
        for method in request.methods
        for rate in grid["learning_rates"]
        for seed in range(request.seeds)
    ]

"""A process that measures the memory of one method's training step; `memory` starts it."""

import json
import resource
import sys

import keras

_STEPS = 3


def main():
    asked = json.loads(sys.stdin.read())
    from keras_wn.benchmarks import training_step
    from keras_wn.benchmarks.request import Request, Variant

    request, variant = Request(**asked["request"]), Variant(**asked["variant"])
    before = _peak_of_process()
    answer = {}
    if keras.backend.backend() == "jax":
        answer["compiled"] = _compiled(
            training_step.model_of(request, variant), training_step.batch_of(request)
        )
    run = training_step.runner(request, variant)
    for _ in range(_STEPS):
        run()
    on_device = _peak_of_device()
    if on_device is None:
        answer |= {"kind": "process", "bytes": _peak_of_process() - before}
    else:
        answer |= {"kind": "device", "bytes": on_device}
    print(json.dumps(answer))


def _compiled(model, batch):
    from keras_wn.benchmarks import jax_step

    analysis = jax_step.lowered(model, batch).compile().memory_analysis()
    return analysis.argument_size_in_bytes + analysis.temp_size_in_bytes


def _peak_of_process():
    # In kilobytes on Linux, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _peak_of_device():
    """Bytes on the first GPU; None without one."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else None


if __name__ == "__main__":
    main()

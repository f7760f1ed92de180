"""A training run from its configuration to its result files."""

from keras_wn.data import detect, synthetic
from keras_wn.training import devices, results
from keras_wn.training.errors import UsageError
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.session import Session


def train(config, resume=False, overwrite=False, signal_only=False):
    """Trains a network as `config` says and writes the files of its `model_dir`.

    Args:
        config: `TrainConfig`.
        resume: Whether to continue the run in `model_dir` from its newest checkpoint.
        overwrite: Whether to replace the run in `model_dir`.
        signal_only: Whether to stop after the signal report.

    Returns:
        Dict, what `result.json` holds, with `status` one of `finished`, `diverged` and `interrupted`, and then `stopped_by`, the signal's
        name; None with `signal_only`.

    Raises:
        UsageError: For what a user can mend, before anything is written.
    """
    if signal_only and (resume or overwrite):
        raise UsageError("--signal_report trains nothing. Allowed: without --resume and --overwrite.")
    config = config.resolved()
    if resume and config.model_dir is None:
        raise UsageError("--resume needs the folder of the run. Allowed: with --model_dir.")
    there = devices.of_run(config)
    if there.workers > 1 and config.model_dir is None:
        raise UsageError("--model_dir: needed with several workers. Allowed: a folder that all of them see.")
    if config.deterministic:
        devices.make_deterministic()
    splits = _splits(config)
    config.check_against(splits, there.replicas)
    folder = ModelDir(config.model_dir, config)
    if there.is_chief:
        folder.check(resume, overwrite)
    if resume and folder.result_json.exists() and (result := results.read(folder))["status"] != "interrupted":
        print(f"This run has ended ({result['status']}): there is nothing to resume.")
        results.show(result, folder)
        return result
    try:
        return Session(config, splits, folder, there).run(resume, overwrite, signal_only)
    except OSError as error:
        raise UsageError(
            f"--model_dir={folder.path}: writing failed ({error}). What was written before is whole."
        ) from error


def _splits(config):
    if config.use_synthetic_data:
        # Enough for a few batches, and as many classes as ImageNet.
        return synthetic.load(config.image_size, count=4 * config.batch_size)
    return detect.load(config.dataset, config.data_dir, config.image_size, config.augment, config.max_corrupt)

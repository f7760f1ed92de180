"""The protocol in words."""

from keras_wn.study.report import numbers
from keras_wn.study.report.document import Bullets, Section

_NUMBER = numbers.significant


def section(context):
    """How the trials were done, with all numbers.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    protocol, log = context.protocol, context.results.log
    blocks = [Section("training", "Data and training", (Bullets(tuple(_training(protocol))),))]
    if protocol.get("tuning"):
        blocks.append(Section("tuning", "Tuning and final trials", (Bullets(tuple(_tuning(protocol, log))),)))
    blocks.append(Section("suites", "The other suites", (Bullets(tuple(_suites(protocol))),)))
    blocks.append(Section("statistics", "Statistics", (Bullets(tuple(_statistics(protocol))),)))
    return Section("protocol", "Protocol", tuple(blocks))


def _training(protocol):
    counts, size = protocol.get("images") or {}, protocol.get("image_size")
    drawn = ", drawn anew by each seed" if protocol.get("train_size") else ""
    noise = protocol.get("label_noise") or 0
    yield (
        f"Data set {protocol.get('dataset')}{_said(protocol.get('data'))}: {counts.get('train')} training images{drawn}, "
        f"{counts.get('validation')} for validation, {counts.get('test')} for test, {size}×{size} pixels, "
        f"{protocol.get('classes')} classes."
    )
    yield (
        f"{_NUMBER(100 * noise)} % of the training labels are wrong: replaced by another class's, drawn by the seed. Train "
        "accuracy is measured with them; validation and test labels are as they are."
        if noise
        else "Training labels are as they are: none were replaced."
    )
    yield (
        f"Network {protocol.get('model')}, {protocol.get('train_epochs')} epochs of batches of {protocol.get('batch_size')}, SGD "
        f"with momentum {protocol.get('momentum')}, schedule {protocol.get('schedule')} after a linear warm-up, "
        f"precision {protocol.get('precision')}."
    )
    yield (
        "The method is the variable: normalization, activation, join and start are its card's; all else is the same for all "
        "methods, except what is tuned."
    )
    yield (
        "Accuracy is measured in inference mode on images as they are, that of training too. Batch normalization takes the "
        "statistics of the whole batch in training, and moving averages at inference."
    )


def _tuning(protocol, log):
    tuning = protocol["tuning"]
    low, high = (_NUMBER(rate) for rate in tuning["learning_rate"])
    decays, shares = tuning["weight_decay"], tuning["warmup_share"]
    yield (
        f"Tuned for each method: the learning rate (from {low} to {high}, the peak of the run), weight decay (from "
        f"{_NUMBER(decays[0])} to {_NUMBER(decays[1])}) and warm-up (from {_NUMBER(100 * shares[0])} to "
        f"{_NUMBER(100 * shares[1])} % of the epochs)."
    )
    yield (
        f"Each method has the same number of trials, {tuning['trials']}, at the same points: those of one low-discrepancy sequence. "
        f"Then {tuning.get('rounds', 1)} × {tuning['extension']} more follow: beyond the lowest or the highest learning rate, if the best "
        "trial has that one, and else in the same range."
    )
    yield (
        "The trial with the best validation top-1 is chosen, of equal ones that with the lower validation loss; a diverged trial is "
        "never chosen while another finished. If its learning rate is still the lowest or the highest that was tried, that is "
        "flagged in the tables."
    )
    seeds = sorted({trial.seed for trial in log.select(suite="accuracy", stage="final")}, key=str)
    yield (
        f"Final trials have fresh seeds ({', '.join(map(str, seeds)) or 'none so far'}), the same for every method, so that "
        "comparisons are paired: a seed sets the start, the order of images, and the draw of training images and wrong labels. The "
        "weights of the last epoch are scored; nothing is chosen on test."
    )
    yield (
        "Diverged trials are counted and not dropped: with the accuracy that their last weights have or, where that is not a number, "
        "with that of guessing. Crashed trials have no result; they are counted and listed."
    )


def _suites(protocol):
    if stability := protocol.get("stability"):
        yield (
            f"Stability: {stability['train_epochs']} epochs on {', '.join(stability['models'])} at each of the learning rates "
            f"{', '.join(map(_NUMBER, stability['learning_rates']))}, with neither weight decay nor warm-up."
        )
    if grid := protocol.get("regularization"):
        yield (
            f"Regularization: {', '.join(grid['methods'])} with dropout {', '.join(map(_NUMBER, grid['dropout']))} times weight decay "
            f"{', '.join(map(_NUMBER, grid['weight_decay']))}, at the learning rate and warm-up that the tuning chose."
        )
    if signal := protocol.get("signal"):
        yield (
            f"Signal: {signal['model']}, trained for {signal['train_epochs']} epochs at the setting that the tuning chose for "
            f"{protocol.get('model')}; measured in training mode after {', '.join(map(_NUMBER, signal['epochs']))} epochs."
        )
    if cost := protocol.get("cost"):
        yield (
            f"Cost: training steps of {cost['model']} with batches of {cost['batch_size']} images of {cost['image_size']}×"
            f"{cost['image_size']} pixels, {cost['rounds']} rounds; in each round the methods take turns in one process, with "
            "nothing beside them."
        )


def _statistics(protocol):
    tested = (protocol.get("images") or {}).get("test")
    grain = f", which are {tested}, so that one is {_NUMBER(100 / tested)} points" if tested else ""
    yield "Interquartile mean: the mean of the middle half of the seeds, with a stratified bootstrap interval (95 %)."
    yield "Differences to bn: mean of the differences, paired by seed, with Student's t interval (95 %). They decide the verdicts."
    yield "Shares of unstable trials: Wilson's interval (95 %)."
    yield f"Intervals are of the spread over seeds, and not over other test images{grain}."


def _said(text):
    return f" ({text})" if text else ""

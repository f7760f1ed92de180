"""What a training step of each method costs: forward, backward and update."""

from keras_wn.benchmarks import training_step
from keras_wn.benchmarks.table import TIMES, Column, Table
from keras_wn.benchmarks.timing import interleaved

_REPORTED = "As reported second-hand: batch normalization takes 24 % of ResNet's compute on a Pascal GPU (Gitman & Ginsburg 2017's notes)."


def measure(request):
    """Times a step of every variant, in turns, on one batch in memory.

    Args:
        request: `Request`.

    Returns:
        List of one `Table`.
    """
    actions = {str(variant): training_step.runner(request, variant) for variant in request.variants}
    rows = interleaved(actions, request.rounds, warm_up=2).rows()
    columns = (
        *TIMES,
        Column(f"share not in {rows[0]['name']}", "ratio", lambda ratio: f"{1 - 1 / ratio:.1%}"),
    )
    return [
        Table(
            f"training step: {request}; {request.rounds} rounds in turns",
            rows,
            columns,
            (_REPORTED,),
        )
    ]

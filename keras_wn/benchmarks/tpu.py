"""Training steps compiled for a TPU that is not there: the compiler's figures of memory, traffic and arithmetic."""

import importlib.util
import os
import re

from keras_wn.benchmarks import training_step
from keras_wn.benchmarks.progress import counted
from keras_wn.benchmarks.table import Column, Table
from keras_wn.benchmarks.topologies import TOPOLOGIES
from keras_wn.training.errors import UsageError

_NOTES = (
    "These are the compiler's figures for one chip, and no times: nothing ran on a TPU.",
    "In use: the most that the step's values, arguments included, take at one time; temporary memory adds what packing them wastes.",
    "Bytes moved are those of all operations' operands and results.",
    "Roofline: the longer of bytes / bandwidth and FLOPs / peak; a bound from published peak figures, which no step reaches.",
    "Batch statistics are those of the global batch (JAX, one program for all chips).",
)


def measure(request):
    """Compiles a step of every variant for a slice of TPU chips.

    Args:
        request: `Request`, of which `topology` and `batch_per_chip` count.

    Returns:
        List of one `Table`. A variant that does not fit has a row that says by how much.

    Raises:
        UsageError: If there is no such topology, or libtpu is not installed.
    """
    if request.topology not in TOPOLOGIES:
        raise UsageError(
            f"--topology={request.topology}: unknown. Allowed: {', '.join(TOPOLOGIES)}."
        )
    topology = TOPOLOGIES[request.topology]
    of_state, of_batch = _shardings(request.topology, topology)
    rows = []
    for variant in counted(request.variants):
        rows.append(
            {"name": str(variant), **_compiled(request, variant, topology, of_state, of_batch)}
        )
    rows = [{**row, **_ratios(row, rows[0])} for row in rows]
    title = (
        f"training step compiled for TPU {request.topology}: {request.model}, {request.batch_per_chip} images a chip, "
        f"{request.image_size} pixels, {request.precision}"
    )
    peaks = (
        f"{topology.chip.name}: {topology.chip.flops / 1e12:.0f} TFLOPS (bfloat16), {topology.chip.bandwidth / 1e9:.0f} GB/s, "
        f"{topology.chip.memory / 1e9:.0f} GB ({topology.chip.source})."
    )
    return [Table(title, rows, _COLUMNS, (*_NOTES, peaks))]


_COLUMNS = (
    Column("fits", "fits"),
    Column("temporary, GB", "temporary", lambda n: f"{n / 1e9:.2f}"),
    Column("ratio", "temporary_ratio", ".3f"),
    Column("in use, GB", "in_use", lambda n: f"{n / 1e9:.2f}"),
    Column("ratio", "in_use_ratio", ".3f"),
    Column("total, GB", "total", lambda n: f"{n / 1e9:.2f}"),
    Column("moved, GB", "moved", lambda n: f"{n / 1e9:.1f}"),
    Column("ratio", "moved_ratio", ".3f"),
    Column("TFLOP", "flops", lambda n: f"{n / 1e12:.2f}"),
    Column("roofline, ms", "roofline_seconds", lambda s: f"{1e3 * s:.1f}"),
    Column("bound by", "bound"),
)


def _shardings(name, topology):
    if importlib.util.find_spec("libtpu") is None:
        raise UsageError(
            "--what=tpu: libtpu is not installed. Allowed: after pip install 'keras_wn[tpu]'."
        )
    import jax
    import numpy as np
    from jax.experimental import topologies

    # libtpu would look for a machine's TPU, and for a metadata server.
    os.environ |= {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": topology.accelerator,
    }
    jax.config.update("jax_platforms", "cpu")
    chips = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    mesh = jax.sharding.Mesh(np.array(chips), ("batch",))
    axes = jax.sharding.PartitionSpec
    return jax.sharding.NamedSharding(mesh, axes()), jax.sharding.NamedSharding(mesh, axes("batch"))


def _compiled(request, variant, topology, of_state, of_batch):
    import jax

    from keras_wn.benchmarks import jax_step

    model = training_step.model_of(request, variant)
    images = request.batch_per_chip * of_batch.mesh.size
    size = request.image_size
    batch = (
        jax.ShapeDtypeStruct((images, size, size, 3), "float32"),
        jax.ShapeDtypeStruct((images, *model.output.shape[1:]), "float32"),
    )
    try:
        compiled = jax_step.lowered(model, batch, of_state, of_batch).compile()
    except jax.errors.JaxRuntimeError as error:
        return {"fits": _excess(str(error))}
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    total = (
        memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
    )
    by_bytes, by_flops = (
        cost["bytes accessed"] / topology.chip.bandwidth,
        cost["flops"] / topology.chip.flops,
    )
    return {
        "fits": "yes" if total <= topology.chip.memory else _too_much(total - topology.chip.memory),
        "temporary": memory.temp_size_in_bytes,
        "in_use": memory.peak_memory_in_bytes,
        "total": total,
        "moved": cost["bytes accessed"],
        "flops": cost["flops"],
        "roofline_seconds": max(by_bytes, by_flops),
        "bound": "memory" if by_bytes > by_flops else "arithmetic",
    }


def _excess(message):
    """What the compiler says of a step that does not fit; any other failure goes on."""
    if by := re.search(rf"Exceeded hbm capacity by {_BYTES}", message):
        excess = _bytes(*by.groups())
    elif both := re.search(rf"required .*\({_BYTES}\) exceeds available HBM \({_BYTES}\)", message):
        excess = _bytes(*both.groups()[:2]) - _bytes(*both.groups()[2:])
    else:
        raise UsageError(f"--what=tpu: the compiler failed: {' '.join(message.split())[:300]}")
    return _too_much(excess)


# The compiler writes 1.5G for 1.5 times 2 to the 30.
_BYTES = r"([0-9.]+)([KMGT]?)"


def _bytes(number, prefix):
    return float(number) * 1024 ** " KMGT".index(prefix or " ")


def _too_much(excess):
    return f"no, {excess / 1e9:.2f} GB too much"


def _ratios(row, baseline):
    return {
        f"{key}_ratio": row[key] / baseline[key]
        for key in ("temporary", "in_use", "moved")
        if key in row and baseline.get(key)
    }

"""Compiles the training steps for TPU chips without a TPU, and reads the compiler's own figures.

The compiler says how much memory a step takes on a chip, how many bytes it moves, and how many
operations it computes.
"""

import dataclasses
import importlib.util
import os
import re
from typing import Any

from keras_wn.benchmarks import step
from keras_wn.benchmarks.workload import Workload
from keras_wn.errors import UsageError
from keras_wn.training.text_table import Column, Table
from keras_wn.training.timing import progress


@dataclasses.dataclass(frozen=True)
class Chip:
    """A TPU chip, by its published figures.

    Attributes:
        name: Text.
        flops: Peak bfloat16 operations a second.
        bandwidth: Peak bytes a second of its memory.
        memory: Bytes.
        source: Address of the page that states the figures.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float
    source: str


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of chips that a step can be compiled for.

    Attributes:
        chip: `Chip`.
        accelerator: Accelerator type that libtpu takes for the slice.
    """

    chip: Chip
    accelerator: str


_V4 = Chip("TPU v4", 275e12, 1228e9, 32e9, "cloud.google.com/tpu/docs/v4")
_V5E = Chip("TPU v5e", 197e12, 819e9, 16e9, "cloud.google.com/tpu/docs/v5e")
_V5P = Chip("TPU v5p", 459e12, 2765e9, 95e9, "cloud.google.com/tpu/docs/v5p")
_V6E = Chip("TPU v6e", 918e12, 1638e9, 32e9, "cloud.google.com/tpu/docs/v6e")

# By the name that `--topology` and JAX take. The accelerator types of v4 and v5p count cores, of
# which a chip has two.
TOPOLOGIES = {
    "v4:2x2x1": Topology(_V4, "v4-8"),
    "v5e:2x2": Topology(_V5E, "v5litepod-4"),
    "v5e:2x4": Topology(_V5E, "v5litepod-8"),
    "v5p:2x2x1": Topology(_V5P, "v5p-8"),
    "v6e:2x2": Topology(_V6E, "v6e-4"),
    "v6e:2x4": Topology(_V6E, "v6e-8"),
}

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
_NOTES = (
    "These are the compiler's figures for one chip, and no times: nothing ran on a TPU.",
    "In use: the most that the step's values, arguments included, take at one time; temporary "
    "memory adds what packing them wastes.",
    "Bytes moved are those of all operations' operands and results.",
    "Roofline: the longer of bytes / bandwidth and FLOPs / peak; a bound from published peak "
    "figures, which no step reaches.",
    "Batch statistics are those of the global batch (JAX, one program for all chips).",
)


def measure(workload: Workload) -> list[Table]:
    """Compiles a step of every variant for a slice of TPU chips.

    Args:
        workload: `Workload`. Its `topology` and `batch_per_chip` count.

    Returns:
        List of one `Table`. The row of a variant that does not fit says how much memory it lacks.

    Raises:
        UsageError: If no such topology is known, or libtpu is not installed.
    """
    if workload.topology not in TOPOLOGIES:
        raise UsageError(
            f"--topology={workload.topology}: unknown. Allowed: {', '.join(TOPOLOGIES)}."
        )
    topology = TOPOLOGIES[workload.topology]
    shardings = _shardings(workload.topology, topology)
    rows = []
    with progress("Compilation", len(workload.variants)) as show:
        for variant in workload.variants:
            figures = _compiled_figures(workload, variant, topology.chip, *shardings)
            rows.append({"name": str(variant), **figures})
            show(len(rows))
    rows = [{**row, **_ratios(row, rows[0])} for row in rows]
    title = (
        f"training step compiled for TPU {workload.topology}: {workload.model}, "
        f"{workload.batch_per_chip} images a chip, {workload.image_size} pixels, "
        f"{workload.precision}"
    )
    chip = topology.chip
    peaks = (
        f"{chip.name}: {chip.flops / 1e12:.0f} TFLOPS (bfloat16), {chip.bandwidth / 1e9:.0f} GB/s, "
        f"{chip.memory / 1e9:.0f} GB ({chip.source})."
    )
    return [Table(title, rows, _COLUMNS, (*_NOTES, peaks))]


def _ratios(row, baseline):
    return {
        f"{key}_ratio": row[key] / baseline[key]
        for key in ("temporary", "in_use", "moved")
        if key in row and baseline.get(key)
    }


def _shardings(name, topology):
    """Shardings of the state, which every chip holds, and of the batch, which the chips divide."""
    if importlib.util.find_spec("libtpu") is None:
        raise UsageError(
            "--what=tpu: libtpu is not installed. Allowed: after pip install 'keras_wn[tpu]'."
        )
    import jax
    import numpy as np
    from jax.experimental import topologies

    # Otherwise libtpu would look for a TPU in this machine, and for a metadata server.
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


def _compiled_figures(workload, variant, chip, state_sharding, batch_sharding) -> dict[str, Any]:
    import jax

    model = step.model_to_train(workload, variant)
    images = workload.batch_per_chip * batch_sharding.mesh.size
    size = workload.image_size
    batch = (
        jax.ShapeDtypeStruct((images, size, size, 3), "float32"),
        jax.ShapeDtypeStruct((images, *model.output.shape[1:]), "float32"),
    )
    try:
        compiled = step.lower(model, batch, state_sharding, batch_sharding).compile()
    except jax.errors.JaxRuntimeError as error:
        return {"fits": _read_failure(str(error))}
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    total = (
        memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
    )
    by_bytes, by_flops = cost["bytes accessed"] / chip.bandwidth, cost["flops"] / chip.flops
    return {
        "fits": "yes" if total <= chip.memory else _too_much(total - chip.memory),
        "temporary": memory.temp_size_in_bytes,
        "in_use": memory.peak_memory_in_bytes,
        "total": total,
        "moved": cost["bytes accessed"],
        "flops": cost["flops"],
        "roofline_seconds": max(by_bytes, by_flops),
        "bound": "memory" if by_bytes > by_flops else "arithmetic",
    }


# A number of bytes as the compiler writes it: 1.5G stands for 1.5 times 2 to the 30.
_BYTES = r"([0-9.]+)([KMGT]?)"


def _read_failure(message):
    """Reads the memory that a step lacks from the compiler's message.

    Raises:
        UsageError: If the compiler failed for another reason.
    """
    if by := re.search(rf"Exceeded hbm capacity by {_BYTES}", message):
        excess = _bytes(*by.groups())
    elif both := re.search(rf"required .*\({_BYTES}\) exceeds available HBM \({_BYTES}\)", message):
        excess = _bytes(*both.groups()[:2]) - _bytes(*both.groups()[2:])
    else:
        raise UsageError(f"--what=tpu: the compiler failed: {' '.join(message.split())[:300]}")
    return _too_much(excess)


def _bytes(number, prefix):
    return float(number) * 1024 ** " KMGT".index(prefix or " ")


def _too_much(excess):
    return f"no, {excess / 1e9:.2f} GB too much"

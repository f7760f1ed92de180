"""Reads the weights in files of Keras 2: HDF5 files, checkpoints of TensorFlow, and SavedModels.

Names and arrays are all that is read of a file. TensorFlow is imported only where a checkpoint or a
SavedModel is read.
"""

import collections
import dataclasses
import json
import pathlib

import h5py

# Name of the weights that a model has beside its layers.
TOP = "top_level_model_weights"
# Class of TensorFlow Addons' wrapper in a model's configuration.
ADDONS_WRAPPER = "Addons>WeightNormalization"
# Weights that are never trained. Keras 2 writes them behind all that are.
_NEVER_TRAINED = {"initialized", "moving_mean", "moving_variance"}


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """The weights of one layer in a file.

    Attributes:
        name: Name of the layer behind those of the layers around it, as `block/conv`.
        weights: List of pairs of a weight's own name, as `kernel`, and an array. The g of a
            weight normalization is among them; other variables of its wrapper are not.
        was_called: Whether a weight normalization was called before the file was written. If it
            was not, its g is yet to be computed.
        part: In a checkpoint, the first object on the way to the layer, which in a checkpoint of
            several models is the model; empty for variables that the checkpoint has itself. None in
            other files.
        order_is_known: Whether the layer comes in the file where it comes in the model, which is
            not known where some layers were frozen.
        class_name: Class of the layer in the model's configuration; None if the file has none.
    """

    name: str
    weights: list
    was_called: bool = True
    part: str | None = None
    order_is_known: bool = True
    class_name: str | None = None

    @classmethod
    def of(cls, name, weights, **known):
        """The layer of all weights in a file, the wrapper's flag among them."""
        has_flag = {own for own, _ in weights} >= {"g", "initialized"}
        flags = [array for own, array in weights if own == "initialized" and has_flag]
        kept = [(own, array) for own, array in weights if not (own == "initialized" and has_flag)]
        return cls(name, kept, all(flags), **known)


def read(path, prefix=None):
    """Weights of a Keras 2 file, layer by layer, without those of optimizers and metrics.

    Args:
        path: HDF5 file of a model or of its weights, SavedModel folder, or checkpoint prefix.
        prefix: Path of objects in a checkpoint, or of layers in an HDF5 file, that leads to the
            part to read, as `generator`. None: all.

    Returns:
        List of `StoredLayer`, in the order in which Keras 2 has the layers.

    Raises:
        ValueError: If the file is none of these or is damaged, or if nothing is at `prefix`.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return _read_hdf5(path, prefix)
    checkpoint = path / "variables" / "variables" if path.is_dir() else path
    if not checkpoint.with_name(f"{checkpoint.name}.index").is_file():
        raise ValueError(_message(path, "there is no such file, SavedModel or checkpoint"))
    return _read_checkpoint(path, str(checkpoint), prefix)


def _message(path, reason):
    return (
        f"load_tfa_weights: cannot read {path}: {reason}. Allowed: a Keras 2 file name.h5 of a "
        "model or of its weights, a SavedModel's folder, a checkpoint's prefix, folder/ckpt-1."
    )


def _without_prefix(path, prefix, allowed):
    return f"load_tfa_weights: prefix={prefix!r} is not in {path}. Allowed: {allowed}."


def _read_hdf5(path, prefix):
    if path.suffix == ".keras":
        raise ValueError(_message(path, "it is in the newer format name.keras"))
    try:
        with h5py.File(path, "r") as file:
            layers = _layers_of_hdf5(file)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(_message(path, str(error).strip("'\""))) from error
    if prefix is None:
        return layers
    chosen = [layer for layer in layers if f"{layer.name}/".startswith(f"{prefix}/")]
    if not chosen:
        raise ValueError(_without_prefix(path, prefix, [layer.name for layer in layers]))
    return chosen


def _layers_of_hdf5(file):
    groups = file["model_weights"] if "model_weights" in file else file
    names = _names(groups, "layer_names")
    if not names:
        # Nor does name.weights.h5, of Keras 2 or 3.
        raise ValueError("it names no layers, as Keras 2 does in name.h5 but not name.weights.h5")
    classes = _class_names(json.loads(file.attrs.get("model_config", "null")))
    layers = []
    for group in [TOP, *names] if TOP in groups else names:
        weights = [
            (name.removesuffix(":0"), _array(file, groups[group], name))
            for name in _names(groups[group], "weight_names")
        ]
        layers += _layers_of_group(group, weights, classes)
    return layers


def _names(group, attribute):
    """A list of names, which Keras 2 splits over several attributes where it is long."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    values = [value for part in parts for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _array(file, group, name):
    item = group[name]
    # HDF5 can point to other files, which a file of weights has no reason to.
    elsewhere = item.file.filename != file.filename
    if not isinstance(item, h5py.Dataset) or elsewhere or item.external or item.is_virtual:
        raise ValueError(f"array '{name}' is not in the file itself")
    if item.dtype.kind not in "biuf":
        raise ValueError(f"array '{name}' is of {item.dtype}, which are no numbers")
    return item[()]


def _class_names(config):
    """Dict from a layer's name to the classes that a model's configuration has under it."""
    found = collections.defaultdict(set)
    parts = [config]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            if isinstance(part.get("config"), dict):
                found[part["config"].get("name")].add(part.get("class_name"))
    return found


def _layers_of_group(group, weights, classes):
    """The layers in a group of an HDF5 file, which holds one layer with all the layers in it.

    The group lists all trained weights, then all others. The layers are told apart by the scopes
    in the names of their weights.
    """
    own_names = collections.defaultdict(set)
    for name, _ in weights:
        scope, _, own = name.rpartition("/")
        own_names[scope].add(own)
    kept, scopes = collections.defaultdict(list), []
    for name, array in weights:
        scope, _, own = name.rpartition("/")
        parts = scope.split("/")
        is_copy = "data_dep_init" in parts
        if is_copy:
            scope = "/".join(parts[: parts.index("data_dep_init")])
        outer = scope.rpartition("/")[0]
        if "g" in own_names[outer] and "kernel" not in own_names[outer]:
            # A recurrent layer: the wrapper has g, and the cell has the kernels.
            scope = outer
        scopes.append(scope)
        if not is_copy:
            kept[scope].append((own, array))
    # The trained weights of frozen layers come behind those of all others, and so out of order. It
    # shows where layers also have weights that are never trained, which are in the right order.
    marked = {scope for scope in kept if own_names[scope] & _NEVER_TRAINED}
    first = [scope for scope in dict.fromkeys(scopes) if scope in marked]
    last = [scope for scope in dict.fromkeys(reversed(scopes)) if scope in marked]
    layers = []
    for scope, own_weights in kept.items():
        name = _name_in_group(group, scope)
        class_names = classes[name.rpartition("/")[2]]
        known = {"order_is_known": first == last[::-1]}
        if len(class_names) == 1:
            known["class_name"] = next(iter(class_names))
        layers.append(StoredLayer.of(name, own_weights, **known))
    return layers


def _name_in_group(group, scope):
    parts = scope.split("/") if scope else []
    return "/".join(parts[parts.index(group) :] if group in parts else [group, *parts])


def _read_checkpoint(path, checkpoint, prefix):
    try:
        from keras_wn.interop import keras2_checkpoints  # Imports TensorFlow.
    except ImportError as error:
        raise ImportError(f"reading {path} needs TensorFlow: pip install tensorflow") from error
    try:
        objects = keras2_checkpoints.read_objects(checkpoint)
        layers = objects.layers()
        if not layers:
            raise ValueError("it holds no layers of Keras 2")
    except keras2_checkpoints.ERRORS as error:
        raise ValueError(_message(path, " ".join(str(error).split()))) from error
    if prefix is None:
        return layers
    chosen = objects.layers(prefix)
    if not chosen:
        allowed = [name for name in objects.children(0) if objects.layers(name)]
        raise ValueError(_without_prefix(path, prefix, allowed))
    return chosen

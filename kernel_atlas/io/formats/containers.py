"""Files and folders that hold a network but are no checkpoint that is read: what each is, and the way out."""

import json
import re
import zipfile
from pathlib import Path

from kernel_atlas.core.errors import AtlasError

ONNX = "export the network as ONNX"
KERAS = f"{ONNX} (tf2onnx), or save its weights as safetensors"
DISTRIBUTED = (
    "a distributed checkpoint of PyTorch; join it first: "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER net.pth"
)
SAVED_MODEL = (
    "a TensorFlow SavedModel; export it as ONNX: python -m tf2onnx.convert --saved-model FOLDER --output net.onnx"
)
WEIGHTS = (
    ".safetensors",
    ".pth",
    ".pt",
    ".ckpt",
    ".bin",
    ".onnx",
    ".pdparams",
    ".pkl",
    ".tflite",
    ".tar",
    ".h5",
    ".keras",
)
# Formats whose files do not say what they are, by their ending.
_ENDINGS = {
    ".bin": f"raw weights without names, as of OpenVINO and ncnn; {ONNX}, or name the checkpoint it is made of",
    ".pdiparams": "weights of Paddle without names; name the .pdparams of the training, or use paddle2onnx",
    ".pdmodel": "a program of Paddle without its weights; name the .pdparams of the training, or use paddle2onnx",
    ".pb": f"a graph of TensorFlow or another protobuf; {ONNX} (tf2onnx)",
    ".weights": f"weights of Darknet, without names; {ONNX}",
    ".caffemodel": f"a Caffe network; {ONNX}",
    ".params": f"weights of MXNet; {ONNX}",
    ".index": f"the index of a TensorFlow checkpoint; {ONNX} (tf2onnx)",
    ".engine": "a TensorRT engine, for one device; name the ONNX file that it is built from",
    ".plan": "a TensorRT engine, for one device; name the ONNX file that it is built from",
    ".mnn": "an MNN network; name the file that it is converted from",
}


def folder_reason(path: Path) -> str:
    """Why a folder is not read."""
    names = sorted(entry.name for entry in path.iterdir())
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        return DISTRIBUTED
    if "saved_model.pb" in names:
        return SAVED_MODEL
    if "data.pkl" in names:
        return "an unpacked archive of PyTorch; name the file that it was unpacked from"
    if "zero_to_fp32.py" in names:
        return "a folder of DeepSpeed; join it first: python zero_to_fp32.py . net.pth"
    found = [name for name in names if name.endswith((*WEIGHTS, ".index.json"))]
    there = ", ".join(found[:4]) + (" and more" if len(found) > 4 else "")
    return f"a folder; name the file of weights in it ({there or 'it has none that is known'})"


def refuse_zip(path: Path) -> None:
    """Pass an archive of torch.save or torch.jit.save.

    Raises
    ------
    AtlasError
        The archive is damaged, or another kind: the reason.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise AtlasError(f"a damaged zip archive ({str(error)[:100]}); fetch the file again") from error
    inner = [name.split("/", 1)[-1] for name in names]
    if path.suffix == ".distcp":
        raise AtlasError(f"a part of {DISTRIBUTED}")
    if "archive_format" in inner or "models/model.json" in inner or "serialized_exported_program.json" in names:
        raise AtlasError("a program of torch.export; save its state_dict() with torch.save, or export it as ONNX")
    if "data.pkl" in inner:
        return
    if "model.weights.h5" in names:
        raise AtlasError(f"a Keras archive; {KERAS}")
    if names and all(name.endswith(".npy") for name in names):
        raise AtlasError(
            "arrays of numpy (.npz); save them as safetensors: safetensors.numpy.save_file(dict(arrays), ...)"
        )
    if ".data/extern_modules" in inner:
        raise AtlasError("a torch.package, whose code would have to run; save the network's state_dict() alone")
    found = next((name for name in names if name.endswith(WEIGHTS)), None)
    if found:
        raise AtlasError(f"a zip archive with {found[:100]!r} in it; unpack it and name that file")
    raise AtlasError("a zip archive without a checkpoint that is known; unpack it and name the file of weights")


def json_reason(content: object) -> str:
    """What JSON without an index of parts is."""
    if isinstance(content, dict) and ("weightsManifest" in content or "modelTopology" in content):
        return f"a network of TensorFlow.js; {ONNX}, or name the checkpoint it is converted from"
    return "JSON, no weights; name the file of weights, or the index of its parts (*.index.json)"


def read_json(path: Path) -> object:
    """JSON of at most 50 MB, which holds the index of any network.

    Raises
    ------
    AtlasError
        The file is longer, or no JSON.
    """
    with path.open("rb") as file:
        content = file.read(50_000_001)
    try:
        if len(content) > 50_000_000:
            raise ValueError("too long")
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise AtlasError("begins like JSON, which it is not; name the file of weights") from error


def unknown_reason(path: Path, start: bytes) -> str:
    """What a file without a signature may be, by its first bytes, else by its ending."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html")):
        return "an HTML page saved in the place of the file (a login or a warning); download the file itself"
    if text.startswith(b"<"):
        return (
            f"the description of an OpenVINO network; {ONNX}, or name the checkpoint it is converted from"
            if b"<net" in text
            else "an XML page saved in the place of the file (an error of the server); download the file itself"
        )
    if re.match(rb"\n[\x80-\xff]{0,4}[\x00-\x7f]\n", start) and path.suffix not in _ENDINGS.keys() - {".pb"}:
        return f"a frozen graph of TensorFlow; {ONNX} (tf2onnx)"
    if re.match(rb"[\x81-\x8f\xde][\xa0-\xbf\xd9]", start):
        return (
            "weights of Flax (msgpack); save them as safetensors: flax.traverse_util.flatten_dict and safetensors.flax"
        )
    if re.search(r"\.data-\d+-of-\d+$", path.name):
        return f"a part of a TensorFlow checkpoint; {ONNX} (tf2onnx)"
    if path.suffix in _ENDINGS:
        return _ENDINGS[path.suffix]
    known = "unknown format; known are safetensors, PyTorch checkpoints, pickles of numpy arrays and ONNX"
    if re.fullmatch(rb"[\t\n\r\x20-\x7e]+", start):
        return f"{known}, and this is a text that begins {' '.join(start[:40].decode().split())!r}"
    return known

"""Write the model sheet of the folder of real kernels that tests and benchmarks use (`KERNEL_ATLAS_DATA`/kernels).

    python tests/shared_kernels.py FOLDER SHEET

One net of each group that shares weights trains; its verdict must say that every square size is trained and none of
its layers may be dilated, since taps that are not neighbours draw another pattern. Untrained nets are controls, and so
are the regular networks of the folder kernels_dense beside it.
"""

import json
import sys
from pathlib import Path

import pandas as pd


def write_sheet(folder: Path, sheet: Path) -> pd.DataFrame:
    nets = pd.read_csv(folder / "models.tsv", sep="\t").sort_values("model")
    nets["use"] = [
        _use(json.loads(v), json.loads(d)) for v, d in zip(nets["verdict"], nets["dilated_layers"], strict=True)
    ]
    repeated = (nets["use"] == "train") & nets[nets["use"] == "train"].duplicated("group").reindex(
        nets.index, fill_value=False
    )
    nets.loc[repeated, "use"] = "assign"
    nets["source"] = [f"file:{(folder / file).resolve()}" for file in nets["file"]]
    nets["padding"] = nets["format"].map(_padding)
    nets["origin"] = ("https://github.com/" + nets["repo"]).str.cat([nets["commit"], nets["path"]], sep=" ")
    nets = nets.rename(columns={"trained_on": "dataset"}).assign(convolution="depthwise")
    regular = sorted((folder.parent / "kernels_dense").glob("*.safetensors"))
    dense = pd.DataFrame(
        {"model": f"{net.stem}_dense", "source": f"file:{net.resolve()}", "use": "control", "convolution": "dense"}
        for net in regular
    )
    columns = [
        "model",
        "source",
        "use",
        "convolution",
        "family",
        "architecture",
        "dataset",
        "group",
        "licence",
        "padding",
        "origin",
    ]
    table = pd.concat([nets, dense])[columns]
    table.to_csv(sheet, sep="\t", index=False)
    return table


def _use(verdict: dict[str, str], dilated: list[str]) -> str:
    square = {text for size, text in verdict.items() if len(set(size.split("x"))) == 1}
    if square and square <= {"random"}:
        return "control"
    return "train" if square == {"trained"} and not dilated else "assign"


def _padding(source: str) -> str | None:
    """As the framework that wrote the file pads; an ONNX file may be from either."""
    if source.startswith(("tf", "h5py", "graphdef")):
        return "same"
    return "symmetric" if source.startswith(("torch", "stub-unpickler")) else None


if __name__ == "__main__":
    print(write_sheet(Path(sys.argv[1]), Path(sys.argv[2]))["use"].value_counts().to_string())

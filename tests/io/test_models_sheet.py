"""The default sheet: networks of installed packages, with the kernels they have, and the embedded zoo."""

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from kernel_atlas.io.sheet import check_config, is_permissive, read_sheet
from kernel_atlas.io.sources import Wanted, read_layers
from kernel_atlas.stats.independence import related

SHEET = ROOT / "config/models.tsv"
COUNTS = {
    "efficientnet_lite0": {"3x3": 2624, "5x5": 6336},
    "efficientnet_lite1": {"3x3": 3248, "5x5": 8400},
    "efficientnet_lite2": {"3x3": 3536, "5x5": 9120},
    "ppocrv6_det_small": {"3x3": 2160, "7x7": 384},
    "ppocrv6_rec_small": {"3x3": 2496, "1x7": 120},
    "ppocr_mobile_cls": {"3x3": 64, "5x5": 800},
}


@pytest.fixture(scope="module")
def sheet() -> pd.DataFrame:
    return read_sheet(SHEET).set_index("model", drop=False)


@pytest.mark.parametrize("model", COUNTS)
def test_networks_of_packages_have_these_kernels(sheet, model):
    checkpoint = read_layers(sheet.at[model, "source"], Wanted(SHEET.parent))
    counts = {}
    for layer in checkpoint.layers:
        channels, _, kh, kw = layer.weight.shape
        counts[f"{kh}x{kw}"] = counts.get(f"{kh}x{kw}", 0) + channels
        assert np.isfinite(layer.weight).all()
    assert counts == COUNTS[model]
    assert sheet.at[model, "source"].split(":")[1] in checkpoint.metadata["revision"]
    assert checkpoint.metadata.get("licence", "Apache-2.0") == sheet.at[model, "licence"]


def test_the_default_configuration_names_it():
    schema = yaml.safe_load((ROOT / "schemas/config.schema.yaml").read_text())
    default = yaml.safe_load((ROOT / "config.yaml").read_text())["models"]
    assert default == schema["properties"]["models"]["default"] == "config/models.tsv"


@pytest.mark.parametrize("name", ["full", "paper", "timm"])
def test_other_configurations_take_as_many_samples_as_the_schema_has(name):
    """`config.yaml`, which they are laid over, takes fewer."""
    schema = ROOT / "schemas/config.schema.yaml"
    stated = yaml.safe_load((ROOT / "config.yaml").read_text()) | yaml.safe_load(
        (ROOT / f"config/{name}.yaml").read_text()
    )
    default, found = check_config({}, schema), check_config(stated, schema)
    assert all(found[key] == default[key] for key in ("training", "evidence"))


def test_the_zoo_is_in_it_as_it_lists_itself(sheet):
    zoo = read_sheet(ROOT / "resources/zoo/zoo.tsv").set_index("model", drop=False)
    zoo["source"] = zoo["source"].str.replace("file:", "file:../resources/zoo/")
    pd.testing.assert_frame_equal(sheet.loc[zoo.index], zoo, check_dtype=False)


def test_networks_count_as_what_they_are(sheet):
    real = sheet[sheet["use"] == "train"]
    assert real["licence"].map(is_permissive).all() and set(COUNTS) <= set(real["model"])
    unit = related(real)
    assert unit[list(COUNTS)].nunique() == len(COUNTS)  # three widths of one family are three networks
    assert unit.nunique() == len(real) - 2  # and three seeds of one recipe are one

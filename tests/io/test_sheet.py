import pandas as pd
import pytest
from conftest import ROOT
from snakemake.cli import parse_config

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.sheet import check_config, read_sheet, subjects_of

SCHEMA = ROOT / "schemas/config.schema.yaml"


def sheet(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "sheet.tsv"
    path.write_bytes(text.encode(encoding))
    return path


def test_defaults_and_types(tmp_path):
    table = read_sheet(sheet(tmp_path, "model\tsource\ttop1\tmine\na\tfile:a.pt\t81.5\tx\nb\tfile:b.pt\t\ty\n"))
    assert table["use"].tolist() == ["train", "train"]
    assert table["convolution"].tolist() == ["depthwise", "depthwise"]
    assert table["top1"].isna().tolist() == [False, True] and table["top1"][0] == 81.5
    assert table["family"].isna().all() and "mine" not in table


def test_bom_crlf_spaces_and_empty_lines(tmp_path):
    table = read_sheet(sheet(tmp_path, "\ufeffmodel\tsource\r\n a \tfile:a.pt \r\n\r\nb\tfile:b.pt\r\n"))
    assert table["model"].tolist() == ["a", "b"] and table["source"].tolist() == ["file:a.pt", "file:b.pt"]


GOOD = "model\tsource\tdataset\na\tfile:a.pt\tone, two\n"


@pytest.mark.parametrize(
    "text, encoding",
    [
        ('model\tsource\tdataset\na\tfile:a.pt\t"one, two"\n', "utf-8"),  # Excel quotes a cell with a comma
        ('"model"\t"source"\t"dataset"\n"a"\t"file:a.pt"\t"one,\ntwo"\n', "utf-8"),
        ('"model"\t"source"\t"dataset"\n"1"\t"a"\t"file:a.pt"\t"one, two"\n', "utf-8"),  # R: row names without a name
        ("\tmodel\tsource\tdataset\n0\ta\tfile:a.pt\tone, two\n", "utf-8"),  # pandas: an index
        (f"# my models\n{GOOD}# b\tfile:b.pt\n", "utf-8"),
        (f"sep=\t\n{GOOD}", "utf-8"),
        (GOOD.replace("model", "Model").replace("source", "SOURCE"), "utf-8"),
        (GOOD, "utf-16"),  # with a byte order mark
        ("\ufeff\ufeff" + GOOD, "utf-8"),
        (GOOD.replace("\n", "\r"), "utf-8"),
        (GOOD.replace("a\tfile", "a\u00a0\tfile").replace("two", "two\u200b"), "utf-8"),
    ],
)
def test_sheets_of_excel_r_and_pandas(tmp_path, text, encoding):
    table = read_sheet(sheet(tmp_path, text, encoding))
    assert table[["model", "source", "dataset"]].to_numpy().tolist() == [["a", "file:a.pt", "one, two"]]


def test_spaces_inside_a_path_stay(tmp_path):
    assert read_sheet(sheet(tmp_path, "model\tsource\na\tfile:my  net.pt\n"))["source"][0] == "file:my  net.pt"


def test_rows_are_lines_of_the_file(tmp_path):
    text = '# mine\nmodel\tsource\tdataset\n\na\tfile:a\t"two\nlines"\nb\tb.pt\tx\nc\tc.pt\tx\nd\td.pt\tx\n'
    with pytest.raises(AtlasError, match=r"row 6: column source: 'b.pt' is not a source.*\(2 more rows like it\)"):
        read_sheet(sheet(tmp_path, text))


def test_one_column_only_names_the_other(tmp_path):
    with pytest.raises(AtlasError, match="row 1: column source is missing"):
        read_sheet(sheet(tmp_path, "model\na\n"))


@pytest.mark.parametrize(
    "row, message",
    [
        ("../x\tfile:a\ttrain\t", r"row 3: column model: '../x' is not an id"),
        ("..\tfile:a\ttrain\t", r"row 3: column model: '..' is not an id"),
        ("CON\tfile:a\ttrain\t", "row 3: column model: 'CON' is reserved"),
        ("nul.pth\tfile:a\ttrain\t", "reserved"),
        ("noise\tfile:a\ttrain\t", "reserved"),
        ("GOOD\tfile:a\ttrain\t", "row 3: column model: 'GOOD' appears twice"),
        ("b\t\ttrain\t", "row 3: column source: '' is not a source; write file:PATH"),
        ("b\tfile:a\ttest\t", "row 3: column use: 'test' is not one of train, assign, control"),
        ("b\tfile:a\ttrain\tgood", "row 3: column top1: 'good' is not a number"),
        ("b\tfile:a\ttrain\tinf", "row 3: column top1: 'inf' is not a number"),
        ("b\tfile:a\ttrain\t1\t2\t3", "row 3: 6 cells for 4 columns"),
        ("b\t/abs/a.pth\ttrain\t", "row 3: column source: '/abs/a.pth' is not a source"),
        ("b\tfile:~/a.pth\ttrain\t", "row 3: column source: .* has a ~"),
        ("b\tfile:a\ttrain\t8130", "row 3: column top1: '8130' is not a number above 0 and up to 100"),
    ],
)
def test_wrong_rows_are_named(tmp_path, row, message):
    with pytest.raises(AtlasError, match=message) as caught:
        read_sheet(sheet(tmp_path, f"model\tsource\tuse\ttop1\ngood\tfile:a\ttrain\t\n{row}\n"))
    assert "\n" not in str(caught.value) and "sheet.tsv" in str(caught.value)


@pytest.mark.parametrize(
    "text, encoding, message",
    [
        ("", "utf-8", "column model is missing"),
        ("model\tsource\tuses\na\tfile:a\tassign\n", "utf-8", "row 1: column uses is unknown; did you mean use"),
        ("model\tsource\tlicense\na\tfile:a\tMIT\n", "utf-8", "did you mean licence"),
        ("model\tsource\tsource\na\tfile:a\tb\n", "utf-8", "column source appears twice"),
        ("model\tsource\n", "utf-8", "no models"),
        ("model\tsource\nä\tfile:a\n", "latin-1", "not UTF-8"),
        ("model\tsource\tuse\na\tfile:a\tcontrol\n", "utf-8", "no row has use = train"),
        ("model,source\na,file:a\n", "utf-8", "column model is missing"),
        ("model\tsource\tx\na\tfile:a\t\0\n", "utf-8", "zero bytes"),
        ('model\tsource\na\t"file:a\nb\tfile:b\n', "utf-8", "row 2: unexpected end of data; close each quote"),
    ],
)
def test_wrong_sheets(tmp_path, text, encoding, message):
    with pytest.raises(AtlasError, match=message):
        read_sheet(sheet(tmp_path, text, encoding))


def test_tabs_at_the_end_of_rows_do_not_matter(tmp_path):
    table = read_sheet(sheet(tmp_path, "model\tsource\na\tfile:a.pt\t\t\nb\tfile:b.pt\t\n"))
    assert table["model"].tolist() == ["a", "b"] and table["source"].tolist() == ["file:a.pt", "file:b.pt"]


def test_a_regular_convolution_is_a_control_unless_the_sheet_says_otherwise(tmp_path):
    rows = ["model source use convolution", "a file:a train depthwise", "b file:b  dense", "c file:c train dense"]
    assert read_sheet(sheet(tmp_path, "\n".join(rows).replace(" ", "\t")))["use"].tolist() == [
        "train",
        "control",
        "train",
    ]


def test_missing_sheet(tmp_path):
    with pytest.raises(AtlasError, match="no such model sheet"):
        read_sheet(tmp_path / "none.tsv")


def test_config_defaults_fill_nested_keys():
    config = check_config({"training": {"steps": 30}, "thresholds": {"7x7": 0.25}}, SCHEMA)
    assert config["training"] == {"steps": 30, "restarts": 3}
    assert config["thresholds"]["7x7"] == 0.25 and config["thresholds"]["5x5"] == 0.2


def test_nested_values_of_the_command_line_are_numbers():
    """Snakemake's --config gives the scalars of lists and mappings as text."""
    given = ["sizes=[5, 7]", "thresholds={7x7: 0.25, 5x5: 3e-1}", "training={steps: 30}", "evidence={wanted: false}"]
    config = check_config(parse_config(given), SCHEMA)
    assert config["sizes"] == [5, 7] and config["training"]["steps"] == 30 and config["evidence"]["wanted"] is False
    assert (config["thresholds"]["7x7"], config["thresholds"]["5x5"]) == (0.25, 0.3)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"modles": "x"}, "'modles' was unexpected.*did you mean models"),
        ({"training": {"step": 3}}, "training: .*did you mean steps"),
        ({"training": {"steps": 0}}, "training.steps: 0 is less than the minimum of 1"),
        ({"sizes": [7, 7]}, "sizes: .*non-unique"),
        ({"thresholds": {"7x7": "low"}}, "thresholds.7x7: 'low' is not of type 'number'"),
        ({"seed": -1}, "seed"),
        ({"thresholds": {"7X7": 0.3}}, "thresholds"),
        ({"clusters": {"7x5": "a.tsv"}}, "clusters"),
    ],
)
def test_wrong_configurations_are_one_line(config, message):
    with pytest.raises(AtlasError, match=message) as caught:
        check_config(config, SCHEMA)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "stated", "padding"),
    [
        ("timm:tf_efficientnet_b0.in1k", "", "same"),
        ("timm:maxvit_tiny_tf_224.in1k", "", "same"),
        ("timm:efficientnet_b1_pruned.in1k", "", "same"),
        ("timm:efficientnet_b1.ra4_e3600_r240_in1k", "", "symmetric"),
        ("timm:convnext_tiny.fb_in1k", "same", "same"),
        ("init:convnext_tiny:0", "", "symmetric"),
        ("file:a.tflite", "", "same"),
        ("file:a.h5", "symmetric", "symmetric"),
        ("file:tf_a.safetensors", "", None),
    ],
)
def test_padding_is_what_the_source_tells(tmp_path, source, stated, padding):
    table = read_sheet(sheet(tmp_path, f"model\tsource\tpadding\na\t{source}\t{stated}\n"))
    assert table["padding"].tolist() == [padding]


def test_padding_is_one_of_two(tmp_path):
    with pytest.raises(AtlasError, match="row 2: column padding: 'SAME' is not one of symmetric, same"):
        read_sheet(sheet(tmp_path, "model\tsource\tpadding\na\tfile:a\tSAME\n"))


def test_every_key_of_the_schema_is_described():
    import yaml

    def walk(rules):
        for key, rule in rules.get("properties", {}).items():
            assert "description" in rule, key
            assert "default" in rule, key
            walk(rule)

    walk(yaml.safe_load(SCHEMA.read_text()))


def test_what_a_model_is_to_the_evidence():
    uses = {"b": "train depthwise", "a": "assign depthwise", "c": "control depthwise", "d": "control dense"}
    uses |= {"e": "assign dense", "f": "train dense"}
    sheet = pd.DataFrame(
        [(model, *use.split()) for model, use in uses.items()], columns=["model", "use", "convolution"]
    )
    subjects = {"a": "real", "b": "real", "c": "untrained", "d": "dense", "e": "dense", "f": "real"}
    assert subjects_of(sheet) == subjects_of(sheet.set_index("model", drop=False)) == subjects

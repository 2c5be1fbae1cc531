"""Where the files are that belong to the library: patterns, encoder, tables of reference networks, schemas."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def data_file(name: str) -> Path:
    """The path of a file of the project: in an installed package its copy in `data/`, else that of the repository.

    Parameters
    ----------
    name : str
        As in the repository: `resources/encoder.safetensors`. pyproject.toml lists what a wheel has.
    """
    data = _PACKAGE / "data"
    return (data if data.is_dir() else _PACKAGE.parent) / name

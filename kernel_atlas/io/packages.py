"""Files of installed distributions, found by their records; nothing of a distribution is imported."""

import difflib
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from kernel_atlas.core.errors import AtlasError

LONGEST = 40  # characters of a name of a licence; the field may also hold its whole text
# What projects write for the commonest licences, in small letters, as SPDX names them.
SPDX = {
    r"apache[ -]?(software )?(licen[cs]e)?,? ?(version )?(2|2\.0)?": "Apache-2.0",
    r"(the )?mit( licen[cs]e)?": "MIT",
    r"isc( licen[cs]e)?( \(iscl\))?": "ISC",
    r"bsd[ -]3([ -]clause)?( licen[cs]e)?|(new|modified|3-clause) bsd( licen[cs]e)?": "BSD-3-Clause",
    r"bsd( licen[cs]e)?": "BSD",
}


def find_packaged(name: str, path: str) -> tuple[Path, dict[str, str]]:
    """A file of an installed distribution, and what the distribution says of itself.

    Parameters
    ----------
    name : str
        Of the distribution, as in `pip install NAME`.
    path : str
        As in its record of files: from the folder that holds its packages, with forward slashes.

    Returns
    -------
    file : Path
    metadata : dict
        `revision`, the name and the version, and `licence` where it states one, as SPDX names it if it is common.

    Raises
    ------
    AtlasError
        The distribution is not installed, or has no such file.
    """
    found = _distribution(name)
    files = _files(found)
    told = {"revision": f"{found.metadata['Name']} {found.version}"}
    if path not in files:
        named = PurePosixPath(path).name
        near = [file for file in files if PurePosixPath(file).name == named]
        near = near or difflib.get_close_matches(path, files, 3, cutoff=0.5)
        mend = f"did you mean {' or '.join(near[:3])}?" if near else f"`pip show --files {name}` lists its files"
        raise AtlasError(f"{told['revision']} has no file {path!r}; {mend}")
    licence = licence_of_distribution(found)
    return Path(found.locate_file(path)), told | ({"licence": licence} if licence else {})


def files_to_watch(name: str, path: str) -> list[Path]:
    """The file, and the metadata of its distribution, whose path has the version; empty where something is missing.

    An upgrade may bring a file that is older than what was made of the one before it.
    """
    try:
        file, _ = find_packaged(name, path)
        found = _distribution(name)
    except AtlasError:
        return []
    records = [record for record in _files(found) if record.endswith(".dist-info/METADATA")]
    return [each for each in (file, *map(Path, map(found.locate_file, records))) if each.exists()]


def licence_of_distribution(found: Distribution) -> str | None:
    """The licence that a distribution states: as an expression, in a few words, or by its classifiers."""
    expression = found.metadata.get("License-Expression")
    if expression:
        return expression
    words = (found.metadata.get("License") or "").strip()
    classified = [text.split(" :: ") for text in found.metadata.get_all("Classifier") or []]
    classified = [parts[-1] for parts in classified if parts[0] == "License" and parts[-1] != "OSI Approved"]
    stated = [] if words.upper() == "UNKNOWN" or len(words) > LONGEST or "\n" in words else [words]
    for licence in filter(None, [*stated, *classified]):
        return next((spdx for form, spdx in SPDX.items() if re.fullmatch(form, licence.lower())), licence)
    return None


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError) as error:
        raise AtlasError(
            f"the distribution {name} is not installed; `pip install {name}` in the environment of the run mends it"
        ) from error


def _files(found: Distribution) -> list[str]:
    """The files that a distribution holds, but those that it puts elsewhere."""
    return [str(file) for file in found.files or [] if not file.is_absolute() and ".." not in file.parts]

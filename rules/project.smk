"""BASE, the folder of this project, also where another workflow imports it as a module."""

import os
import sys
import tarfile
import tempfile

from snakemake.sourcecache import GenericSourceFile, LocalGitFile, LocalSourceFile


def check_out(source):
    """A folder with this project as it is in a commit: of a module from a repository, Snakemake fetches no library."""
    import git

    local = isinstance(source, LocalGitFile)
    repository = git.Repo(source.repo_path) if local else source.hosted_repo.repo
    commit = repository.commit(source.ref).hexsha
    folder = os.path.abspath(f".snakemake/kernel_atlas/{commit}")
    if not os.path.exists(folder):
        with tempfile.TemporaryFile() as archive:
            repository.archive(archive, commit)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                tar.extractall(f"{folder}.partial", filter="data")
        os.rename(f"{folder}.partial", folder)
    return os.path.join(folder, os.path.dirname(source.path))


HERE = workflow.current_basedir
if isinstance(HERE, GenericSourceFile):
    raise SystemExit(
        f"error: {HERE}: an address of one file has no library beside it; "
        "import the workflow by github(...), gitlab(...), git+file: or from a copy on disk"
    )
if isinstance(HERE, LocalSourceFile):
    BASE = os.path.dirname(HERE.get_path_or_uri(False))
else:
    BASE = check_out(HERE)
sys.path.insert(0, BASE)
# scripts import kernel_atlas from here, installed or not; no backend of a notebook draws
os.environ.update(PYTHONPATH=BASE, MPLBACKEND="Agg")

"""The site of kernel-atlas, as Sphinx reads it; `make docs` builds it. pages.py writes what the code already says."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import pages  # noqa: E402

import kernel_atlas  # noqa: E402

project = "kernel-atlas"
author = "The kernel-atlas authors"
copyright = author
version = release = kernel_atlas.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build", "_packages"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
nb_execution_mode = "cache"  # again when a notebook changes; `make clean` forgets
nb_execution_timeout = 600  # seconds a cell; one runs the workflow, and a machine may be busy
nb_execution_raise_on_error = True
nb_merge_streams = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # not the path of this folder
autodoc_typehints = "none"  # the docstrings say types
highlight_language = "none"
html_theme = "pydata_sphinx_theme"
html_title = "kernel-atlas"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "_generated/patterns": [], "glossary": []},
}


def setup(app):
    pages.write_pages()
    app.connect("source-read", pages.relink_page)

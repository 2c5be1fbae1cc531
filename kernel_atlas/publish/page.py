"""Write a page: an HTML file that asks nothing of a network, with scripts and figures in it."""

import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from kernel_atlas.core.words import interval, number, percent
from kernel_atlas.figures.style import GROUND, INK, SOFT
from kernel_atlas.io.tables import whole

# Colours of a figure that are those of the page around it, by the names that pages/head.html gives them.
THEME = {INK: "--ink", SOFT: "--soft", GROUND: "--page"}


def read_script(script: str | Path, licence: str | Path) -> Markup:
    """Somebody else's script to stand in a page, with its licence."""
    text = Path(script).read_text(encoding="utf-8").replace("<!--", r"<\!--")  # which would hide the end of the script
    return Markup(f"/*\n{Path(licence).read_text(encoding='utf-8')}*/\n{text}")


def write_page(output: str | Path, template: str | Path, **facts: Any) -> None:
    """Fill a template with facts. Texts are escaped; only what is `Markup` (figures, scripts) goes in as it is."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(template).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number, "interval": interval}
    page = environment.get_template(Path(template).name).render(facts)
    with whole(output) as partial:
        partial.write_text(page, encoding="utf-8")


def for_page(svg: str) -> str:
    """An SVG as a part of a page, whose CSS sets its size, its fonts, and by THEME its inks and its ground."""
    svg = svg[svg.index("<svg") :]
    head, _, svg = svg.partition(">")
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;]*sans-serif;", "", svg)
    # groups have equal ids in every figure, but a page may have an id only once; nothing refers to them
    svg = re.sub(r'<g id="[\w.]+_\d+"', "<g", svg)
    for colour, name in THEME.items():
        svg = svg.replace(f": {colour}", f": var({name}, {colour})")
    return f"{head}>{svg}"

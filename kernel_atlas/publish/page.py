"""Write a page: one HTML file that needs nothing beside it."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from kernel_atlas.core.words import interval, number, percent
from kernel_atlas.io.tables import whole


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

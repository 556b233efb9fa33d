"""A hook of MkDocs: notebooks in ``examples/`` are pages of the site, with their formulas as MathML."""

import html
import re
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_EXAMPLES = Path(__file__).parents[2] / "examples"
_FORMULA = re.compile(r"\$\$(?P<display>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL)
# The template of notebooks would load these for formulas and widgets: there are none left.
_SCRIPTS = re.compile(r"<script[^>]*(?:mathjax|MathJax|require)[^>]*>.*?</script>", re.DOTALL)
_PROSE = re.compile(r'<div class="jp-RenderedHTMLCommon jp-RenderedMarkdown.*?</div>', re.DOTALL)


# Before the plugin that turns notebooks into pages.
@event_priority(100)
def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the notebooks to the files of the site."""
    for path in sorted(_EXAMPLES.glob("*.ipynb")):
        files.append(File(path.name, str(_EXAMPLES), str(config.site_dir), config.use_directory_urls))
    return files


def on_page_content(content: str, page: Page, **_: Any) -> str:
    """Convert the formulas of a notebook to MathML, which browsers show without a script."""
    if not page.file.src_uri.endswith(".ipynb"):
        return content
    content = _PROSE.sub(lambda cell: _FORMULA.sub(_mathml, cell[0]), content)
    return _SCRIPTS.sub("", content)


def _mathml(formula: re.Match[str]) -> str:
    is_display = formula["display"] is not None
    latex = html.unescape(formula["display"] if is_display else formula["inline"])
    return latex2mathml.converter.convert(latex, display="block" if is_display else "inline")

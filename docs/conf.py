"""The documentation's site: `make docs` builds it from docs/*.md, the READMEs of the plugins, and the registry."""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import site_pages

project = "maskkit"
author = "The maskkit developers"
copyright = "The maskkit developers, Apache License 2.0"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
myst_enable_extensions = ["html_image"]
myst_heading_anchors = 3
exclude_patterns = ["masks.md", "strategies.md"]  # tables for the repository; the site has site_pages.gallery
autodoc_typehints = "none"  # signatures have them
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Class attributes", "params_style")]
default_role = "code"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = False
html_theme = "furo"
html_title = "maskkit"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "github-dark"
# A table cell may hold what a lexer does not know; a README is a page of its own under a toctree that is a glob.
suppress_warnings = ["myst.header", "misc.highlighting_failure", "toc.not_included"]


def setup(app):
    """Write what the registry knows before Sphinx looks for pages; mend links that leave docs/."""
    warnings.simplefilter("ignore", DeprecationWarning)
    site_pages.write(Path(app.srcdir) / "generated")
    app.connect("source-read", read)
    app.connect("build-finished", explorer)


def read(app, page, source):
    """Links of pages under docs/ lead to the site's pages, those of generated ones do already."""
    if not page.startswith("generated/"):
        folder = (Path(app.srcdir) / page).parent
        source[0] = site_pages.toctree(site_pages.links(source[0], folder), folder)


def explorer(app, error):
    """The page of `maskkit explore`, where that plugin is installed."""
    if error is None and app.builder.format == "html":
        site_pages.write_explorer(Path(app.outdir) / "explorer.html")

"""A mkdocs hook: takes the repository's own Markdown into the site, so that nothing is written twice."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md"]
RESULTS = "benchmarks/results"
PLUGINS = "plugins/*"
_INTO_DOCS = re.compile(r"\]\(((?:\.\./)*)docs/")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the results into the navigation after the page on measurements, and the plugins after the page on them."""
    root = Path(config.config_file_path).parent
    results = [path.relative_to(root).as_posix() for path in sorted((root / RESULTS).glob("*.md"))]
    plugins = [path.relative_to(root).as_posix() for path in sorted(root.glob(f"{PLUGINS}/README.md"))]
    sections = [
        page for item in config.nav or [] for pages in item.values() if isinstance(pages, list) for page in pages
    ]
    for item in [*(config.nav or []), *sections]:
        if item == {"Measurements": "benchmarks/README.md"}:
            item["Measurements"] = ["benchmarks/README.md", *results]
        if item == {"Plugins of our own": "firstparty.md"}:
            item["Plugins of our own"] = ["firstparty.md", *plugins]
    return config


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the repository's pages and the results of the measurements; links into `docs/` point beside them here."""
    root = Path(config.config_file_path).parent
    results = sorted((root / RESULTS).iterdir())
    plugins = [*sorted(root.glob(f"{PLUGINS}/README.md")), *sorted(root.glob(f"{PLUGINS}/pictures/*"))]
    for path in [*(root / page for page in PAGES), *results, *plugins]:
        where = path.relative_to(root).as_posix()
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            files.append(File.generated(config, where, content=_INTO_DOCS.sub("](\\1", text)))
        elif path.suffix in (".png", ".svg"):
            files.append(File.generated(config, where, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of `docs/` pages out of their folder point beside them here."""
    return markdown if "/" in page.file.src_uri else markdown.replace("](../", "](")

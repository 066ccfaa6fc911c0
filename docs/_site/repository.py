"""A mkdocs hook: takes the repository's own Markdown into the site, so that nothing is written twice."""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md"]
RESULTS = "benchmarks/results"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the results into the navigation, after the page on measurements."""
    root = Path(config.config_file_path).parent
    results = [path.relative_to(root).as_posix() for path in sorted((root / RESULTS).glob("*.md"))]
    for item in config.nav or []:
        if item == {"Measurements": "benchmarks/README.md"}:
            item["Measurements"] = ["benchmarks/README.md", *results]
    return config


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the repository's pages and the results of the measurements; links into `docs/` point beside them here."""
    root = Path(config.config_file_path).parent
    results = sorted((root / RESULTS).iterdir())
    for path in [*(root / page for page in PAGES), *results]:
        where = path.relative_to(root).as_posix()
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            files.append(File.generated(config, where, content=text.replace("](docs/", "](")))
        elif path.suffix in (".png", ".svg"):
            files.append(File.generated(config, where, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of `docs/` pages out of their folder point beside them here."""
    return markdown if "/" in page.file.src_uri else markdown.replace("](../", "](")

"""Which file stands for each part of the front end: what `static/build.mjs` wrote, else its source."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TypedDict

log = logging.getLogger(__name__)

STATIC = Path(__file__).parents[2] / "static"
# What stands for a name where nothing was built; markdown, highlight and math need a build.
SOURCES = {
    "page.js": "page/main.js",
    "page.css": "page/page.css",
    "panel.js": "widget/panel.js",
    "embed.js": "embed/main.js",
    "embed.css": "embed/embed.css",
    "widget.js": "widget/widget.js",
    "client.js": "client/index.js",
    "client.shared.js": "client/shared.js",
    "icon.svg": "icon.svg",
}


class _Built(TypedDict):
    file: str
    imports: list[str]


class Assets:
    """Where the parts of the front end are, by the names of `static/build.mjs`, as of when this was made."""

    def __init__(self, base: str, static: Path = STATIC) -> None:
        self.dist, self.src = static / "dist", static / "src"
        self._base = f"{base}/static"
        self._built = _manifest(self.dist)

    def url(self, name: str) -> str:
        """Of the built file, else of its source. Raises KeyError."""
        return f"{self._base}/dist/{built}" if (built := self.file(name)) else self._source(name)

    def file(self, name: str) -> str:
        """The built file in `dist`; "" where there is none."""
        return self._built[name]["file"] if name in self._built else ""

    def preloads(self, name: str) -> list[str]:
        """The addresses of all that a script needs before it runs, which a browser finds one by one."""
        found = self._built[name]["imports"] if name in self._built else []
        return [f"{self._base}/dist/{file}" for file in found]

    def _source(self, name: str) -> str:
        return f"{self._base}/src/{SOURCES[name]}"


def _manifest(dist: Path) -> dict[str, _Built]:
    path = dist / "manifest.json"
    try:
        return {
            name: {"file": str(part["file"]), "imports": list(part["imports"])}
            for name, part in json.loads(path.read_bytes()).items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError):
        log.error(
            "%s is no manifest: the sources are served, as without a build; `make front` mends it", path
        )
        return {}

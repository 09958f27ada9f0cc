"""Pages as people see them: Debian's Chromium, without a screen."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from tests.services.presence import missing

_REMEDY = "apt-get install --no-install-recommends chromium"
# Time as scripts of the page see it. It stands still while the page waits for its server.
_SETTLED_MILLISECONDS = 5_000


class _Reader(HTMLParser):
    """Collects the words that are shown, and those of each table row, cell by cell."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self._hidden = self._in_cell = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden = self._hidden or tag in {"script", "style"}
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._hidden = self._hidden and tag not in {"script", "style"}
        self._in_cell = self._in_cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self.words += data.split()
        if self._in_cell:
            self.rows[-1][-1] += data.strip()


@dataclass(frozen=True)
class Page:
    """What Chromium made of an address: its document, once scripts have run, and its picture."""

    source: str
    picture: Path
    words: str = field(init=False)
    rows: Sequence[Sequence[str]] = field(init=False)

    def __post_init__(self) -> None:
        reader = _Reader()
        reader.feed(self.source)
        object.__setattr__(self, "words", " ".join(reader.words))
        object.__setattr__(self, "rows", reader.rows)


class Browser:
    """Args: folder, where the pictures go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = shutil.which("chromium") or missing("Chromium", _REMEDY)

    def open(self, url: str, name: str) -> Page:
        """The page at the address; its picture is `name`.png."""
        picture = self._folder / f"{name}.png"
        command = [
            self._program,
            "--headless",
            "--no-sandbox",  # it does not start as root with one
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={self._folder / 'profile'}",
            "--window-size=1400,900",
            f"--virtual-time-budget={_SETTLED_MILLISECONDS}",
            f"--screenshot={picture}",
            "--dump-dom",
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
        assert picture.stat().st_size > 0, done.stderr
        return Page(done.stdout, picture)

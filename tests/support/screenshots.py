"""Pictures of a page as its readers see it: light and dark, on a desk and on a phone.

`python -m tests.support.screenshots PAGE.html ... -o DIR [--whole]` writes DIR/PAGE-light-desktop.png and
its three siblings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.support.browser import DESKTOP, PHONE, NoBrowser, start_browser


def take(pages: list[Path], folder: Path, *, whole: bool = False) -> list[Path]:
    """Four pictures of each page; with `whole`, all of it and not only what a window shows at first."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with start_browser() as browser:
        for page in pages:
            for scheme in ("light", "dark"):
                for device, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
                    context = browser.new_context(viewport=viewport, color_scheme=scheme)
                    shown = context.new_page()
                    shown.goto(page.absolute().as_uri())
                    taken.append(folder / f"{page.stem}-{scheme}-{device}.png")
                    shown.screenshot(path=taken[-1], full_page=whole)
                    context.close()
    return taken


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.screenshots", description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE.html")
    parser.add_argument("-o", "--output", type=Path, default=Path("screenshots"), metavar="DIR")
    parser.add_argument("--whole", action="store_true", help="all of the page, however long")
    given = parser.parse_args()
    if missing := [page for page in given.pages if not page.is_file()]:
        sys.exit(f"{missing[0]}: there is no such file")
    try:
        for path in take(given.pages, given.output, whole=given.whole):
            print(path)
    except NoBrowser as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""The page of a run, written anew every so often while the run works."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from records.folder import RunFolder
from scattering.errors import one_line
from search.following.display import say

PAUSE = 60.0
SHARE = 0.01
"""Of the time that may go into pages: the pauses grow with what a page costs."""


@contextmanager
def preview(folder: Path, pause: float = PAUSE) -> Iterator[None]:
    """Keep the page of a run up to date while a block runs; a page that cannot be written is said once, no more."""
    over = threading.Event()
    thread = threading.Thread(target=_rewrite, args=(folder, pause, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _rewrite(folder: Path, pause: float, over: threading.Event) -> None:
    from reports import page

    wait, written, said = pause, 0.0, False
    while not over.wait(wait):
        changed = RunFolder(folder).last_change()
        if changed == written:
            continue
        written, began = changed, time.monotonic()
        try:
            page.write(folder)
        except Exception as error:
            if not said:
                say(f"the page {RunFolder(folder).page} cannot be kept up to date: {one_line(error)}")
            said = True
        wait = max(pause, (time.monotonic() - began) / SHARE)

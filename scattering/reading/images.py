"""Image files: CBF, EDF, TIFF, MarCCD, Mar345, ADSC, Bruker, SPE, MPA and npy, also packed with gzip or bzip2.

Only formats whose readers were tried with damaged files are listed here. A file is what its first bytes say,
whatever its name.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scattering.arrays import Counts
from scattering.errors import InputError, one_line
from scattering.reading.cbf import open_cbf
from scattering.reading.edf import open_edf
from scattering.reading.mar345 import open_mar345
from scattering.reading.npy import open_npy
from scattering.reading.pages import Pages
from scattering.reading.tiff import open_tiff
from scattering.reading.unpacking import unpacked
from scattering.reading.whole import open_bruker, open_dtrek, open_mpa, open_spe

_MAR345 = (".mar1200", ".mar1600", ".mar1800", ".mar2000", ".mar2300", ".mar2400", ".mar3000", ".mar3450")
SUFFIXES = frozenset(
    (".cbf", ".edf", ".tif", ".tiff", ".mccd", ".img", ".sfrm", ".gfrm", ".spe", ".mpa", ".npy", *_MAR345)
)
NUMBERED = re.compile(r"\.\d{3,4}")
"""Suffixes that count frames, as Bruker's and MarCCD's do."""

_MAGIC: tuple[tuple[re.Pattern[bytes], Callable[[Path], Pages]], ...] = (
    (re.compile(rb"###CBF: VERSION"), open_cbf),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), open_tiff),
    (re.compile(rb"\{\s*HEADER_BYTES"), open_dtrek),
    (re.compile(rb"\s*\{"), open_edf),
    (re.compile(rb"FORMAT :\s*(?:86|100)"), open_bruker),
    (re.compile(rb"\xd2\x04\0\0|\0\0\x04\xd2"), open_mar345),
    (re.compile(rb"\x93NUMPY"), open_npy),
)
_BY_SUFFIX = {".spe": open_spe, ".mpa": open_mpa}
"""Formats whose first bytes say nothing."""

_LOGGERS = ("fabio", "tifffile", "PIL")


def list_image(path: Path) -> Pages:
    """Find out what an image file holds; its `frame` must not be called.

    Raises InputError for a file that is damaged or of no known format.
    """
    with open_image(path) as (_, pages):
        return pages


def read_image(path: Path, numbers: Sequence[int]) -> Iterator[tuple[Pages, Counts]]:
    """Read frames of an image file one after another, each with what the file holds.

    Raises InputError for a damaged file.
    """
    with open_image(path) as (_, pages):
        for number in numbers:
            with _one_error(path):
                if number >= pages.count:
                    raise ValueError(f"frame {number} is asked for, there are {pages.count}")
                counts = pages.frame(number)
            yield pages, counts


@contextmanager
def open_image(path: Path) -> Iterator[tuple[Path, Pages]]:
    """Give an image file, unpacked for as long as the block lasts, and what it holds.

    Raises InputError for a file that is damaged or of no known format.
    """
    # Errors of whoever takes the frames are not of the file: only what reads it is watched.
    with ExitStack() as folder:
        with _one_error(path):
            plain = folder.enter_context(unpacked(path))
            pages = _open(plain)
        yield plain, pages


def _open(path: Path) -> Pages:
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError("the file is empty")
    fitting = (opener for magic, opener in _MAGIC if magic.match(start))
    opener = next(fitting, _BY_SUFFIX.get(path.suffix.lower()))
    if opener is None:
        raise ValueError("its first bytes are of no format that is known")
    return opener(path)


class _Complaints(logging.Handler):
    """Keeps what decoders only log: to fabio, a wrong checksum or missing counts are no errors."""

    # Which way the numbers of scaled Bruker frames were scaled; it is right.
    _HARMLESS = "performing correction with slope"

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        message = record.getMessage()
        if not message.startswith(self._HARMLESS):
            self.said.append(message)


@contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Turn all that decoders raise, warn of and log about a file into one InputError."""
    complaints = _Complaints()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.propagate, logger.handlers[:]) for logger in loggers]
    for logger in loggers:
        logger.propagate, logger.handlers = False, [complaints]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Of the decoders' own code, not of the file.
            for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning):
                warnings.simplefilter("ignore", category)
            yield
        if complaints.said:
            raise ValueError(complaints.said[0])
    except InputError:
        raise
    except Exception as error:  # decoders raise what they like
        said = one_line(error) or type(error).__name__
        if isinstance(error, KeyError):
            said += " is missing from its header"
        raise InputError(f"cannot read {path}: {said}: leave it out, or write it again") from None
    finally:
        for logger, (propagate, handlers) in zip(loggers, before, strict=True):
            logger.propagate, logger.handlers = propagate, handlers

"""The plate reader on a worker: one verified bundle a process, however many threads it has."""

from __future__ import annotations

from apache_beam.utils.shared import Shared

from lpr_core.bundle import Bundle, BundleError, MissingBundleError
from lpr_core.plate_reader import PlateReader, ReaderConfig, keep_opencv_to_one_thread
from pipelines.uris import OpensStores, open_store


def load_bundle(folder: str | None = None) -> Bundle:
    """Load and verify a bundle from anywhere fsspec opens; None is the default bundle.

    Raises:
        MissingBundleError: there is none, or its store cannot be reached.
        BundleError: the bundle is incomplete, or not what its manifest says.
    """
    if folder is None:
        return Bundle.load()
    try:
        fs, root = open_store(folder)
        found = [entry["name"] for entry in fs.ls(root, detail=True) if entry["type"] == "file"]
        files = {name.rpartition("/")[2]: fs.cat_file(name) for name in found}
    except Exception as error:  # a store's driver raises what it likes
        reason = type(error).__name__
        raise MissingBundleError(f"no bundle folder at {folder} ({reason})") from error
    return Bundle.from_files(files)


class SharedReader(OpensStores):
    """A handle that goes to the workers in place of the reader itself.

    All DoFns of a process that hold copies of one handle get the same reader, and with it one copy
    of the model's bytes, and as many interpreters as are at work at once.
    """

    def __init__(self, folder: str | None, sha256: str, config: ReaderConfig) -> None:
        self._folder = folder
        self._sha256 = sha256
        self._config = config
        self._shared = Shared()

    def acquire(self) -> PlateReader:
        """The process's reader.

        Raises:
            BundleError: the bundle cannot be loaded here, or is another than the launcher's.
        """
        reader: PlateReader = self._shared.acquire(self._load)
        return reader

    def _load(self) -> PlateReader:
        keep_opencv_to_one_thread()
        bundle = load_bundle(self._folder)
        if bundle.sha256 != self._sha256:
            raise BundleError(f"the bundle at {self._folder} has changed since the job was started")
        return PlateReader(bundle, self._config)

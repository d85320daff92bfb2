"""Fetch the published SpliceBERT models: download the authors' archive, take a model out of it, check every file."""

import contextlib
import gzip
import hashlib
import io
import os
import posixpath
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

import pooch
from tqdm import tqdm

from sbert_model import registry
from sbert_model.errors import ModelError, OutputError

URL_VARIABLE = "SBERT_VCF_MODELS_URL"
ARCHIVE_URL = "https://zenodo.org/records/7995778/files/models.tar.gz?download=1"
ARCHIVE_DOI = "https://doi.org/10.5281/zenodo.7995778"
MAX_ARCHIVE_BYTES = 1_000_000_000
MAX_UNPACKED_BYTES = 4_000_000_000
MAX_MEMBERS = 10_000
MAX_HEADER_BYTES = 1 << 20
"""What may be read of an archive for one member's name and attributes."""

_TIMEOUT_SECONDS = (4, 30)  # to connect to one address; between two pieces of an answer
_CHUNK_BYTES = 1 << 20
_BROKEN_ARCHIVE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


def archive_url() -> str:
    """Return where the archive is downloaded from: $SBERT_VCF_MODELS_URL (a mirror), else Zenodo."""
    return os.environ.get(URL_VARIABLE) or ARCHIVE_URL


def fetch(name: str, archive: Path | None = None, *, force: bool = False) -> Path:
    """Return the folder of the published model `name`, downloaded or taken from `archive` where it is not there yet.

    Whatever fails or is interrupted leaves the models folder as it was; `force` replaces a model that is there.
    Raises ModelError, which says what to do, for a name that cannot be fetched, without a network, and for an archive
    that is damaged, hostile or not the published one; OutputError where the folder cannot be written.
    """
    model = registry.find(name)
    if not model.published:
        raise ModelError(f"model {name} is part of the package: there is nothing to fetch")
    if registry.is_complete(model.folder) and not force:
        return model.folder
    if archive is not None and not archive.is_file():
        raise ModelError(f"{archive}: no such archive; download models.tar.gz from {ARCHIVE_DOI}")
    folder = model.folder.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as temporary:
            work = Path(temporary)
            if archive is None:
                _unpack(_download(name, work), archive_url(), model, work / "new")
            else:
                _unpack(archive, str(archive), model, work / "new")
            if model.folder.exists():
                model.folder.rename(work / "old")
            (work / "new").rename(model.folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot install model {name}: {error}; {registry.CACHE_VARIABLE} can name another folder"
        ) from error
    return model.folder


def _download(name: str, folder: Path) -> Path:
    """Download the archive into `folder`, with a progress bar on a terminal; HTTPS certificates are checked."""
    url, path = archive_url(), folder / "models.tar.gz"
    agent = f"sbert-vcf (pooch {pooch.__version__}; https://www.fatiando.org/pooch)"  # Zenodo refuses requests' own
    with _Progress(total=1, desc="models.tar.gz", unit="B", unit_scale=True, disable=None) as progress:
        downloader = pooch.HTTPDownloader(
            progressbar=progress, chunk_size=_CHUNK_BYTES, timeout=_TIMEOUT_SECONDS, headers={"User-Agent": agent}
        )
        try:
            downloader(url, str(path), None)
        except (OSError, ValueError) as error:  # every error of requests is an OSError
            raise ModelError(
                f"cannot download {url}: {_reason(error)}; download models.tar.gz by hand from {ARCHIVE_DOI} and run: "
                f"sbert-vcf models fetch {name} --from-file models.tar.gz (or give -m a model folder)"
            ) from error
    return path


class _Progress(tqdm):  # type: ignore[type-arg]
    """A progress bar that stops a download which does not end."""

    received = 0

    def reset(self, total: float | None = None) -> None:
        """Begin again; pooch does it in the end, to fill the bar."""
        self.received = 0
        super().reset(total)

    def update(self, n: float | None = 1) -> bool | None:
        """Count bytes. Raises ModelError beyond MAX_ARCHIVE_BYTES."""
        self.received += int(n or 0)
        if self.received > MAX_ARCHIVE_BYTES:
            raise ModelError(
                f"{archive_url()}: sends more than {MAX_ARCHIVE_BYTES:,} bytes: not the models.tar.gz of {ARCHIVE_DOI}"
            )
        return super().update(n)


def _reason(error: BaseException) -> str:
    """Return the innermost cause of an error of requests, without the names of its classes."""
    cause = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    if isinstance(cause, BaseException):
        return _reason(cause)
    return (cause if isinstance(cause, str) else str(error)).split("): ", 1)[-1]


def _unpack(archive: Path, origin: str, model: registry.Model, folder: Path) -> None:
    """Take the files of `model` out of `archive` into the new `folder`; `origin` names the archive in messages.

    Only files of known name and SHA-256 are kept, and no path of the archive is ever written to. All the same a member
    that leads out of the archive is a sign of tampering: the whole archive is refused.
    """
    folder.mkdir()
    missing = set(model.sha256)
    try:
        with _open_tar(archive, origin) as (tar, metered):
            size = 0
            for count, member in enumerate(tar, 1):
                size += member.size
                _check_member(member, origin, count, size)
                path = PurePosixPath(member.name)
                wanted = member.isreg() and path.parent.name == model.archive_folder and path.name in model.sha256
                stream = tar.extractfile(member) if wanted else None
                metered.allowance = MAX_HEADER_BYTES
                if stream is None:
                    continue
                metered.allowance += member.size
                digest = _copy(stream, folder / path.name)
                if digest != model.sha256[path.name]:
                    raise ModelError(
                        f"{origin}: {member.name} has SHA-256 {digest}, the published file {model.sha256[path.name]}: "
                        f"damaged, or not the archive of {ARCHIVE_DOI}; download it again, or unpack an archive "
                        "that you trust yourself and name the folder with -m"
                    )
                missing.discard(path.name)
    except _BROKEN_ARCHIVE as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise ModelError(f"{origin}: a broken archive ({reason}); download it again from {ARCHIVE_DOI}") from error
    if missing:
        raise ModelError(
            f"{origin}: no {model.archive_folder}/{min(missing)} inside: "
            f"damaged, or not the models.tar.gz of {ARCHIVE_DOI}; download it again"
        )


class _Metered:
    """An unpacked archive of which no more is read than `allowance` bytes.

    tarfile reads what a header says of its own length, and as many numbers as a sparse file says that it has, into
    memory before it shows the member.
    """

    def __init__(self, stream: io.BufferedIOBase, origin: str) -> None:
        self._stream = stream
        self._origin = origin
        self.allowance = MAX_HEADER_BYTES

    def read(self, size: int) -> bytes:
        if size > self.allowance:
            raise ModelError(f"{self._origin}: has endless headers: not the models.tar.gz of {ARCHIVE_DOI}")
        self.allowance -= size
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()


@contextlib.contextmanager
def _open_tar(archive: Path, origin: str) -> Iterator[tuple[tarfile.TarFile, _Metered]]:
    """Open a tar archive, gzipped or as a browser has unpacked it."""
    with archive.open("rb") as file:
        zipped = file.peek(2)[:2] == b"\x1f\x8b"
        metered = _Metered(gzip.GzipFile(fileobj=file) if zipped else file, origin)
        with tarfile.open(fileobj=cast(IO[bytes], metered), mode="r:") as tar:
            yield tar, metered


def _check_member(member: tarfile.TarInfo, origin: str, count: int, size: int) -> None:
    """Refuse a member that leaves the archive's folder, a device, and an archive over the limits."""
    if size > MAX_UNPACKED_BYTES or count > MAX_MEMBERS:
        limits = f"{MAX_UNPACKED_BYTES:,} bytes in {MAX_MEMBERS:,} files"
        raise ModelError(f"{origin}: unpacks to more than {limits}: not the models.tar.gz of {ARCHIVE_DOI}")
    inner = [member.name]
    if member.issym():  # relative to its own folder; a hard link's target is relative to the archive
        inner.append(posixpath.join(posixpath.dirname(member.name), member.linkname))
    elif member.islnk():
        inner.append(member.linkname)
    elif not (member.isfile() or member.isdir()):
        raise ModelError(f"{origin}: {member.name!r} is neither file nor folder: not the archive of {ARCHIVE_DOI}")
    for path in inner:
        if path.startswith("/") or posixpath.normpath(path).split("/", 1)[0] == "..":
            raise ModelError(f"{origin}: {member.name!r} leads out of the archive: not the archive of {ARCHIVE_DOI}")


def _copy(stream: IO[bytes], path: Path) -> str:
    """Copy `stream` to `path` and return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as out:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()

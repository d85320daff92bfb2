"""sbert_model.download: the published archive, good and bad, from a local server and from a file."""

import dataclasses
import hashlib
import io
import os
import shutil
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sbert_model import download, registry
from sbert_model.errors import ModelError, OutputError, SbertError

FILES = {"config.json": b"{}", "vocab.txt": b"[PAD]\n", "pytorch_model.bin": bytes(range(256)) * 400}
FOLDER = "models/SpliceBERT.1024nt"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder; the digests are those of FILES, and nothing is ever downloaded from Zenodo."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    model = dataclasses.replace(registry.MODELS["splicebert"], sha256=digests)
    monkeypatch.setitem(registry.MODELS, "splicebert", model)
    monkeypatch.setenv("SBERT_VCF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SBERT_VCF_MODELS_URL", "http://127.0.0.1:1/models.tar.gz")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "models"


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `answers`: (status, bytes, announced length)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, bytes, int]] = []
        self.agents: list[str] = []

    def offer(self, content: bytes, status: int = 200, announced: int | None = None) -> None:
        self.answers.append((status, content, len(content) if announced is None else announced))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        status, content, announced = self.server.answers.pop(0)
        self.server.agents.append(self.headers["User-Agent"])
        self.send_response(status)
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setenv("SBERT_VCF_MODELS_URL", f"http://127.0.0.1:{server.server_port}/models.tar.gz")
    yield from serving(server)


def tarball(
    files: dict[str, bytes] = FILES, folder: str = FOLDER, extra: Callable[[tarfile.TarFile], None] | None = None
) -> bytes:
    """A models.tar.gz like the published one: folders, other models, and `extra` after all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("models", folder, "models/SpliceBERT.510nt"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE
            tar.addfile(member)
        for path in ("models/SpliceBERT.510nt/config.json", f"{folder}/tokenizer.json"):
            add(tar, path, b"another")
        for name, content in files.items():
            add(tar, f"{folder}/{name}", content)
        if extra:
            extra(tar)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Callable[[tarfile.TarFile], None]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return lambda tar: tar.addfile(member)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left_behind(models: Path) -> list[str]:
    """Everything below the cache folder but the folders themselves, hidden ones included."""
    root = models.parent
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    return [path for path in files if path != "models"]


def test_download(server: Server, models: Path) -> None:
    server.offer(tarball())
    assert download.fetch("splicebert") == models / "SpliceBERT.1024nt"
    assert contents(models / "SpliceBERT.1024nt") == FILES
    assert [path.name for path in models.iterdir()] == ["SpliceBERT.1024nt"]
    assert registry.resolve("splicebert") == models / "SpliceBERT.1024nt"


def test_zenodo_gets_a_name_of_the_client(server: Server) -> None:
    server.offer(tarball())
    download.fetch("splicebert")
    assert server.agents[0].startswith("sbert-vcf (pooch ")


def test_a_model_that_is_there_is_not_fetched_again(server: Server, models: Path) -> None:
    server.offer(tarball())
    download.fetch("splicebert")
    assert download.fetch("splicebert") == models / "SpliceBERT.1024nt"
    assert len(server.agents) == 1


def test_force_replaces_a_model(server: Server, models: Path) -> None:
    folder = models / "SpliceBERT.1024nt"
    folder.mkdir(parents=True)
    for name in (*FILES, "stray"):
        (folder / name).write_bytes(b"old")
    server.offer(tarball())
    download.fetch("splicebert", force=True)
    assert contents(folder) == FILES
    assert [path.name for path in models.iterdir()] == ["SpliceBERT.1024nt"]


def test_a_forced_fetch_that_fails_keeps_the_old_model(server: Server, models: Path) -> None:
    server.offer(tarball())
    server.offer(b"", status=503)
    download.fetch("splicebert")
    with pytest.raises(ModelError, match="503"):
        download.fetch("splicebert", force=True)
    assert contents(models / "SpliceBERT.1024nt") == FILES


def test_an_incomplete_folder_is_replaced(server: Server, models: Path) -> None:
    (models / "SpliceBERT.1024nt").mkdir(parents=True)
    (models / "SpliceBERT.1024nt" / "config.json").write_text("half")
    server.offer(tarball())
    download.fetch("splicebert")
    assert contents(models / "SpliceBERT.1024nt") == FILES


def test_a_dropped_connection_leaves_nothing_and_the_next_try_succeeds(server: Server, models: Path) -> None:
    whole = tarball()
    server.offer(whole[: len(whole) // 2], announced=len(whole))
    server.offer(whole)
    with pytest.raises(ModelError, match=r"cannot download http://127.*: .*IncompleteRead"):
        download.fetch("splicebert")
    assert left_behind(models) == []
    download.fetch("splicebert")
    assert contents(models / "SpliceBERT.1024nt") == FILES


def test_an_interrupt_leaves_nothing(server: Server, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> str:
        assert list(models.rglob("config.json")) == [] != list(models.rglob("models.tar.gz"))
        raise KeyboardInterrupt

    server.offer(tarball())
    monkeypatch.setattr(download, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download.fetch("splicebert")
    assert left_behind(models) == []


def test_the_error_says_what_to_do_instead(models: Path) -> None:
    with pytest.raises(ModelError) as raised:
        download.fetch("splicebert")
    assert str(raised.value) == (
        "cannot download http://127.0.0.1:1/models.tar.gz: Failed to establish a new connection: "
        f"[Errno {111 if os.uname().sysname == 'Linux' else 61}] Connection refused; "
        "download models.tar.gz by hand from https://doi.org/10.5281/zenodo.7995778 and run: "
        "sbert-vcf models fetch splicebert --from-file models.tar.gz (or give -m a model folder)"
    )
    assert left_behind(models) == []


def test_a_download_without_end(server: Server, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_ARCHIVE_BYTES", 3_000_000)
    server.offer(bytes(3_500_000))
    with pytest.raises(ModelError, match="sends more than 3,000,000 bytes"):
        download.fetch("splicebert")
    assert left_behind(models) == []


def test_not_found(server: Server, models: Path) -> None:
    server.offer(b"<html>", status=404)
    with pytest.raises(ModelError, match=r"cannot download .*: 404 Client Error: Not Found"):
        download.fetch("splicebert")
    assert left_behind(models) == []


def test_a_url_that_is_none(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBERT_VCF_MODELS_URL", "models.tar.gz")
    with pytest.raises(ModelError, match=r"cannot download models\.tar\.gz: Invalid URL"):
        download.fetch("splicebert")
    assert left_behind(models) == []


def test_the_default_is_zenodo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SBERT_VCF_MODELS_URL")
    assert download.archive_url() == "https://zenodo.org/records/7995778/files/models.tar.gz?download=1"


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_signed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tmp_path / "self-signed.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names, "-keyout", pem, "-out", pem], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SBERT_VCF_MODELS_URL", f"https://127.0.0.1:{server.server_port}/models.tar.gz")
    for _ in serving(server):
        with pytest.raises(ModelError, match="CERTIFICATE_VERIFY_FAILED"):
            download.fetch("splicebert")


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_digest_is_refused(server: Server, models: Path, name: str) -> None:
    server.offer(tarball({**FILES, name: b"tampered"}))
    digest = hashlib.sha256(b"tampered").hexdigest()
    with pytest.raises(ModelError, match=rf"^http://127.*: {FOLDER}/{name} has SHA-256 {digest}, the published file "):
        download.fetch("splicebert")
    assert left_behind(models) == []


def bomb(tar: tarfile.TarFile) -> None:
    for number in range(3):
        add(tar, f"{FOLDER}/zeros{number}", bytes(60_000))


def crowd(tar: tarfile.TarFile) -> None:
    for number in range(60):
        add(tar, f"{FOLDER}/{number}", b"")


def with_attributes(attributes: dict[str, str], content: bytes = b"") -> Callable[[tarfile.TarFile], None]:
    member = tarfile.TarInfo(f"{FOLDER}/attributes")
    member.pax_headers, member.size = attributes, len(content)
    return lambda tar: tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (lambda tar: add(tar, "models/../../outside", b"x"), r"'models/\.\./\.\./outside' leads out of the archive"),
        (lambda tar: add(tar, "..", b"x"), r"'\.\.' leads out"),
        (lambda tar: add(tar, "/tmp/outside", b"x"), "'/tmp/outside' leads out"),
        (link(f"{FOLDER}/up", "../../../outside"), "up' leads out"),
        (link(f"{FOLDER}/etc", "/etc/passwd"), "etc' leads out"),
        (link(f"{FOLDER}/hard", "../outside", tarfile.LNKTYPE), "hard' leads out"),
        (link("models/pipe", "", tarfile.FIFOTYPE), "'models/pipe' is neither file nor folder"),
        (bomb, "unpacks to more than 200,000 bytes in 50 files"),
        (crowd, "unpacks to more than 200,000 bytes in 50 files"),
        (lambda tar: add(tar, "x" * 3_000_000, b""), "has endless headers"),
        (with_attributes({"comment": "x" * 3_000_000}), "has endless headers"),
        (
            with_attributes({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, b"9999999\n" * 300_000),
            "endless headers",
        ),
    ],
)
@pytest.mark.parametrize("from_file", [False, True])
def test_a_hostile_archive_is_refused(
    server: Server,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    extra: Callable[[tarfile.TarFile], None],
    message: str,
    from_file: bool,
) -> None:
    monkeypatch.setattr(download, "MAX_UNPACKED_BYTES", 200_000)
    monkeypatch.setattr(download, "MAX_MEMBERS", 50)
    archive = tmp_path / "hostile.tar.gz"
    archive.write_bytes(tarball(extra=extra))
    server.offer(archive.read_bytes())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ModelError, match=message):
        download.fetch("splicebert", archive if from_file else None)
    assert left_behind(models) == []
    assert sorted(path for path in tmp_path.iterdir() if path.name != "cache") == before


def test_links_that_stay_inside_do_no_harm(models: Path, tmp_path: Path) -> None:
    archive = tmp_path / "models.tar.gz"
    archive.write_bytes(tarball(extra=link("models/latest", "SpliceBERT.1024nt")))
    assert contents(download.fetch("splicebert", archive)) == FILES


def test_a_link_is_no_weights(models: Path, tmp_path: Path) -> None:
    archive = tmp_path / "models.tar.gz"
    files = {name: content for name, content in FILES.items() if name != "pytorch_model.bin"}
    archive.write_bytes(tarball(files, extra=link(f"{FOLDER}/pytorch_model.bin", "elsewhere")))
    with pytest.raises(ModelError, match=r"no SpliceBERT\.1024nt/pytorch_model\.bin inside"):
        download.fetch("splicebert", archive)


@pytest.mark.parametrize("folder", ["SpliceBERT.1024nt", "./models/SpliceBERT.1024nt", FOLDER])
def test_from_file(models: Path, tmp_path: Path, folder: str) -> None:
    archive = tmp_path / "models.tar.gz"
    archive.write_bytes(tarball(folder=folder))
    assert download.fetch("splicebert", archive) == models / "SpliceBERT.1024nt"
    assert contents(models / "SpliceBERT.1024nt") == FILES
    assert archive.is_file()


def test_from_a_file_that_the_browser_has_unpacked(models: Path, tmp_path: Path) -> None:
    archive = tmp_path / "models.tar"
    with tarfile.open(fileobj=io.BytesIO(tarball())) as source, tarfile.open(archive, "w") as plain:
        for member in source:
            plain.addfile(member, source.extractfile(member))
    assert contents(download.fetch("splicebert", archive)) == FILES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>Not an archive</html>", "a broken archive"),
        (b"", "a broken archive"),
        (tarball()[:400], "a broken archive"),
        (tarball()[:200] + bytes(200) + tarball()[400:], "a broken archive|damaged"),
        (
            tarball(folder="models/SpliceBERT.9nt"),
            r"no SpliceBERT\.1024nt/config\.json inside: damaged, or not the models\.tar",
        ),
    ],
)
def test_a_broken_file_is_refused(models: Path, tmp_path: Path, content: bytes, message: str) -> None:
    archive = tmp_path / "models.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(ModelError, match=message) as raised:
        download.fetch("splicebert", archive)
    assert str(raised.value).startswith(f"{archive}: ")
    assert "\n" not in str(raised.value)
    assert left_behind(models) == []


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tar\.gz: no such archive; download models\.tar\.gz from https://doi"):
        download.fetch("splicebert", tmp_path / "none.tar.gz")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SBERT_VCF_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot install model splicebert.*SBERT_VCF_CACHE can name another folder"):
        download.fetch("splicebert")


@pytest.mark.parametrize(
    ("name", "message"), [("bundled", "nothing to fetch"), ("splicebrt", "did you mean splicebert"), ("a/b", "called")]
)
def test_only_published_models_are_fetched(name: str, message: str) -> None:
    with pytest.raises(SbertError, match=message):
        download.fetch(name)

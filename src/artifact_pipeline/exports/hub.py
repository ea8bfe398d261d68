"""Uploads to Hugging Face's Hub through its own client and the client's login.

Source: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import CARD, MANIFEST, MODEL_ONNX, MODEL_SKOPS
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.errors import CallError, Location, MissingDependency, NetworkError, quoted
from artifact_pipeline.exports import onnx_bundle
from artifact_pipeline.log import Log, scrub
from artifact_pipeline.verification.verify import Verified

_LOG = Log(__name__)
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"{_PART}/{_PART}")
_WRITTEN = {CARD, MANIFEST, MODEL_ONNX, MODEL_SKOPS, *onnx_bundle.NAMES}
"""The files that an export may have written; a commit leaves all other files unchanged."""
_MAX_PROBLEM = 300
_SILENCE = 120.0
"""Seconds without a response after which an upload fails; the client would wait forever."""
_ADDRESS_REMEDY = "check the connection and HF_ENDPOINT"
_XET_REMEDY = "set HF_HUB_DISABLE_XET=1 if this Hub has no Xet storage"
_REMEDIES = {
    400: "correct what the Hub refuses, and try again",
    401: "check HF_TOKEN, or log in again with: hf auth login",
    403: "use a token that may write to this repository",
    404: "check the name, and that the token may write to it",
    409: "another upload is under way: try again",
    412: "it has changed meanwhile: try again",
    429: "try again later",
}


class Uploaded(Struct, frozen=True, kw_only=True):
    """The files of an export in a repository of the Hub."""

    url: str
    """The address of the commit that has them."""
    changed: bool
    """Whether the commit is new."""


def check_repository(repository: str) -> None:
    """Check the name of a repository.

    Raises:
        CallError: If the Hub does not allow it.
    """
    if not _REPOSITORY.fullmatch(repository) or "--" in repository or ".." in repository:
        raise CallError(
            f"found {quoted(repository)}, expected OWNER/NAME, as on the Hub",
            location=Location("--repo"),
        )


def upload(
    verified: Verified, files: Mapping[str, bytes], *, repository: str, private: bool
) -> Uploaded:
    """Upload files in one commit to a repository, which is created if it does not exist.

    Args:
        verified: The artifact that they are from.
        files: The content of each file by its name.
        repository: `OWNER/NAME`.
        private: Whether the repository must be private.

    Raises:
        CallError: If the repository exists and is public, and must be private.
        MissingDependency: If `huggingface_hub` is not installed.
        NetworkError: If the Hub cannot be reached or refuses, or the user is not logged in.
    """
    import warnings

    library = _library()
    token = _token(library)
    with (
        _hub_errors(library.constants.ENDPOINT, repository=repository, token=token),
        warnings.catch_warnings(record=True) as caught,
    ):
        library.utils.disable_progress_bars()
        library.utils.logging.set_verbosity_error()
        library.utils.get_session().timeout = _SILENCE
        client = library.HfApi(token=token, library_name="artifact-pipeline")
        client.create_repo(repository, private=True if private else None, exist_ok=True)
        info = client.model_info(repository)
        if private and not info.private:
            raise CallError(
                "exists and is public",
                location=Location(repository),
                remedy="make it private on the Hub, or leave out --private",
            )
        outdated = {file.rfilename for file in info.siblings or ()} & _WRITTEN - files.keys()
        commit = client.create_commit(
            repository,
            [
                *(library.CommitOperationDelete(name) for name in sorted(outdated)),
                *(library.CommitOperationAdd(name, files[name]) for name in sorted(files)),
            ],
            commit_message=f"Upload {describe.model_name_of(verified.manifest.recipe)} "
            f"{verified.digest[7:19]}",
            commit_description=f"From the sealed artifact {verified.digest}.",
            parent_commit=info.sha,
        )
    for warning in caught:
        _LOG.debug("%s: %s", repository, " ".join(str(warning.message).split()))
    return Uploaded(url=scrub(str(commit.commit_url)), changed=commit.oid != info.sha)


def _token(library: Any) -> str:
    """Return the token of the client's login."""
    location = Location(scrub(library.constants.ENDPOINT))
    if library.constants.HF_HUB_OFFLINE:
        raise NetworkError(
            "HF_HUB_OFFLINE is set, so nothing can be uploaded",
            location=location,
            remedy="unset it, or leave out --repo to write a folder",
        )
    try:
        token: str | None = library.get_token()
    except (OSError, ValueError) as error:
        raise NetworkError(
            f"the login cannot be read: {type(error).__name__}",
            location=location,
            remedy="set HF_TOKEN, or log in with: hf auth login",
        ) from error
    if token is None:
        raise NetworkError("not logged in", location=location,
                           remedy="set HF_TOKEN, or log in with: hf auth login")  # fmt: skip
    if not re.fullmatch("[!-~]+", token):
        raise NetworkError("the token contains an invalid character", location=location,
                           remedy=_REMEDIES[401])  # fmt: skip
    return token


def _check_address(endpoint: str) -> None:
    try:
        address = urlsplit(endpoint)
        is_usable = address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise NetworkError("is not an http or https address",
                           location=Location(scrub(endpoint)),
                           remedy="correct HF_ENDPOINT")  # fmt: skip


@contextmanager
def _hub_errors(endpoint: str, *, repository: str, token: str) -> Iterator[None]:
    """Translate the errors of the client, without the token and without passwords."""
    try:
        yield
    except CallError:
        raise
    except Exception as error:  # noqa: BLE001  (the client raises those of several libraries)
        # Without its cause, which may quote the token.
        cause = error
        if type(error) is RuntimeError and isinstance(error.__cause__, Exception):
            cause = error.__cause__  # the upload of one file
        status = getattr(getattr(cause, "response", None), "status_code", None)
        problem = f"{type(cause).__name__}: {cause}"
        if status is not None:
            answer = getattr(cause, "server_message", None) or ""
            problem = f"the Hub returned {status} {answer}"
        elif isinstance(cause, ValueError) and "metadata" in str(cause):
            status, problem = 400, str(cause)
        text = scrub(" ".join(problem.split())).replace(token, "***")
        remedy = _XET_REMEDY if "xet" in text else _REMEDIES.get(status or 0, _ADDRESS_REMEDY)
        raise NetworkError(
            write_out(text)[:_MAX_PROBLEM],
            location=Location(f"{scrub(endpoint)}/{repository}"),
            remedy=remedy,
        ) from None


def _library() -> Any:
    """Return the client, which reads its variables when it is imported."""
    import os

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    _check_address(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        import huggingface_hub.constants
        import huggingface_hub.utils.logging
    except ImportError as error:
        raise MissingDependency(
            str(error), location=Location("huggingface_hub"), remedy="pip install huggingface_hub"
        ) from error
    return huggingface_hub

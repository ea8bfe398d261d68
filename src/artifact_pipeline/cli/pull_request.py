"""The comment on a pull request, written through GitHub's REST API from a job of GitHub Actions.

Each marker has one comment. The marker is the first line of the text, which HTML hides. Only
comments of the token's own user are replaced, because anyone can write a marker.

Source: https://docs.github.com/rest/issues/comments
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.errors import Location, NetworkError

if TYPE_CHECKING:
    import urllib.request

MAX_COMMENT = 65_536
"""Characters of a comment that GitHub accepts."""
_PER_PAGE = 100
_MAX_PAGES = 100
_MAX_RESPONSE = 32 << 20
_TIMEOUT = 30.0
_LOCAL = re.compile(r"http://(localhost|127\.\d+\.\d+\.\d+)(:\d+)?(/|$)")
_WHO = json.dumps({"query": "query { viewer { login } }"}).encode()


class PullRequest(Struct, frozen=True, kw_only=True):
    """The pull request that a job runs for."""

    api: str
    """The address of the REST API."""
    graphql: str
    repository: str
    number: int
    commit: str
    """The head of its branch; the job may run on a merge of it."""


def of_job() -> PullRequest | None:
    """Return the pull request that the runner's variables name; None outside of one."""
    path, repository = os.environ.get("GITHUB_EVENT_PATH"), os.environ.get("GITHUB_REPOSITORY", "")
    if not path or not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return None
    try:
        event = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):  # outside of a runner the variable may name anything
        return None
    pull_request = event.get("pull_request") if isinstance(event, dict) else None
    if not isinstance(pull_request, dict) or not isinstance(pull_request.get("number"), int):
        return None
    head = pull_request.get("head")
    commit = str(head.get("sha", "")) if isinstance(head, dict) else ""
    api = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    return PullRequest(
        api=api,
        graphql=os.environ.get("GITHUB_GRAPHQL_URL") or f"{api}/graphql",
        repository=repository,
        number=pull_request["number"],
        commit=commit if re.fullmatch(r"[0-9a-f]{40,64}", commit) else "",
    )


def put_comment(pull_request: PullRequest, body: str, *, marker: str, token: str) -> str:
    """Write a comment, or replace the one with the same marker, and return its address.

    Args:
        pull_request: Where to write it.
        body: Its text in Markdown, which begins with `marker`.
        marker: A line that HTML hides.
        token: The token of the job. It is sent to the API and nowhere else.

    Raises:
        NetworkError: If GitHub cannot be reached, or does not accept the comment.
    """
    if not token:
        raise NetworkError("the job has no token", location=Location("GitHub"))
    comments = f"{pull_request.api}/repos/{pull_request.repository}/issues"
    text = json.dumps({"body": body}).encode()
    own = _own_comment(pull_request, marker, token=token)
    if own is not None:
        try:
            answer = _call("PATCH", f"{comments}/comments/{own}", token=token, data=text)
            return str(answer.get("html_url", ""))
        except _NotFound:
            pass  # it was deleted meanwhile
    answer = _call("POST", f"{comments}/{pull_request.number}/comments", token=token, data=text)
    return str(answer.get("html_url", ""))


class _NotFound(NetworkError):
    """GitHub returned 404, or 410 for a deleted comment."""


def _own_comment(pull_request: PullRequest, marker: str, *, token: str) -> int | None:
    """Return the id of the first comment with a marker that the token's user wrote."""
    login = None
    for comment in _comments(pull_request, token=token):
        if not str(comment.get("body") or "").startswith(marker):
            continue
        login = login or _login(pull_request, token=token)
        user = comment.get("user")
        if isinstance(user, dict) and user.get("login") == login and login:
            return int(comment["id"])
    return None


def _comments(pull_request: PullRequest, *, token: str) -> Iterator[dict[str, Any]]:
    address = f"{pull_request.api}/repos/{pull_request.repository}/issues/{pull_request.number}"
    for page in range(1, _MAX_PAGES + 1):
        query = f"per_page={_PER_PAGE}&page={page}"
        comments = _call("GET", f"{address}/comments?{query}", token=token)
        if not isinstance(comments, list):
            raise NetworkError(
                "the response is not a list of comments", location=Location("GitHub")
            )
        yield from (comment for comment in comments if isinstance(comment, dict))
        if len(comments) < _PER_PAGE:
            return


def _login(pull_request: PullRequest, *, token: str) -> str:
    """Return the user of a token. The REST API does not return the user of a job's token."""
    answer = _call("POST", pull_request.graphql, token=token, data=_WHO)
    try:
        return str(answer["data"]["viewer"]["login"])
    except (KeyError, TypeError) as error:
        problem = "the response does not name the token's user"
        raise NetworkError(problem, location=Location("GitHub")) from error


def _call(method: str, url: str, *, token: str, data: bytes | None = None) -> Any:
    """Send a request and return the JSON of the response. Raises NetworkError."""
    import http.client
    import urllib.error
    import urllib.request

    location = Location("GitHub")
    if not url.startswith("https://") and not _LOCAL.match(url):
        raise NetworkError("the address of the API is not https://", location=location)
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "User-Agent": "artifact-pipeline",
        "X-GitHub-Api-Version": "2022-11-28",
        **({"Content-Type": "application/json"} if data else {}),
    }
    try:
        request = urllib.request.Request(url, data, headers, method=method)
        with _opener().open(request, timeout=_TIMEOUT) as response:
            content = response.read(_MAX_RESPONSE)
        return json.loads(content)
    except urllib.error.HTTPError as error:
        with error:
            reason = _reason(error.read(4096))
        kind = _NotFound if error.code in (404, 410) else NetworkError
        raise kind(f"returned {error.code}{reason}", location=location) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        # The cause is not chained: it may quote the header with the token.
        raise NetworkError(f"cannot be used: {type(error).__name__}", location=location) from None


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that follows no redirect, because a redirect would forward the token."""
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    return urllib.request.build_opener(NoRedirect)


def _reason(content: bytes) -> str:
    """Return the message of an error response."""
    try:
        message = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {write_out(str(message))[:200]}"

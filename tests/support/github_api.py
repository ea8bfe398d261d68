"""The part of GitHub's API that comments on pull requests use, as strict as GitHub's own.

Sources: https://docs.github.com/rest/issues/comments, /rest/using-the-rest-api (authentication, the
required User-Agent, versions, pagination), and GitHub's responses: 401 "Bad
credentials", 403 "Resource not accessible by integration" for a read-only token.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.json_server import JsonHandler

VERSIONS = {"2022-11-28", "2026-03-10"}
REPOSITORY = "acme/churn"
BOT = "github-actions[bot]"


class GitHub:
    """A repository with one pull request, and the tokens that may use it."""

    def __init__(self, number: int = 7) -> None:
        self.number = number
        self.comments: list[dict[str, Any]] = []
        self.users = {"writes": BOT, "reads": BOT, "app": "acme[bot]"}
        self.read_only = {"reads"}
        self.requests: list[tuple[str, str]] = []
        self.fails: dict[str, tuple[int, dict[str, str], bytes]] = {}
        """Wrong responses to send, by method."""
        self.url = ""
        self._next = 5_000_000_000  # over 2**31, as today's are

    def write(self, login: str, body: str) -> dict[str, Any]:
        """Add a comment by a user."""
        self._next += 1
        comment = {
            "id": self._next,
            "user": {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"},
            "body": body,
            "html_url": f"https://github.com/{REPOSITORY}/pull/{self.number}#{self._next}",
        }
        self.comments.append(comment)
        return comment

    def by(self, login: str = BOT) -> list[str]:
        """Return the texts of a user's comments."""
        return [comment["body"] for comment in self.comments if comment["user"]["login"] == login]


class _Handler(JsonHandler):
    github: GitHub

    def _serve(self) -> None:
        github, method = self.github, self.command
        github.requests.append((method, self.path))
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if method in github.fails:
            status, headers, content = github.fails[method]
            return self.answer(status, content, headers)
        if not self.headers.get("User-Agent"):
            return self._refuse(403, "Request forbidden by administrative rules.")
        if self.headers.get("X-GitHub-Api-Version", "2022-11-28") not in VERSIONS:
            return self._refuse(400, "Not a supported version")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in ("bearer", "token") or token not in github.users:
            return self._refuse(401, "Bad credentials" if token else "Requires authentication")
        address = urlsplit(self.path)
        if method == "POST" and address.path == "/graphql":
            return self._graphql(data, github.users[token])
        issues = f"/repos/{REPOSITORY}/issues"
        listed = f"{issues}/{github.number}/comments"
        if method == "GET" and address.path == listed:
            return self._list(address.query)
        one = re.fullmatch(rf"{issues}/comments/(\d+)", address.path)
        if not (method == "POST" and address.path == listed) and not (method == "PATCH" and one):
            return self._refuse(404, "Not Found")
        if token in github.read_only:
            return self._refuse(403, "Resource not accessible by integration")
        try:
            body = json.loads(data)["body"]
        except (ValueError, KeyError, TypeError):
            return self._refuse(400, "Problems parsing JSON")
        if not isinstance(body, str) or not body.strip() or len(body) > 65_536:
            return self._refuse(422, "Validation Failed")
        if method == "POST":
            return self.answer_json(201, github.write(github.users[token], body))
        for comment in github.comments:
            if one and comment["id"] == int(one[1]):
                comment["body"] = body
                return self.answer_json(200, comment)
        return self._refuse(404, "Not Found")

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815

    def _graphql(self, data: bytes, login: str) -> None:
        query = " ".join(str(json.loads(data)["query"]).split())
        if not re.fullmatch(r"(query )?\{ ?viewer ?\{ ?login ?\} ?\}", query):
            return self.answer_json(200, {"errors": [{"type": "undefinedField", "message": query}]})
        return self.answer_json(200, {"data": {"viewer": {"login": login}}})

    def _list(self, query: str) -> None:
        values = {name: int(texts[0]) for name, texts in parse_qs(query).items()}
        size, page = min(values.get("per_page", 30), 100), values.get("page", 1)
        start = (page - 1) * size
        shown = self.github.comments[start : start + size]
        more = len(self.github.comments) > start + size
        link = f'<{self.github.url}{self.path}&page={page + 1}>; rel="next"'
        self.answer_json(200, shown, {"Link": link} if more else {})

    def _refuse(self, status: int, message: str) -> None:
        self.answer_json(
            status, {"message": message, "documentation_url": "", "status": str(status)}
        )


@contextmanager
def github_api() -> Iterator[GitHub]:
    """Serve the API on this machine until the block ends."""
    github = GitHub()
    handler = type("Handler", (_Handler,), {"github": github})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        github.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield github
        finally:
            server.shutdown()
            thread.join()

"""`python -m tests.support.google_storage PORT`: a stand-in for Google Cloud Storage.

The XML API of Google Cloud Storage is that of S3, but conditions use the generation of an
object, a number that each write changes. This is moto's S3 with generations in front of it.

Source: https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

_AUTHORIZATION = (  # moto reads the service and the account, and checks no signature
    "AWS4-HMAC-SHA256 Credential=tester/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)


class Generations:
    """A WSGI application that translates generations into ETags and back."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._etags: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["HTTP_AUTHORIZATION"] = _AUTHORIZATION
        generation = environ.get("HTTP_X_GOOG_IF_GENERATION_MATCH")
        if generation == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        elif generation is not None:
            environ["HTTP_IF_MATCH"] = self._etags.get(generation, '"none"')

        def respond(status: str, headers: list[tuple[str, str]], *words: Any) -> Any:
            etag = next((value for name, value in headers if name.lower() == "etag"), None)
            if etag is not None:
                own = str(int(etag.strip('"').partition("-")[0][:15], 16))
                self._etags[own] = etag
                headers = [*headers, ("x-goog-generation", own)]
            return start_response(status, headers, *words)

        return self._application(environ, respond)


def main(port: int) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    application = Generations(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, application, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""A registry that lies: it is refused, nothing is kept, and no other host gets credentials."""

import json
import threading

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import NetworkError, VerificationError
from artifact_pipeline.remote.registry import client
from artifact_pipeline.store.store import Store
from tests.support.hostile_registry import HostileRegistry, cut, endless, send
from tests.support.remotes import LOGIN, docker_login
from tests.support.waiting import HANG

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def registry(digits, tmp_path, monkeypatch):
    with HostileRegistry(digits.folder).serving() as registry:
        for name, value in docker_login(tmp_path, registry.host).items():
            monkeypatch.setenv(name, value)
        yield registry


def pull(registry, store, suffix=""):
    return api.pull(f"oci://{registry.host}/acme/churn{suffix}", store=store)


def test_the_stand_in_is_a_registry_as_long_as_it_tells_the_truth(registry, elsewhere, digits):
    assert pull(registry, elsewhere).digest == digits.digest
    assert pull(registry, elsewhere, f"@{digits.digest}").version == 1


def answering(data, status=200, **headers):
    return lambda handler: send(handler, status, data, **headers)


def following(url):
    return answering(b'{"tags": []}', Link=f'<{url}>; rel="next"')


def lies(registry):
    """Return lies by name: what is sent for a part of a path."""
    model, blob = registry.blobs[registry.model], f"blobs/{registry.model}"
    own = json.loads(registry.pack.data)
    listed = {"mediaType": own["mediaType"], "digest": registry.pack.digest,
              "size": len(registry.pack.data)}  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}
    loop = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**listed, "mediaType": INDEX}]}
    annotations = {**own["annotations"], "io.artifact-pipeline.digest": "sha256:" + "0" * 64}
    other = {**own, "annotations": annotations}
    url = f"http://{registry.host}/v2/acme/churn"
    return {
        "other bytes": (blob, answering(b"0" + model[1:])),
        "fewer bytes": (blob, answering(model[:-1])),
        "more bytes": (blob, answering(model + b"0")),
        "cut": (blob, cut(model)),
        "endless": (blob, endless),
        "endless manifest": ("manifests/latest", endless),
        "endless artifact manifest": (f"blobs/{registry.digest}", endless),
        "compressed": (blob, answering(model, Content_Encoding="gzip")),
        "no blob": (blob, answering(b"", 404)),
        "server error": (blob, answering(b"", 500)),
        "redirects in a circle": (blob, answering(b"", 307, Location=f"{url}/{blob}")),
        "redirect without TLS": (blob, answering(b"", 307, Location="http://example.invalid/x")),
        "redirect to a file": (blob, answering(b"", 307, Location="file:///etc/passwd")),
        "list": ("manifests/latest", answering(json.dumps(index).encode())),
        "list of lists": ("manifests/latest", answering(json.dumps(loop).encode())),
        "another digest": ("manifests/latest", answering(json.dumps(other).encode())),
        "an image": ("manifests/latest", answering(b'{"schemaVersion": 2, "layers": []}')),
        "nested": ("manifests/latest", answering(b"[" * 100_000)),
        "no JSON": ("manifests/latest", answering(b"\xff\xfe")),
        "tags in a circle": ("tags/list", following(f"{url}/tags/list?n=1000")),
        "tags elsewhere": ("tags/list", following("http://127.0.0.1:1/x")),
        "nested tags": ("tags/list", answering(b'{"x": ' + b"[" * 100_000)),
        "endless login": ("/v2/", endless),
        "referrers": ("referrers/", answering(b'{"manifests": [{"digest": "../.."}]}')),
    }


@pytest.mark.parametrize("name", [
    "other bytes", "fewer bytes", "more bytes", "cut", "endless", "endless manifest",
    "endless artifact manifest", "compressed", "no blob", "server error", "redirects in a circle",
    "redirect without TLS", "redirect to a file", "list", "list of lists", "another digest",
    "an image", "nested", "no JSON", "tags in a circle", "tags elsewhere", "referrers",
    "nested tags", "endless login",
])  # fmt: skip
def test_a_lie_is_refused_and_nothing_is_kept(name, registry, elsewhere):
    part, answer = lies(registry)[name]
    registry.answers[part] = answer
    with pytest.raises((VerificationError, NetworkError)) as caught:
        pull(registry, elsewhere)
    assert caught.value.exit_code in (4, 5) and "\n" not in str(caught.value)
    assert LOGIN[1] not in str(caught.value)
    assert not Store(elsewhere).artifacts.digests() and not list(elsewhere.glob("staging/*"))
    registry.answers.clear()
    assert pull(registry, elsewhere).downloaded == 4


def basic(registry, part):
    """Require a login for a part of a path."""

    def answer(handler):
        if handler.headers["Authorization"] is None:
            send(handler, 401, b"", WWW_Authenticate='Basic realm="tests"')
        else:
            registry.answer_truly(handler)

    registry.answers[part] = answer


def test_a_redirect_to_another_host_is_followed_without_credentials(registry, elsewhere, digits):
    with HostileRegistry(digits.folder).serving() as storage:
        basic(registry, "manifests/latest")
        place = f"http://127.0.0.1:{storage.port}/v2/acme/churn/blobs/{registry.model}"
        registry.answers[f"blobs/{registry.model}"] = answering(b"", 307, Location=place)
        assert pull(registry, elsewhere).digest == digits.digest
        assert any(authorization for _, _, authorization in registry.requests)
        assert storage.requests and not any(header for _, _, header in storage.requests)


def test_a_token_service_gets_the_login_only_on_the_same_host(registry, elsewhere, digits):
    with HostileRegistry(digits.folder).serving() as service:
        service.answers["/token"] = answering(b'{"token": "granted"}')

        def challenge(host):
            def answer(handler):
                if handler.headers["Authorization"] == "Bearer granted":
                    registry.answer_truly(handler)
                else:
                    realm = f'Bearer realm="http://{host}:{service.port}/token",service="tests"'
                    send(handler, 401, b"", WWW_Authenticate=realm)

            return answer

        for host, gets_login in (("127.0.0.1", False), ("localhost", True)):
            registry.answers["manifests/latest"] = challenge(host)
            assert pull(registry, elsewhere).digest == digits.digest
            method, path, authorization = service.requests.pop()
            assert method == "GET" and "scope=repository%3Aacme%2Fchurn%3Apull" in path
            assert (authorization is not None) == gets_login


@pytest.mark.parametrize("token", [
    b'{"x": ' + b"[" * 100_000, b'{"token": null}', b'{"token": "a\\nHost: x"}', b"[]",
])  # fmt: skip
def test_a_token_that_is_none_is_refused(token, registry, elsewhere):
    realm = f'Bearer realm="http://{registry.host}/token"'
    registry.answers["manifests/"] = answering(b"", 401, WWW_Authenticate=realm)
    registry.answers["/token"] = answering(token)
    with pytest.raises(NetworkError, match="returned no token"):
        pull(registry, elsewhere)


@pytest.mark.parametrize("by", ["redirect", "token service"])
def test_a_registry_elsewhere_leads_to_no_service_of_this_machine(
    by, registry, elsewhere, digits, monkeypatch
):
    """Here only 127.0.0.1 is this machine, so localhost is another one."""
    monkeypatch.setattr(client, "is_loopback", lambda host: host == "127.0.0.1")
    monkeypatch.setattr(client.RegistryClient, "_origin", lambda own: f"http://{own._host}")
    with HostileRegistry(digits.folder).serving() as inner:
        place = f"http://127.0.0.1:{inner.port}/v2/acme/churn/manifests/latest"
        registry.answers["manifests/latest"] = (
            answering(b"", 307, Location=place) if by == "redirect"
            else answering(b"", 401, WWW_Authenticate=f'Bearer realm="{place}"')
        )  # fmt: skip
        with pytest.raises(NetworkError, match=r"without TLS|no safe token service"):
            pull(registry, elsewhere)
        assert not inner.requests


@pytest.mark.parametrize(("registry_host", "service", "expected"), [
    ("ghcr.io", "ghcr.io", True), ("registry-1.docker.io", "auth.docker.io", True),
    ("ghcr.io", "ghcr.io.evil.com", False), ("a.example.co.uk", "b.other.co.uk", False),
    ("10.0.0.5", "99.0.0.5", False), ("10.0.0.5", "10.0.0.5", True),
    ("10.0.0.5", "1.10.0.0.5", False),
    ("fe80::1", "fe80::2", False), ("localhost", "evil.localhost", False),
])  # fmt: skip
def test_a_login_goes_only_to_a_token_service_of_the_same_owner(registry_host, service, expected):
    assert client._is_related(service, registry_host) == expected


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x", "//example.invalid/x", ""])
def test_an_upload_goes_to_no_other_host(location, registry, store):
    registry.answers["uploads/"] = answering(b"", 202, Location=location)
    registry.answers["manifests/latest"] = answering(b"", 404)
    registry.answers["blobs/sha256"] = answering(b"", 404)
    with pytest.raises(NetworkError):
        api.push("latest", f"oci://{registry.host}/acme/churn", store=store)


def test_a_registry_that_is_busy_is_asked_again_when_it_says(registry, elsewhere, digits):
    """After a minute at most; otherwise the error says when."""

    def busy(handler):
        del registry.answers["manifests/latest"]
        send(handler, 429, b"", Retry_After="0")

    registry.answers["manifests/latest"] = busy
    assert pull(registry, elsewhere).digest == digits.digest
    later = "Tue, 01 Jan 2999 00:00:00 GMT"
    for value, expected in (("3600", "try again in 3600 seconds"), (later, "try again in")):
        registry.answers["manifests/latest"] = answering(b"", 429, Retry_After=value)
        registry.requests.clear()
        with pytest.raises(NetworkError, match=expected):
            pull(registry, elsewhere)
        assert len(registry.requests) == 1


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_registry_that_sends_a_byte_at_a_time_is_given_up(
    where, registry, elsewhere, monkeypatch
):
    monkeypatch.setattr(client, "_SLOW_SECONDS", 0.3)
    monkeypatch.setattr(client, "_BEGIN_SECONDS", HANG if where == "body" else 0.5)
    stopped = threading.Event()

    def drip(handler):
        if where == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
        while not stopped.wait(0.05):
            handler.wfile.write(b"H")
            handler.wfile.flush()

    registry.answers["manifests/latest"] = drip
    try:
        with pytest.raises(NetworkError, match="sends too slowly"):
            pull(registry, elsewhere)
    finally:
        stopped.set()


def test_a_token_that_expires_is_replaced_in_the_middle_of_a_push(registry, store):
    """Each token is good for five requests."""
    uses, sent, granted = {}, {}, []

    def token(handler):
        granted.append(f"granted{len(granted)}")
        send(handler, 200, json.dumps({"token": granted[-1]}).encode())

    def guarded(handler):
        name = (handler.headers["Authorization"] or "").removeprefix("Bearer ")
        uses[name] = uses.get(name, 0) + 1
        length = int(handler.headers["Content-Length"] or 0)
        data = handler.rfile.read(length)
        if name not in granted or uses[name] > 5:
            realm = f'Bearer realm="http://{registry.host}/token"'
            send(handler, 401, b"", WWW_Authenticate=realm)
        elif handler.command == "POST":
            send(handler, 202, b"", Location="/v2/acme/churn/blobs/uploads/1")
        elif handler.command in ("PATCH", "PUT") and "uploads" in handler.path:
            sent[handler.command] = sent.get(handler.command, 0) + 1
            status = 202 if handler.command == "PATCH" else 201
            send(handler, status, b"", Location="/v2/acme/churn/blobs/uploads/1")
        elif handler.command == "PUT":
            registry.manifests[handler.path.rpartition("/")[2]] = data
            send(handler, 201, b"", OCI_Subject="x")
        else:
            registry.answer_truly(handler)

    registry.blobs = {name: data for name, data in registry.blobs.items() if len(data) < 10}
    registry.manifests.clear()
    registry.answers["/token"] = token
    registry.answers["/v2/acme"] = guarded
    api.push("latest", f"oci://{registry.host}/acme/churn", store=store)
    assert len(granted) > 3 and sent["PUT"] >= 4

"""Who may call, what may be drawn, and results that nobody else finds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from armchair.core.errors import BadInput
from armchair.serve.errors import ApiError
from armchair.serve.keys import ANYONE, Keys, masked
from armchair.serve.policy import Policy
from armchair.serve.settings import Settings
from armchair.serve.store import Store
from tests.serve.running import Running, running

KEY, OTHER = "sk-first-0000000001", "sk-second-000000002"


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER   {KEY} "])
def test_a_key_is_known_however_it_is_sent(header: str):
    """Schemes have no case; the key has."""
    assert Keys([OTHER, KEY]).owner(header) == Keys([KEY]).owner(f"Bearer {KEY}")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", f"Basic {KEY}", KEY, f"Bearer {KEY} x", "Bearer \udcff", f"Bearer {KEY.upper()}"],
)
def test_no_key_and_a_wrong_one_are_401(header: str | None):
    """Nothing but the whole key opens."""
    with pytest.raises(ApiError) as refused:
        Keys([KEY]).owner(header)
    assert refused.value.status == 401
    assert KEY not in refused.value.message


def test_owners_differ_and_do_not_tell_the_key():
    """They stand in file names and logs."""
    keys = Keys([KEY, OTHER])
    owners = {keys.owner(f"Bearer {key}") for key in (KEY, OTHER)}
    assert len(owners) == 2
    assert all(len(owner) == 8 and owner not in KEY for owner in owners)
    assert Keys([]).owner("Bearer x") == ANYONE
    assert masked("sk-0123456789abcdef") == "sk-***cdef"
    assert masked("short") == "***"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_without_a_key_only_this_machine(host: str):
    """A server on the open network that anybody may use is a mistake, not a default."""
    with pytest.raises(BadInput, match="--api-key"):
        Settings(host=host)
    Settings(host=host, keys=(KEY,))


def test_loopback_needs_no_key():
    for host in ("127.0.0.1", "127.0.0.9", "::1", "localhost"):
        Settings(host=host)


def test_settings_refuse_nonsense():
    """Before anything starts."""
    for wrong in ({"port": 70000}, {"keys": ("short",)}, {"keys": ("with blank 123",)}, {"batch": 0}):
        with pytest.raises(BadInput):
            Settings(**wrong)  # pyright: ignore[reportArgumentType]
    assert KEY not in repr(Settings(keys=(KEY,)))


def test_pages_of_other_sites_cannot_use_a_server_without_a_key(server: Running):
    """A form on some page can post to localhost, and a name of its own can resolve to it."""
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}, {"origin": "null"}):
        reply = server.post("/v1/images/generations", json={"prompt": "x"}, headers=headers)
        assert reply.status_code == 403, headers
    assert server.get("/livez", headers={"origin": server.base}).status_code == 200


def test_no_other_origin_is_told_anything(server: Running):
    """CORS is off."""
    reply = server.get("/v1/models", headers={"origin": server.base})
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.fixture(scope="module")
def locked():
    with running(keys=(KEY, OTHER), cors=("https://app.example",), images_per_minute=20) as server:
        yield server


def test_every_route_but_health_asks_for_the_key(locked: Running):
    """A new route that forgot would be found here."""
    paths = locked.get("/openapi.json").json()["paths"]
    with httpx.Client(base_url=locked.base, trust_env=False) as nobody:
        for path, methods in paths.items():
            for method in methods:
                status = nobody.request(method, path.replace("{id}", "x").replace("{name}", "x")).status_code
                open_ones = {"/livez": 200, "/readyz": 200, "/v1/armchair/results/{name}": 404}
                assert status == open_ones.get(path, 401), path
        wrong = nobody.get("/v1/models", headers={"authorization": "Bearer sk-0123456789abcdef"})
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        assert wrong.headers["www-authenticate"] == "Bearer"
    assert not [line for line in locked.lines if KEY in str(line) or OTHER in str(line)]


def test_a_result_is_its_owners(locked: Running):
    """Its URL works without a key, as programs fetch it; another key does not find it."""
    url = locked.post("/v1/images/generations", json={"prompt": "x", "size": "256x256"}).json()["data"][0][
        "url"
    ]
    assert httpx.get(url, trust_env=False).status_code == 200
    for key, status in ((KEY, 200), (OTHER, 404), ("sk-nobody-00000000", 401)):
        headers = {"authorization": f"Bearer {key}"}
        assert httpx.get(url, headers=headers, trust_env=False).status_code == status


def test_origins_that_the_operator_names(locked: Running):
    """Their pages may ask first, and call."""
    origin = {"origin": "https://app.example"}
    ask = {
        **origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    reply = httpx.options(f"{locked.base}/v1/images/generations", headers=ask, trust_env=False)
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    assert locked.get("/v1/models", headers=origin).status_code == 200
    assert locked.get("/v1/models", headers={"origin": "https://other.example"}).status_code == 403


def test_pictures_per_minute(locked: Running):
    """A key's own limit is 429 of type `requests`, and says when to come back."""
    statuses = [locked.draw(n=10, size="256x256") for _ in range(3)]
    refused = statuses[-1]
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "requests"
    assert refused.json()["error"]["message"].startswith(
        "Rate limit exceeded for images per minute. Limit: 20"
    )
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def store(folder: Path, now: list[float]) -> Store:
    found = Store.open(str(folder), seconds=3600, quota=100)
    found.clock = lambda: now[0]
    return found


def test_results_live_an_hour(tmp_path: Path):
    """Fetched until then, gone after, and the file with them; what is not ours stays."""
    now = [1_000_000.0]
    found = store(tmp_path, now)
    (tmp_path / "notes.txt").write_text("not ours")

    async def live() -> None:
        name = await found.put(b"picture", "png", ANYONE)
        assert await found.get(name, None) == (b"picture", "image/png")
        assert await found.get(name, ANYONE) == (b"picture", "image/png")
        assert await found.get(name, "12345678") is None
        assert await found.get(name[:-5] + "x.png", None) is None
        later = f"{int(now[0]) + 9999:010x}{name[10:]}"
        assert await found.get(later, None) is None  # another hour is another name
        now[0] += 3599
        assert await found.get(name, None) is not None
        now[0] += 2
        assert await found.get(name, None) is None
        await found.sweep()

    asyncio.run(live())
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_full_store_refuses_before_drawing(tmp_path: Path):
    """Nothing is drawn that could not be fetched, and the hour of the others is kept."""
    found = store(tmp_path, [0.0])

    async def fill() -> None:
        found.check()
        await found.put(b"x" * 100, "png", ANYONE)
        with pytest.raises(ApiError) as refused:
            found.check()
        assert refused.value.status == 503
        (tmp_path / next(tmp_path.iterdir()).name).unlink()
        await found.sweep()
        found.check()

    asyncio.run(fill())


def test_a_place_that_takes_nothing_is_refused_at_the_start(tmp_path: Path):
    """And not at the first picture, which would have been drawn for nothing."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="name another one"):
        Store.open(str(tmp_path / "file" / "results"), seconds=1, quota=1)


@pytest.mark.parametrize(
    "name", ["", "x", "../../etc/passwd", "0" * 10, f"{'f' * 10}-{'0' * 8}-{'0' * 31}.png"]
)
def test_only_names_of_ours_are_looked_for(tmp_path: Path, name: str):
    """No path leads out of the folder."""
    assert asyncio.run(store(tmp_path, [0.0]).get(name, None)) is None


def test_an_object_store_is_a_store():
    """Whatever fsspec reaches: here its own memory."""
    found = Store.open("memory://results", seconds=10, quota=100)

    async def live() -> None:
        name = await found.put(b"picture", "webp", ANYONE)
        assert await found.get(name, None) == (b"picture", "image/webp")
        await found.sweep()
        assert found.used == 7
        found.clock = lambda: 1e12
        await found.sweep()
        assert found.used == 0
        assert found.shelf.list() == {}

    asyncio.run(live())
    with pytest.raises(BadInput):
        Store.open("nonsense://x", seconds=1, quota=1)


def test_two_servers_share_their_results(tmp_path: Path):
    """Behind any balancer: drawn by one, fetched from the other."""
    with running(store=str(tmp_path)) as one, running(store=str(tmp_path)) as two:
        url = one.post("/v1/images/generations", json={"prompt": "x", "size": "256x256"}).json()["data"][0][
            "url"
        ]
        path = url.removeprefix(one.base)
        assert two.get(path).content == one.get(path).content
        assert two.get(path).status_code == 200


def admits(policy: Policy, prompt: str) -> bool:
    return asyncio.run(policy.admits(prompt))


def test_policies(tmp_path: Path):
    """Off by default; whole words in Latin script, anywhere in others, whatever their width and case."""
    assert admits(Policy([]), "a gun")
    words = tmp_path / "words.txt"
    words.write_text("# a comment\ngun\nbad phrase\n총\n", encoding="utf-8")
    policy = Policy.load(str(words), None)
    for prompt in ("a GUN", "a ｇｕｎ", "gun.", "some bad   phrase here", "총을 든 고양이"):
        assert not admits(policy, prompt), prompt
    for prompt in ("a gunner", "bad", "고양이"):
        assert admits(policy, prompt), prompt
    assert not admits(Policy.load(None, "tests.serve.test_keys_and_store:judge"), "no")
    assert not admits(Policy.load(None, "tests.serve.test_keys_and_store:later"), "no")
    for wrong in ("nothing", "no.module:f", "armchair.serve.policy:nothing", "armchair.serve.errors:__doc__"):
        with pytest.raises(BadInput):
            Policy.load(None, wrong)
    with pytest.raises(BadInput):
        Policy.load(str(tmp_path / "missing"), None)


def judge(prompt: str) -> bool:
    if prompt == "break":
        raise RuntimeError
    return prompt != "no"


async def later(prompt: str) -> bool:
    return prompt != "no"


def test_a_refused_prompt_is_openais_error():
    """With the code that programs look for, on every route that takes words; a judge that fails admits
    nothing.
    """
    with running(policy="tests.serve.test_keys_and_store:judge") as server:
        found = server.draw("no").json()["error"]
        assert (found["code"], found["type"]) == ("content_policy_violation", "invalid_request_error")
        found = server.post("/v1/images/generations", json={"prompt": "no", "model": "gpt-image-1"}).json()[
            "error"
        ]
        assert (found["code"], found["type"]) == ("moderation_blocked", "image_generation_user_error")
        assert server.post("/v1/armchair/expand", json={"prompt": "no"}).status_code == 400
        assert server.draw("break").status_code == 500
        assert server.draw("yes", size="256x256").status_code == 200
        assert server.metric("refused_total", reason="policy") == 3

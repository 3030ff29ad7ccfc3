"""API keys and rate limits."""

import os
from functools import partialmethod
from pathlib import Path

import httpx
import pytest

from keras_nmt.app.errors import UserError
from keras_nmt.app.server.engine.limits import ApiKeys, Limits, RateLimiter, add_api_key
from keras_nmt.app.server.engine.service import WRONG_KEYS_PER_MINUTE
from keras_nmt.app.server.errors import TooManyRequestsError, UnauthorizedError
from tests.app.command_line import nmt
from tests.app.server.serving import serving

ASKED = {"q": "It rains.", "source": "en", "target": "de"}


def test_only_the_hash_of_a_key_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    keys = {name: add_api_key(file, name) for name in ("ann", "bob")}
    assert not any(key in file.read_text() for key in keys.values())
    assert file.stat().st_mode & 0o077 == 0
    known = ApiKeys.read(file)
    assert {name: known.holder(key) for name, key in keys.items()} == {"ann": "ann", "bob": "bob"}
    for key, reason in ((None, "needs an API key"), ("", "needs an API key"), ("x", "unknown"), ("ä", "unknown")):
        with pytest.raises(UnauthorizedError, match=reason):
            known.holder(key)
    with pytest.raises(UserError, match="already has a key for ann"):
        add_api_key(file, "ann")


@pytest.mark.parametrize("name", ["", "a b", "#a"])
def test_the_name_of_a_holder_is_one_word(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="one word"):
        add_api_key(tmp_path / "keys", name)


def test_a_damaged_file_of_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# fine\n\nann 123\n")
    with pytest.raises(UserError, match="line 3"):
        ApiKeys.read(tmp_path / "keys")
    with pytest.raises(UserError, match="cannot read the keys"):
        ApiKeys.read(tmp_path / "none")


def test_requests_per_minute_are_limited_for_each_client() -> None:
    limiter = RateLimiter(2)
    limiter.count("a", now=0.0)
    limiter.count("a", now=1.0)
    limiter.count("b", now=1.0)
    with pytest.raises(TooManyRequestsError) as caught:
        limiter.count("a", now=2.0)
    assert 1 <= caught.value.retry_after <= 30
    limiter.count("a", now=2.0 + caught.value.retry_after)
    for _ in range(1000):
        RateLimiter(0).count("a")


def test_a_server_with_keys_answers_only_their_holders(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Independent of the machine's speed.
    monkeypatch.setattr(RateLimiter, "count", partialmethod(RateLimiter.count, now=0.0))
    key = add_api_key(tmp_path / "keys", "ann")
    limits = Limits(requests_per_minute=6)
    with serving(export, keys=ApiKeys.read(tmp_path / "keys"), limits=limits) as running:
        assert running.ok("/frontend/settings")["keyRequired"] is True
        for how in (
            {"json": ASKED | {"api_key": key}},
            {"json": ASKED, "headers": {"Authorization": f"Bearer {key}"}},
            {"data": ASKED, "headers": {"X-API-Key": key}},
        ):
            assert running.post("/translate", **how).status_code == 200  # type: ignore[arg-type]
        predict = {"instances": ["It rains."]}
        paths = {"/translate": ASKED, "/api/translate": {**ASKED, "text": "a"}, "/v1/models/export:predict": predict}
        for path, fields in paths.items():
            assert running.post(path, fields).status_code == 403
            assert running.post(path, fields, headers={"X-API-Key": "x"}).status_code == 403
            assert running.post(path, fields, headers={"X-API-Key": key}).status_code == 200
        response = running.post("/translate", ASKED, headers={"X-API-Key": key})
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) > 0
        codes = [running.post("/translate", ASKED).status_code for _ in range(WRONG_KEYS_PER_MINUTE)]
        assert codes[-1] == 429
        (tmp_path / "keys").write_text("")
        os.utime(tmp_path / "keys", (0, 0))
        with pytest.raises(UnauthorizedError, match="unknown"):
            running.service.keys.holder(key)  # type: ignore[union-attr]


def test_a_server_with_keys_describes_them_and_lets_allowed_pages_send_them(tmp_path: Path, export: Path) -> None:
    add_api_key(tmp_path / "keys", "ann")
    page = "https://friend.example"
    with serving(export, keys=ApiKeys.read(tmp_path / "keys"), pages=[page]) as running:
        described = running.ok("/openapi.json")
        schemes = described["components"]["securitySchemes"]
        assert schemes == {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        assert described["security"] == [{"key": []}]
        asks = {"Origin": page, "Access-Control-Request-Method": "POST"}
        leave = httpx.options(running.url + "/translate", headers=asks)
        assert leave.headers["access-control-allow-origin"] == page
        without_key = running.post("/translate", ASKED, headers={"Origin": page})
        assert without_key.status_code == 403
        assert "pages of" not in without_key.text
        assert "pages of" in running.post("/translate", ASKED, headers={"Origin": "https://evil.example"}).text


def test_the_command_creates_keys(tmp_path: Path) -> None:
    made = nmt("serve", "--api-keys", tmp_path / "keys", "--new-api-key", "ann")
    assert ApiKeys.read(tmp_path / "keys").holder(made.out.strip()) == "ann"

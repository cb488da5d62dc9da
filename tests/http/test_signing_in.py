"""Sign up, in and out over HTTP: cookies, tokens, closed sign-up, throttling."""

from pathlib import Path

import httpx2
import pytest

from prosa.adapters.tokens import SystemTokens
from tests.http.world import PASSWORD, Person, World, open_world, problem

ANA = {"username": "ana", "password": PASSWORD}


def cookie(answer: httpx2.Response) -> set[str]:
    _, *flags = answer.headers["set-cookie"].split("; ")
    return set(flags)


async def test_the_first_account_is_the_administrators_and_is_signed_in(world: World) -> None:
    client = world.client()
    answer = await client.post("/api/auth/register", json=ANA)
    assert answer.status_code == 201
    assert (answer.json()["username"], answer.json()["role"]) == ("ana", "admin")
    assert (await client.get("/api/me")).json() == answer.json()
    assert (await world.person("bea")).client.cookies
    info = (await client.get("/api/info")).json()
    assert info == {
        "name": "prosa",
        "version": "1.2.3",
        "sign_up": True,
        "first_account": False,
        "models": ["scripted", "other"],
    }


async def test_info_invites_the_first_account_even_where_sign_up_is_closed(tmp_path: Path) -> None:
    async with open_world(tmp_path, sign_up=False) as world:
        client = world.client()
        info = (await client.get("/api/info")).json()
        assert (info["sign_up"], info["first_account"]) == (True, True)
        await world.person("ana")
        info = (await client.get("/api/info")).json()
        assert (info["sign_up"], info["first_account"]) == (False, False)
        answer = await client.post("/api/auth/register", json={"username": "bea", "password": PASSWORD})
        problem(answer, 403, "sign_up_closed")


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(world: World, ana: Person) -> None:
    answer = await world.client().post("/api/auth/login", json=ANA)
    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith("prosa_session=")
    assert cookie(answer) == {"HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=lax"}


async def test_the_cookie_is_secure_over_https(world: World, ana: Person) -> None:
    answer = await world.client(base_url="https://prosa.test").post("/api/auth/login", json=ANA)
    assert "Secure" in cookie(answer)


async def test_the_cookie_is_secure_where_the_deployment_says_so(tmp_path: Path) -> None:
    async with open_world(tmp_path, secure_cookies=True) as world:
        assert "Secure" in cookie(await world.client().post("/api/auth/register", json=ANA))


async def test_a_program_gets_a_token_and_no_cookie(world: World, ana: Person) -> None:
    client = world.client()
    answer = await client.post("/api/auth/token", json=ANA)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("bearer", 2592000)
    me = await client.get("/api/me", headers={"authorization": f"bearer {body['access_token']}"})
    assert me.json()["username"] == "ana"


async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(world: World, ana: Person) -> None:
    await world.store.users.set_disabled((await world.person("gone")).id, True)
    tries = [("ana", "wrong word"), ("nobody", PASSWORD), ("gone", PASSWORD), ("a b", PASSWORD)]
    for path in ("/api/auth/login", "/api/auth/token"):
        answers = [await world.client().post(path, json={"username": name, "password": word}) for name, word in tries]
        problem(answers[0], 401, "wrong_password", **{"www-authenticate": 'Bearer realm="prosa"'})
        assert len({(answer.status_code, answer.content) for answer in answers}) == 1


async def test_signing_out_ends_this_sign_in_at_once_and_takes_the_cookie_away(world: World, ana: Person) -> None:
    other = await world.token("ana")
    secret = ana.client.cookies["prosa_session"]
    answer = await ana.client.post("/api/auth/logout")
    assert answer.status_code == 204
    assert 'prosa_session=""' in answer.headers["set-cookie"]
    stale = world.client(cookies={"prosa_session": secret})
    problem(await stale.get("/api/me"), 401, "not_signed_in")
    assert await world.store.sign_ins.find(SystemTokens().digest(secret)) is None
    kept = await world.client().get("/api/me", headers={"authorization": f"Bearer {other}"})
    assert kept.status_code == 200


async def test_signing_out_twice_is_no_error(world: World, ana: Person) -> None:
    for _ in range(2):
        assert (await ana.client.post("/api/auth/logout")).status_code == 204


@pytest.mark.parametrize("secret", ["", "x", "é" * 20, "x" * 600])
async def test_a_secret_that_opens_nothing_is_not_signed_in(world: World, secret: str) -> None:
    headers = {b"authorization": f"Bearer {secret}".encode()}
    answer = await world.client().get("/api/me", headers=headers)
    problem(answer, 401, "not_signed_in", **{"www-authenticate": 'Bearer realm="prosa"'})


async def test_a_session_that_was_revoked_elsewhere_ends_within_seconds(world: World, ana: Person) -> None:
    assert (await ana.client.get("/api/me")).status_code == 200
    await world.store.users.set_password(ana.id, "hash of another")
    await world.clock.advance(5)
    problem(await ana.client.get("/api/me"), 401, "not_signed_in")


BAD_CREDENTIALS = [
    ({"username": "a b", "password": PASSWORD}, 422, "bad_username"),
    ({"username": "", "password": PASSWORD}, 422, "bad_username"),
    ({"username": "x" * 65, "password": PASSWORD}, 422, "bad_username"),
    ({"username": "ana", "password": "short"}, 422, "bad_password"),
    ({"username": "ana", "password": "x" * 1025}, 422, "bad_password"),
    ({"username": "ana", "password": "with \u0000 nul"}, 422, "bad_password"),
    ({"username": 7, "password": PASSWORD}, 422, "bad_request"),
    ({"username": "ana", "password": None}, 422, "bad_request"),
    ({"username": "ana"}, 422, "bad_request"),
    ({}, 422, "bad_request"),
    ([], 400, "bad_frame"),
    (None, 400, "bad_frame"),
    ("ana", 400, "bad_frame"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_CREDENTIALS)
async def test_bad_credentials_to_sign_up_are_refused_field_by_field(
    world: World, body: object, status: int, code: str
) -> None:
    problem(await world.client().post("/api/auth/register", json=body), status, code)
    assert await world.store.users.all() == []


@pytest.mark.parametrize(
    ("path", "field", "status", "code"),
    [
        ("register", "username", 422, "bad_username"),
        ("register", "password", 422, "bad_password"),
        ("login", "username", 401, "wrong_password"),
        ("token", "password", 401, "wrong_password"),
    ],
)
async def test_half_a_surrogate_pair_is_no_name_and_no_password(
    world: World, ana: Person, path: str, field: str, status: int, code: str
) -> None:
    body = f'{{"username":"ana","password":"{PASSWORD}","{field}":"\\ud800 and more"}}'
    headers = {"content-type": "application/json"}
    problem(await world.client().post(f"/api/auth/{path}", content=body, headers=headers), status, code)


async def test_a_taken_name_is_refused_without_regard_to_case(world: World, ana: Person) -> None:
    answer = await world.client().post("/api/auth/register", json={**ANA, "username": "ANA"})
    problem(answer, 409, "username_taken")


# ── throttling ──


async def test_guessing_at_one_name_is_throttled_and_may_go_on_after_a_minute(tmp_path: Path) -> None:
    async with open_world(tmp_path, throttled=True) as world:
        await world.person("ana")
        client = world.client("192.0.2.9")
        guess = {"username": "ana", "password": "wrong word"}
        for path in ("/api/auth/login", "/api/auth/token") * 5:
            problem(await client.post(path, json=guess), 401, "wrong_password")
        body = problem(await client.post("/api/auth/login", json=ANA), 429, "rate_limited", **{"retry-after": "60"})
        assert body["retryable"]
        # The same name from elsewhere, and another name from here, are not shut out by it.
        assert (await world.client("192.0.2.10").post("/api/auth/login", json=ANA)).status_code == 200
        problem(await client.post("/api/auth/login", json={**guess, "username": "bea"}), 401, "wrong_password")
        await world.clock.advance(60)
        assert (await client.post("/api/auth/login", json=ANA)).status_code == 200


async def test_one_address_may_try_only_so_many_names(tmp_path: Path) -> None:
    async with open_world(tmp_path, throttled=True) as world:
        client = world.client("192.0.2.9")
        statuses = [
            (await client.post("/api/auth/login", json={**ANA, "username": f"user{number}"})).status_code
            for number in range(61)
        ]
        assert statuses == [401] * 60 + [429]

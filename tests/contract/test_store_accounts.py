"""People and their sign-ins (L11)."""

import asyncio
from uuid import UUID, uuid4

import pytest

from prosa.core.errors import NameTaken, NotFound
from prosa.core.policy import Limits
from prosa.ports import Users
from tests.contract.scene import Scene


async def test_the_first_account_with_a_password_is_the_administrator(scene: Scene) -> None:
    users = scene.store.users
    without = await users.add(uuid4(), "without", None, role=None)
    first = await users.add(uuid4(), "first", "digest", role=None)
    second = await users.add(uuid4(), "second", "digest", role=None)
    named = await users.add(uuid4(), "named", "digest", role="admin")
    assert [user.role for user in (without, first, second, named)] == ["member", "admin", "member", "admin"]


async def test_of_many_first_accounts_at_once_one_is_the_administrator(scene: Scene) -> None:
    async with asyncio.TaskGroup() as tasks:
        added = [
            tasks.create_task(scene.store.users.add(uuid4(), f"name-{number}", "digest", role=None))
            for number in range(10)
        ]
    assert [task.result().role for task in added].count("admin") == 1


@pytest.mark.parametrize(
    ("taken", "other"), [("Bea", "bEA"), ("Éva", "éVA"), ("Éva", "e\u0301va"), ("STRASSE", "straße")]
)
async def test_a_name_is_one_without_regard_to_case(scene: Scene, taken: str, other: str) -> None:
    users = scene.store.users
    user = await users.add(uuid4(), taken, "digest", role="member")
    with pytest.raises(NameTaken):
        await users.add(uuid4(), other, "digest", role="member")
    found = await users.find(other)
    assert found is not None
    assert (found.user, found.password) == (user, "digest")
    assert found.user.username == taken


async def test_of_many_who_want_a_name_at_once_one_gets_it(scene: Scene) -> None:
    outcomes = []

    async def add(users: Users) -> None:
        try:
            await users.add(uuid4(), "bea", None, role="member")
        except NameTaken:
            outcomes.append("taken")
        else:
            outcomes.append("added")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(add(scene.store.users))
    assert outcomes.count("added") == 1


async def test_all_accounts_are_listed_and_unknown_ones_not_found(scene: Scene) -> None:
    bea = await scene.person("bea")
    assert [account.user.id for account in await scene.store.users.all()] == [scene.user, bea]
    assert await scene.store.users.find("carl") is None
    with pytest.raises(NotFound):
        await scene.store.users.set_password(uuid4(), "digest")
    with pytest.raises(NotFound):
        await scene.store.users.set_disabled(uuid4(), disabled=True)
    with pytest.raises(NotFound):
        await scene.store.users.set_role(uuid4(), "admin")


async def test_a_role_changes_under_sign_ins_that_stay(scene: Scene) -> None:
    await scene.store.sign_ins.open(uuid4(), scene.user, "digest", kind="browser", seconds=60)
    for role in ("admin", "member"):
        await scene.store.users.set_role(scene.user, role)
        found = await scene.store.sign_ins.find("digest")
        assert found is not None
        assert found.user.role == role


async def test_an_open_sign_in_is_found_by_its_digest(scene: Scene) -> None:
    session = uuid4()
    opened = await scene.store.sign_ins.open(session, scene.user, "digest", kind="browser", seconds=60)
    assert (opened.session, opened.user.id, opened.user.username) == (session, scene.user, "ana")
    assert await scene.store.sign_ins.find("digest") == opened
    assert await scene.store.sign_ins.find("other") is None
    assert list(await scene.store.sign_ins.closed([session])) == []


@pytest.mark.parametrize("how", ["expired", "closed", "password", "disabled", "unknown"])
async def test_a_sign_in_ends_with_its_time_its_closing_its_password_and_its_user(scene: Scene, how: str) -> None:
    session, other = uuid4(), uuid4()
    await _open(scene, other, await scene.person("bea"))
    await _open(scene, session, scene.user, seconds=-1.0 if how == "expired" else 60.0)
    if how == "closed":
        await scene.store.sign_ins.close(session)
    elif how == "password":
        await scene.store.users.set_password(scene.user, "new")
    elif how == "disabled":
        await scene.store.users.set_disabled(scene.user, disabled=True)
    elif how == "unknown":
        session = uuid4()
    assert list(await scene.store.sign_ins.closed([other, session])) == [session]
    if how != "unknown":
        assert await scene.store.sign_ins.find(str(session)) is None
    assert await scene.store.sign_ins.find(str(other)) is not None


async def test_a_disabled_user_cannot_sign_in_until_enabled_and_old_sign_ins_stay_over(scene: Scene) -> None:
    old, new = uuid4(), uuid4()
    await _open(scene, old, scene.user)
    await scene.store.users.set_disabled(scene.user, disabled=True)
    with pytest.raises(NotFound):
        await _open(scene, new, scene.user)
    await scene.store.users.set_disabled(scene.user, disabled=False)
    await _open(scene, new, scene.user)
    assert list(await scene.store.sign_ins.closed([old, new])) == [old]


async def test_closing_twice_or_what_is_unknown_is_nothing(scene: Scene) -> None:
    session = uuid4()
    await _open(scene, session, scene.user)
    for each in (session, session, uuid4()):
        await scene.store.sign_ins.close(each)
    assert list(await scene.store.sign_ins.closed([])) == []


async def test_a_disabled_users_running_answer_is_finished(scene: Scene) -> None:
    scene.limits = Limits()
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.store.users.set_disabled(scene.user, disabled=True)
    assert (await scene.finish(claimant)).mine


async def _open(scene: Scene, session: UUID, user: UUID, seconds: float = 60.0) -> None:
    await scene.store.sign_ins.open(session, user, str(session), kind="browser", seconds=seconds)

"""What the statements of a run's life leave for its timeline, on both databases."""

from datetime import datetime
from uuid import UUID

from prosa.core.trail import MOST_CHARACTERS, Event, What, read
from tests.contract.scene import Scene
from tests.contract.sql import SILENCE, raw


async def trail(scene: Scene, run: UUID) -> str:
    ((found,),) = await raw(scene.url, f"SELECT coalesce(trail, '') FROM runs WHERE id = '{run}'")  # noqa: S608
    return str(found)


async def marks(scene: Scene, run: UUID) -> list[tuple[What, int, str | None]]:
    return [(event.what, event.attempt, event.worker) for event in read(await trail(scene, run))]


async def spoke(scene: Scene, run: UUID) -> bool:
    ((found,),) = await raw(scene.url, f"SELECT first_text_at FROM runs WHERE id = '{run}'")  # noqa: S608
    return found is not None


async def seconds(scene: Scene, run: UUID, later: str, earlier: str) -> float:
    """Between two columns."""
    if scene.url.startswith("sqlite"):
        difference = f"(julianday({later}) - julianday({earlier})) * 86400"
    else:
        difference = f"extract(epoch FROM {later} - {earlier})"
    ((found,),) = await raw(scene.url, f"SELECT {difference} FROM runs WHERE id = '{run}'")  # noqa: S608
    return float(str(found))


async def test_who_had_a_run_is_told_by_its_trail(scene: Scene) -> None:
    run = (await scene.send()).row.run
    assert await marks(scene, run) == []
    await scene.alive("wk-1")
    first = await scene.hold(run)
    await raw(scene.url, SILENCE)
    second = await scene.hold(run, "wk-2")
    await scene.store.runs.release(second, "")
    third = await scene.hold(run, "wk-3")
    await scene.store.runs.stop(scene.user, run, scene.limits)
    await scene.store.runs.stop(scene.user, run, scene.limits)
    await scene.finish(third)
    assert not (await scene.finish(first)).mine
    assert await marks(scene, run) == [
        (What.CLAIMED, 1, "wk-1"),
        (What.TAKEN_OVER, 2, "wk-2"),
        (What.RELEASED, 2, "wk-2"),
        (What.CLAIMED, 3, "wk-3"),
        (What.STOP_ASKED, 3, None),
    ]


async def test_an_entry_bears_the_time_of_its_statement(scene: Scene) -> None:
    run = (await scene.send()).row.run
    await scene.hold(run)
    (entry,) = read(await trail(scene, run))
    ((started,),) = await raw(scene.url, f"SELECT cast(started_at AS text) FROM runs WHERE id = '{run}'")  # noqa: S608
    assert abs((entry.at - datetime.fromisoformat(str(started))).total_seconds()) < 0.5
    assert entry == Event(entry.at, What.CLAIMED, 1, "wk-1")


async def test_a_full_trail_grows_no_more_and_loses_nothing(scene: Scene) -> None:
    run = (await scene.send()).row.run
    for _ in range(60):
        await scene.store.runs.release(await scene.hold(run), "")
    found = await trail(scene, run)
    assert MOST_CHARACTERS <= len(found) < MOST_CHARACTERS + 50
    assert (await marks(scene, run))[0] == (What.CLAIMED, 1, "wk-1")
    assert await scene.hold(run)


async def test_the_first_text_is_dated_back_to_when_it_came(scene: Scene) -> None:
    run = (await scene.send()).row.run
    held = await scene.hold(run)
    await scene.save(held, "")
    assert not await spoke(scene, run)
    await scene.save(held, "Fine.", spoke=0.2)
    await scene.save(held, " Thanks.", at=5, spoke=1.2)
    assert abs(await seconds(scene, run, "saved_at", "first_text_at") - 0.2) < 0.15


async def test_an_answer_that_was_never_saved_has_its_first_text_too(scene: Scene) -> None:
    run = (await scene.send()).row.run
    await scene.finish(await scene.hold(run), spoke=0.5)
    assert abs(await seconds(scene, run, "ended_at", "first_text_at") - 0.5) < 0.1
    silent = (await scene.send()).row.run
    await scene.finish(await scene.hold(silent), "")
    assert not await spoke(scene, silent)

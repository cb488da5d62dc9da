"""The cockpit as an administrator uses it, and as everybody else does not."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.visitor import Tab, Visitor
from tests.system.harness import Served

BROKEN = "A broken one that nobody else may read [[n=20 r=50 fail=4]]"


@pytest.fixture
async def root(visit: Visit, served: Served) -> Visitor:
    """The first account of a server of its own: the administrator."""
    return await visit(served.base)


async def opened(root: Visitor) -> tuple[Tab, Tab]:
    """The administrator's chat, and the cockpit in a second tab, opened by its link."""
    chat = await root.signed_up()
    await chat.at("cockpit-link").click()
    await expect(chat.at("cockpit")).to_have_attribute("data-view", "map")
    cockpit = chat
    return await root.tab(), cockpit


async def test_an_administrator_sees_the_installation_breathe(root: Visitor) -> None:
    chat, cockpit = await opened(root)
    await expect(cockpit.at("gateway")).to_have_count(1)
    await expect(cockpit.at("worker")).to_have_count(1)
    await expect(cockpit.at("pool")).to_contain_text("default")
    await expect(cockpit.at("figure-dead-letters")).to_have_text("0")
    await chat.ask("a long one [[n=400 r=20]]")
    await expect(cockpit.at("figure-running")).to_have_text("1")
    await expect(cockpit.at("figures")).to_contain_text("1 of 250 slots in use")
    await chat.at("stop").click()
    await expect(cockpit.at("figure-running")).to_have_text("0")


async def test_a_failed_run_is_found_its_life_is_read_and_it_is_answered_again(root: Visitor) -> None:
    chat, cockpit = await opened(root)
    reply = await chat.ask(BROKEN)
    await expect(reply).to_have_attribute("data-state", "failed")
    await chat.answered(await chat.ask("a good one [[n=3 r=50]]"), "a good one [[n=3 r=50]]")
    await cockpit.at("tab-runs").click()
    await expect(cockpit.at("run-row")).to_have_count(2)
    await cockpit.at("state-failed").click()
    await expect(cockpit.page).to_have_url(re.compile(r"/cockpit/runs\?state=failed$"))
    await expect(cockpit.at("run-row")).to_have_count(1)
    await cockpit.at("run-row").get_by_role("link").first.click()
    await expect(cockpit.at("run-page")).to_have_attribute("data-state", "failed")
    await expect(cockpit.at("run-failure")).to_have_attribute("data-code", "model_broke")
    moments = [await moment.get_attribute("data-what") for moment in await cockpit.at("moment").all()]
    assert moments[:3] == ["accepted", "queued", "claimed"]
    assert moments[-1] == "ended"
    run = await cockpit.at("run-page").get_attribute("data-run")
    assert await cockpit.at("trace").inner_text() == (run or "").replace("-", "")
    assert "nobody else may read" not in await cockpit.page.content()
    await cockpit.at("retry").click()
    await cockpit.at("confirm-retry").click()
    await expect(cockpit.at("run-page")).not_to_have_attribute("data-run", run or "")
    await expect(cockpit.at("run-page")).to_have_attribute("data-state", "failed", timeout=15_000)
    await cockpit.page.go_back()
    await expect(cockpit.at("run-page")).to_have_attribute("data-run", run or "")


async def test_a_members_answer_is_stopped_by_an_administrator(root: Visitor, visit: Visit, served: Served) -> None:
    await root.signed_up()
    member = await visit(served.base)
    tab = await member.signed_up()
    reply = await tab.ask("on and on [[n=1000 r=20]]")
    await tab.speaks(reply, 3)
    cockpit = await root.tab("/cockpit/runs?state=running")
    await expect(cockpit.at("run-row")).to_have_count(1)
    await expect(cockpit.at("run-row")).to_contain_text(member.name)
    await cockpit.at("run-row").get_by_role("link").first.click()
    await cockpit.at("stop").click()
    await cockpit.at("confirm-stop").click()
    await expect(cockpit.at("run-page")).to_have_attribute("data-state", "stopped")
    await expect(reply).to_have_attribute("data-state", "stopped")


async def test_the_only_worker_stays_and_the_page_says_why(root: Visitor) -> None:
    root.expects("status of 409")
    _, cockpit = await opened(root)
    await cockpit.at("worker").click()
    await cockpit.at("drain").click()
    await cockpit.at("confirm-drain").click()
    await expect(cockpit.at("action-problem")).to_have_attribute("data-code", "one_process")


async def test_a_server_that_is_gone_is_said_and_found_again(root: Visitor, served: Served) -> None:
    root.expects("ERR_|WebSocket connection")  # refused, reset, or cut off in the middle of an answer
    _, cockpit = await opened(root)
    served.kill()
    await expect(cockpit.at("cockpit-away")).to_be_visible(timeout=15_000)
    await served.start()
    await expect(cockpit.at("cockpit-away")).not_to_be_visible(timeout=30_000)
    await expect(cockpit.at("worker")).to_have_count(1)


async def test_a_member_finds_no_way_and_behind_the_address_a_sentence(visit: Visit, ana: Visitor) -> None:
    await (await visit()).signed_up()  # whoever is first on the shared server is its administrator
    tab = await ana.signed_up()
    await expect(tab.at("cockpit-link")).to_have_count(0)
    for path in ("/cockpit", "/cockpit/runs", "/cockpit/runs/01981a5e-7b7a-7000-8000-000000000004"):
        closed = await ana.tab(path)
        await expect(closed.at("cockpit-closed")).to_contain_text("administrators")
        await closed.page.close()
    await tab.page.goto(f"{ana.base}/cockpit")
    await tab.at("cockpit-home").click()
    await expect(tab.at("greeting")).to_be_visible()


async def test_a_person_from_portugal_reads_it_in_portuguese_on_a_phone(visit: Visit, served: Served) -> None:
    rui = await visit(served.base, locale="pt-PT", size=(390, 844), phone=True)
    await rui.signed_up()
    cockpit = await rui.tab("/cockpit")
    await expect(cockpit.at("cockpit")).to_contain_text("Painel")
    await expect(cockpit.at("worker")).to_have_count(1)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await cockpit.page.evaluate(wide)
    await cockpit.at("tab-runs").click()
    await expect(cockpit.at("no-runs")).to_be_visible()
    assert not await cockpit.page.evaluate(wide)

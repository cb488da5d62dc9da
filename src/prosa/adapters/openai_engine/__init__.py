"""Any OpenAI-compatible model server."""

from prosa.adapters.openai_engine.engine import OpenAIEngine, OpenAIOptions, model_session

__all__ = ["OpenAIEngine", "OpenAIOptions", "model_session"]

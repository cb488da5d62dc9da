"""The model engines that a process serves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from prosa.adapters.clock import SystemClock
from prosa.adapters.local_engine import LocalEngine, LocalOptions
from prosa.adapters.openai_engine import OpenAIEngine, OpenAIOptions, model_session
from prosa.adapters.scripted_engine import ScriptedEngine
from prosa.catalog import ModelSettings
from prosa.ports import Engine
from prosa.settings import Settings


@asynccontextmanager
async def engines(settings: Settings) -> AsyncIterator[Mapping[str, Engine]]:
    """Every model of the pools that are served, ready to answer. Raises ModelFileMissing."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(model_session())
        made: dict[str, Engine] = {}
        for model in settings.served:
            match model.engine:
                case "scripted":
                    made[model.name] = ScriptedEngine(clock)
                case "local":
                    made[model.name] = await stack.enter_async_context(LocalEngine(_local(model, settings)))
                case "openai":
                    made[model.name] = OpenAIEngine(_provider(model, settings), session, clock)
        yield made


def _local(model: ModelSettings, settings: Settings) -> LocalOptions:
    default = LocalOptions()
    return LocalOptions(
        path=model.path,
        slots=settings.pools[model.pool],
        context_tokens=model.context_tokens or default.context_tokens,
        reply_tokens=model.reply_tokens or default.reply_tokens,
        temperature=default.temperature if model.temperature is None else model.temperature,
    )


def _provider(model: ModelSettings, settings: Settings) -> OpenAIOptions:
    return OpenAIOptions(
        base_url=model.base_url or "",
        model=model.provider_model,
        api_key=settings.api_key(model),
        continues=model.continues,
        first_token_seconds=model.first_token_seconds,
        between_tokens_seconds=model.between_tokens_seconds,
        reply_tokens=model.reply_tokens,
        temperature=model.temperature,
    )

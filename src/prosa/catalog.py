"""The models that a deployment offers, as an operator writes them down."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

LOCAL: Final = "local"
SCRIPTED: Final = "scripted"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Name = Annotated[str, Field(pattern=r"^\S{1,64}$")]


def full_path(path: Path) -> Path:
    return path.expanduser().absolute()


class ModelSettings(BaseModel):
    """One ``[[models]]`` of ``prosa.toml``: what a client may ask for, and who answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: Name
    """What a client asks for."""
    engine: Literal["openai", "local", "scripted"]
    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]")] | None = None
    """The address of an OpenAI-compatible server, with its ``/v1``."""
    api_key_env: str | None = None
    """The name of the variable that holds the key, never the key."""
    model: str = ""
    """What the provider calls it; by default the same as ``name``."""
    continues: bool = False
    """It goes on from an assistant prefix, so that a takeover need not start the text again."""
    path: Annotated[Path, AfterValidator(full_path)] | None = None
    """A GGUF file for ``local``; by default the model that ships in a package."""
    pool: Name = "default"
    """The queue in which its runs wait: models that the same workers serve."""
    slots: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Runs at once of its pool per worker; by default the setting ``slots``."""
    system: str | None = None
    """What the model is told before the conversation."""
    first_token_seconds: Seconds = 60.0
    between_tokens_seconds: Seconds = 30.0
    context_tokens: Annotated[int, Field(ge=256)] | None = None
    reply_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    fallback: Name | None = None
    """The model that answers where this one fails before its first word."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.engine == "openai" and self.base_url is None:
            raise PydanticCustomError("base_url", "the engine openai needs a base_url")
        return self

    @property
    def provider_model(self) -> str:
        return self.model or self.name


BUILT_IN: Final = {
    LOCAL: ModelSettings(name=LOCAL, engine="local", pool="local", slots=4, continues=True),
    SCRIPTED: ModelSettings(name=SCRIPTED, engine="scripted", continues=True),
}

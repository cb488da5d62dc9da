"""One frozen tree of settings: flags over ``PROSA_…`` variables over ``prosa.toml`` over defaults.

The only reader of the environment. Everything else is handed what it needs.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from prosa import configfile, environment
from prosa.catalog import BUILT_IN, ModelSettings, Name, Seconds, full_path
from prosa.configfile import MEANING, ConfigFile
from prosa.core.errors import BadConfig
from prosa.core.policy import Limits
from prosa.environment import Variables
from prosa.fields import LOOPBACK, divided, hard_to_guess, network, with_driver, with_host, with_password, with_port
from prosa.redaction import hidden, shown

PREFIX: Final = "PROSA_"
CONFIG_VARIABLE: Final = "PROSA_CONFIG"
CONFIG_NAME: Final = "prosa.toml"
OTHER_VARIABLES: Final = frozenset({CONFIG_VARIABLE, "PROSA_TOKEN", "PROSA_URL"})
"""Variables with our prefix that are no settings of a server: the last two are read by ``prosa chat``."""

SECRET: Final = frozenset({"metrics_token", "otlp_headers", "database_password", "broker_password"})


def _in_data_dir(data: dict[str, Any]) -> str:
    return f"sqlite:///{data['data_dir']}/prosa.db"


class Origin(msgspec.Struct, frozen=True):
    """A setting as ``prosa config`` shows it."""

    key: str
    value: str
    source: str


class Settings(BaseSettings):
    """Everything that an operator can set. The docstrings below are what ``prosa config`` explains."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_ignore_empty=True, validate_default=True
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    data_dir: Annotated[Path, AfterValidator(full_path)] = Path("data")
    """By default the folder ``data`` where the command is run: all commands of a checkout find the same one."""
    database_password: SecretStr | None = None
    """Of the user in ``database_url``, which then has none of its own: it can come from a file of its own."""
    database_url: Annotated[str, AfterValidator(with_driver)] = Field(default_factory=_in_data_dir)
    broker_password: SecretStr | None = None
    """The same for ``broker_url``."""
    broker_url: Annotated[str, Field(pattern=r"^amqps?://"), AfterValidator(with_host)] | None = None
    """None: the broker is inside the process."""
    classic_socket: bool = False
    local: bool = True
    """Offer the model that ships in a package."""
    scripted: bool = False
    """Offer the model for tests, demos and load."""
    models: tuple[ModelSettings, ...] = ()
    default_model: str = ""
    """By default the first of prosa.toml, else ``local``."""
    slots: Annotated[int, Field(ge=1, le=10_000)] = 16
    user_limit: Annotated[int, Field(ge=1, le=10_000)] = 4
    user_waiting: Annotated[int, Field(ge=0, le=10_000)] = 50
    text_bytes: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = 32 * 1024
    start_seconds: Seconds = 600.0
    run_seconds: Annotated[float, Field(gt=0, le=1500)] = 900.0
    """Well under the 30 minutes after which RabbitMQ takes an unacknowledged job away."""
    worker_pools: Annotated[tuple[Name, ...], NoDecode, BeforeValidator(divided)] = ()
    """The pools that this worker serves; none named: all."""
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """How long a worker that is told to end lets its runs finish; then it gives them back."""
    unready_seconds: Annotated[float, Field(ge=0, le=600)] = 0.0
    """How long a gateway that is told to end still takes connections while a load balancer learns of it."""
    close_seconds: Annotated[float, Field(ge=0, le=600)] = 3.0
    """The window over which it then spreads the closes of its sockets."""
    probe_port: Annotated[int, Field(ge=0, le=65_535)] = 8001
    """Where a worker answers probes and shows its metrics."""
    database_connections: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Connections to PostgreSQL that each process opens at most."""
    rate_limits: bool = True
    sign_up: Literal["open", "closed"] = "open"
    session_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(divided)] = ()
    """Web origins besides our own whose pages may sign in."""
    secure_cookies: Literal["auto", "on", "off"] = "auto"
    proxies: Annotated[tuple[Annotated[str, AfterValidator(network)], ...], NoDecode, BeforeValidator(divided)] = (
        LOOPBACK
    )
    """Networks of load balancers: what these say of a person's address and scheme is believed."""
    metrics: bool = True
    """Measure, and show it to operators; false: nothing is counted and there is no ``/metrics``."""
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Where a gateway shows its metrics; None: at its own address."""
    metrics_host: str = "127.0.0.1"
    metrics_token: Annotated[SecretStr, AfterValidator(hard_to_guess)] | None = None
    """Without one, only programs on the same machine are shown the metrics, or who reaches their own port."""
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s]"), AfterValidator(with_port)] | None = None
    """Where spans of runs are sent; None: nowhere, and none are made."""
    otlp_spans: Annotated[int, Field(ge=1, le=100_000)] = 200
    """How many a second each process makes; where more would come, a share of the runs is traced."""
    otlp_headers: SecretStr | None = None
    """What the receiver asks for, ``name=value`` with commas between: mostly a key."""
    log_format: Literal["pretty", "json"] = "pretty"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _environ: dict[str, str] = PrivateAttr(default_factory=dict)
    _keys: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("database_url", "broker_url")
    @classmethod
    def _opened(cls, url: str | None, info: ValidationInfo) -> str | None:
        password = info.data.get((info.field_name or "").replace("_url", "_password"))
        return url if url is None or password is None else with_password(url, password)

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: tuple[ModelSettings, ...], info: ValidationInfo) -> tuple[ModelSettings, ...]:
        names = [model.name for model in models]
        known = {model.name for model in _offered({**info.data, "models": models})}
        for index, model in enumerate(models):
            if model.name in names[:index]:
                raise _model_error(index, "name", f"two models are called {model.name!r}")
            if model.fallback is not None and model.fallback not in known - {model.name}:
                raise _model_error(index, "fallback", f"there is no other model {model.fallback!r}{_list(known)}")
        return models

    @field_validator("default_model")
    @classmethod
    def _offers(cls, name: str, info: ValidationInfo) -> str:
        if not info.data.keys() >= {"local", "scripted", "models"}:
            return name  # what is wrong there is told
        names = [model.name for model in _offered(info.data)]
        if not names:
            raise PydanticCustomError("no_model", "no model is left: write one in prosa.toml, or set local to true")
        if name and name not in names:
            raise PydanticCustomError("no_model", "{what}", {"what": f"there is no such model{_list(names)}"})
        return name or names[0]

    @field_validator("worker_pools")
    @classmethod
    def _known_pools(cls, pools: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = {model.pool for model in _offered(info.data)}
        for name in pools:
            if name not in known:
                raise PydanticCustomError("pool", "{what}", {"what": f"no model is in the pool {name!r}{_list(known)}"})
        return pools

    @field_validator("metrics_port")
    @classmethod
    def _of_its_own(cls, port: int | None, info: ValidationInfo) -> int | None:
        if port and port == info.data.get("port"):
            raise PydanticCustomError("port", "the setting port has this one too: give the metrics another")
        return port

    @property
    def catalog(self) -> tuple[ModelSettings, ...]:
        """Every model that may be asked for, the default first."""
        offered = _offered({"local": self.local, "scripted": self.scripted, "models": self.models})
        return tuple(sorted(offered, key=lambda model: model.name != self.default_model))

    @property
    def pools(self) -> dict[str, int]:
        """The slots of each pool served: the fewest that one of its models states, else the setting ``slots``."""
        pools: dict[str, int] = {}
        for model in self.served:
            slots = model.slots or self.slots
            pools[model.pool] = min(slots, pools.get(model.pool, slots))
        return pools

    @property
    def served(self) -> tuple[ModelSettings, ...]:
        """The models of this worker's pools."""
        pools = self.worker_pools
        return tuple(model for model in self.catalog if not pools or model.pool in pools)

    @property
    def limits(self) -> Limits:
        return Limits(
            text_bytes=self.text_bytes,
            user_runs=self.user_limit,
            user_waiting=self.user_waiting,
            start_seconds=self.start_seconds,
            run_seconds=self.run_seconds,
        )

    @property
    def embedded_database(self) -> bool:
        """The store is a file, which one process may write."""
        return self.database_url.startswith("sqlite")

    @property
    def environment(self) -> dict[str, str]:
        """The variables of this process, for those that it starts."""
        return dict(self._environ)

    def api_key(self, model: ModelSettings) -> str | None:
        """The value of the variable that the model names, or of its file; None where it is not set."""
        return self._keys.get(model.api_key_env.upper()) if model.api_key_env else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but rarely meant, for the log and ``prosa doctor``."""
        found = environment.unknown(self._environ, PREFIX, {*_variables(), *OTHER_VARIABLES})
        for model in self.catalog:
            if model.api_key_env and not self.api_key(model):
                found.append(f"Model {model.name}: the variable {model.api_key_env} is not set. Set it to the key.")
        if self.classic_socket:
            found.append("The classic socket is on (classic_socket): whoever knows a chat's id reads and writes it.")
        if not self.rate_limits:
            found.append("Rate limits are off (rate_limits). Turn them on before others can reach this address.")
        return tuple(found)

    @property
    def origins_of_values(self) -> tuple[Origin, ...]:
        """Every setting with its value, secrets hidden, and where it came from."""
        rows = [
            Origin(key, shown(getattr(self, key)), self._sources.get(key, "default"))
            for key in type(self).model_fields
            if key != "models"
        ]
        rows += [Origin(f"models.{model.name}", self._model(model), self._place(model)) for model in self.catalog]
        return tuple(rows)

    def _model(self, model: ModelSettings) -> str:
        words = [model.engine, model.provider_model, hidden(model.base_url or ""), f"pool={model.pool}"]
        if model.api_key_env:
            words.append(f"key={model.api_key_env} ({'set' if self.api_key(model) else 'not set'})")
        return " ".join(word for word in words if word)

    def _place(self, model: ModelSettings) -> str:
        return self._sources.get(f"models.{model.name}", "built in")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load`` hands over: it reads the variables itself, to know where each value came from."""
        return (init_settings,)


def load(flags: Mapping[str, object] | None = None) -> Settings:
    """The settings in force. ``flags`` are those of the command line by setting; None means not given.

    Raises BadConfig, which names the file's line, the variable or the flag.
    """
    file = _file(os.environ)
    read = environment.read(os.environ, _variables())
    variables = _parsed(read)
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    sources = _sources(file, read, given)
    try:
        settings = Settings(**{**_anchored(file), **variables, **given})
    except ValidationError as error:
        problems = [_problem(detail, file, sources) for detail in error.errors() if _telling(detail)]
        raise BadConfig("\n".join(problems)) from error
    settings._sources.update(sources)
    settings._environ.update(os.environ)
    keys = {model.api_key_env.upper() for model in settings.catalog if model.api_key_env}
    settings._keys.update(environment.read(os.environ, keys).values)
    return settings


def _parsed(read: Variables) -> dict[str, Any]:
    """The variables' values by setting: text, or of a list of models what its JSON says."""
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in read.values.items()}
    try:
        return source()
    except SettingsError as error:
        variable = read.sources[PREFIX + "MODELS"]  # the only one that is more than text
        raise BadConfig(f"{variable}: models: it is no JSON. Correct it, or write the models in prosa.toml.") from error


def _variables() -> list[str]:
    return [PREFIX + key.upper() for key in Settings.model_fields]


def _file(environ: Mapping[str, str]) -> ConfigFile:
    named = environ.get(CONFIG_VARIABLE)
    if named:
        return configfile.read(full_path(Path(named)))
    usual = Path(CONFIG_NAME).absolute()
    return configfile.read(usual) if usual.is_file() else ConfigFile(usual)


def _anchored(file: ConfigFile) -> dict[str, Any]:
    """The file's values; relative paths in it are meant from its own folder."""
    values = dict(file.values)
    if isinstance(values.get("data_dir"), str):
        values["data_dir"] = file.path.parent / Path(values["data_dir"]).expanduser()
    if isinstance(values.get("models"), list):
        values["models"] = [_anchored_model(model, file.path.parent) for model in values["models"]]
    return values


def _anchored_model(model: object, folder: Path) -> object:
    if isinstance(model, dict) and isinstance(model.get("path"), str):
        return {**model, "path": folder / Path(model["path"]).expanduser()}
    return model


def _sources(file: ConfigFile, read: Variables, flags: Mapping[str, object]) -> dict[str, str]:
    sources = {key: f"{file.path}:{file.line([key])}" for key in file.values}
    models = file.values.get("models")
    for index, model in enumerate(models if isinstance(models, list) else ()):
        if isinstance(model, dict):
            sources[f"models.{model.get('name')}"] = f"{file.path}:{file.line(['models', index])}"
    sources |= {name.removeprefix(PREFIX).lower(): variable for name, variable in read.sources.items()}
    return sources | {key: "--" + key.replace("_", "-") for key in flags}


def _offered(data: Mapping[str, Any]) -> list[ModelSettings]:
    """The models of prosa.toml, then the built-in ones that are on and not replaced by one of the same name."""
    offered = list(data.get("models", ()))
    names = {model.name for model in offered}
    return offered + [model for name, model in BUILT_IN.items() if data.get(name) and name not in names]


def _model_error(index: int, key: str, what: str) -> PydanticCustomError:
    return PydanticCustomError("model", "{what}", {"what": what, "index": index, "key": key})


def _list(names: Iterable[str]) -> str:
    return f"; there are: {', '.join(sorted(names))}"


def _telling(detail: ErrorDetails) -> bool:
    """A default that could not be made because of another setting's error says nothing new."""
    return detail["type"] != "default_factory_not_called"


def _problem(detail: ErrorDetails, file: ConfigFile, sources: Mapping[str, str]) -> str:
    where = detail.get("ctx", {})
    keys = [*detail["loc"], *([where["index"], where["key"]] if "index" in where else [])]
    if detail["type"] == "password":
        keys = [str(keys[0]).replace("_url", "_password")]
    source = sources.get(str(keys[0]), "")
    place = f"{file.path}, line {file.line(keys)}" if source.startswith(str(file.path)) else source or "default"
    model, key = file.model(keys), next(str(one) for one in reversed(keys) if isinstance(one, str))
    owner = f" of {model}" if model else ""
    if detail["type"] == "extra_forbidden":
        return f"{place}: there is no setting {key!r}{owner}.{_meant(key, bool(model))} Correct or remove it."
    if detail["type"] == "missing":
        return f"{place}: {model} has no {key}: add `{key}`: {MEANING[key]}."
    name = model if model and len(keys) == 2 else key + owner
    what = MEANING.get(key, detail["msg"]) if detail["type"] == "string_pattern_mismatch" else detail["msg"]
    return f"{place}: {name}: {what}{_but(key, detail)}. Correct or remove it."


def _but(name: str, detail: ErrorDetails) -> str:
    given = detail["input"]
    secret = name in SECRET or not isinstance(given, str | int | float)
    return "" if secret else f", but it is {hidden(str(given))!r}"


def _meant(key: str, of_model: bool) -> str:
    known = ModelSettings.model_fields if of_model else Settings.model_fields
    close = difflib.get_close_matches(key.lower(), known, 1)
    return f" Did you mean {close[0]!r}?" if close else ""

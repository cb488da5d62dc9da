"""Settings: where a value comes from, and what a person is told who wrote a wrong one."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from prosa import settings
from prosa.core.errors import BadConfig
from prosa.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*(f"PROSA_{key.upper()}" for key in Settings.model_fields), *settings.OTHER_VARIABLES]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Written":
    return Written(tmp_path / "prosa.toml")


class Written:
    """A prosa.toml in the folder where the command is started."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, text: str) -> Settings:
        self.path.write_text(text, "utf-8")
        return settings.load()

    def error(self, text: str) -> str:
        with pytest.raises(BadConfig) as caught:
            self(text)
        return caught.value.message


def source(found: Settings, key: str) -> str:
    return next(row.source for row in found.origins_of_values if row.key == key)


def value(found: Settings, key: str) -> str:
    return next(row.value for row in found.origins_of_values if row.key == key)


GPT = '[[models]]\nname = "gpt"\nengine = "openai"\nbase_url = "http://127.0.0.1:9100/v1"\n'


# ── where values come from ──


def test_without_anything_set_the_local_model_answers_from_a_folder_of_ones_own() -> None:
    found = settings.load()
    assert found.default_model == "local"
    assert [model.name for model in found.catalog] == ["local"]
    assert found.data_dir.is_absolute()
    assert found.database_url == f"sqlite:///{found.data_dir}/prosa.db"
    assert found.broker_url is None


def test_a_flag_beats_a_variable_which_beats_the_file(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written("port = 1\nslots = 2\nuser_limit = 3\n")
    assert (found.port, found.slots, found.user_limit) == (1, 2, 3)
    monkeypatch.setenv("PROSA_PORT", "11")
    monkeypatch.setenv("PROSA_SLOTS", "12")
    found = settings.load({"port": 21, "host": None})
    assert (found.port, found.slots, found.user_limit, found.host) == (21, 12, 3, "127.0.0.1")
    assert [source(found, key) for key in ("port", "slots", "user_limit", "host")] == [
        "--port",
        "PROSA_SLOTS",
        f"{written.path}:3",
        "default",
    ]


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_BROKER_URL", "")
    monkeypatch.setenv("PROSA_CONFIG", "")
    assert settings.load().broker_url is None


def test_a_relative_folder_in_the_file_is_meant_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "p.toml").write_text('data_dir = "d"\n[[models]]\nname="m"\nengine="local"\npath="m.gguf"\n')
    monkeypatch.setenv("PROSA_CONFIG", str(tmp_path / "etc" / "p.toml"))
    found = settings.load()
    assert found.data_dir == tmp_path / "etc" / "d"
    assert found.models[0].path == tmp_path / "etc" / "m.gguf"


def test_a_relative_folder_in_a_variable_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_DATA_DIR", "data")
    assert settings.load().data_dir == tmp_path / "data"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u@h/x", "postgresql+asyncpg://u@h/x"),
        ("postgres://u@h/x", "postgresql+asyncpg://u@h/x"),
        ("postgresql+asyncpg://u@h/x", "postgresql+asyncpg://u@h/x"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ],
)
def test_the_driver_is_added_to_a_plain_address(given: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_DATABASE_URL", given)
    assert settings.load().database_url == used


def test_lists_in_a_variable_are_divided_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_ORIGINS", "https://a.example, https://b.example")
    assert settings.load().origins == ("https://a.example", "https://b.example")


def test_nothing_can_change_the_settings_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.load().port = 1


def test_the_limits_are_those_that_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_USER_LIMIT", "7")
    monkeypatch.setenv("PROSA_TEXT_BYTES", "99")
    limits = settings.load().limits
    assert (limits.user_runs, limits.text_bytes, limits.user_waiting) == (7, 99, 50)


# ── values in files, and passwords ──


def test_a_variable_can_name_the_file_of_its_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "address").write_text("amqp://u:secret@h/v\n")
    monkeypatch.setenv("PROSA_BROKER_URL_FILE", str(tmp_path / "address"))
    found = settings.load()
    assert found.broker_url == "amqp://u:secret@h/v"
    assert (source(found, "broker_url"), value(found, "broker_url")) == ("PROSA_BROKER_URL_FILE", "amqp://u:***@h/v")
    assert found.warnings == ()


def test_a_models_key_can_be_in_a_file(written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k-1\r\n")
    monkeypatch.setenv("GPT_KEY_FILE", str(tmp_path / "key"))
    found = written(GPT + 'api_key_env = "GPT_KEY"\n')
    assert found.api_key(found.catalog[0]) == "k-1"
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"x" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_value_stops_the_start(
    content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    monkeypatch.setenv("PROSA_PORT_FILE", str(tmp_path / "f"))
    with pytest.raises(BadConfig, match=f"^PROSA_PORT_FILE: {tmp_path}/f {said}"):
        settings.load()


def test_a_value_that_is_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROSA_PORT", "1")
    monkeypatch.setenv("PROSA_PORT_FILE", str(tmp_path / "f"))
    with pytest.raises(BadConfig, match=r"^PROSA_PORT and PROSA_PORT_FILE are both set"):
        settings.load()


def test_a_password_of_its_own_joins_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_DATABASE_URL", "postgresql://u@h:5/x?ssl=require")
    monkeypatch.setenv("PROSA_DATABASE_PASSWORD", "p@ss/w:rd %")
    monkeypatch.setenv("PROSA_BROKER_URL", "amqps://u@h/v")
    monkeypatch.setenv("PROSA_BROKER_PASSWORD", "secret")
    found = settings.load()
    assert found.database_url == "postgresql+asyncpg://u:p%40ss%2Fw%3Ard%20%25@h:5/x?ssl=require"
    assert make_url(found.database_url).password == "p@ss/w:rd %"
    assert found.broker_url == "amqps://u:secret@h/v"
    assert "p%40" not in value(found, "database_url")
    assert (value(found, "database_password"), value(found, "broker_password")) == ("***", "***")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:p@h/x", "it has a password of its own, and another one is given: leave one out"),
        ("postgresql://h/x", "name the user whose password is given"),
        ("sqlite:////x.db", "a file has no password: leave database_password out"),
    ],
)
def test_a_password_without_its_place_is_refused(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_DATABASE_URL", url)
    monkeypatch.setenv("PROSA_DATABASE_PASSWORD", "secret")
    with pytest.raises(BadConfig, match=said) as caught:
        settings.load()
    assert "secret" not in caught.value.message


def test_networks_of_proxies_are_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_PROXIES", "10.0.0.0/8, 192.168.1.4")
    assert settings.load().proxies == ("10.0.0.0/8", "192.168.1.4/32")
    monkeypatch.setenv("PROSA_PROXIES", "balancer")
    with pytest.raises(BadConfig, match=r"PROSA_PROXIES: .*write addresses or networks, such as 10.0.0.0/8"):
        settings.load()


# ── models ──


def test_a_model_of_the_file_joins_the_local_one_and_becomes_the_default(written: Written) -> None:
    found = written(GPT)
    assert [model.name for model in found.catalog] == ["gpt", "local"]
    assert found.default_model == "gpt"
    assert found.catalog[0].provider_model == "gpt"


def test_local_false_leaves_only_the_models_of_the_file(written: Written) -> None:
    assert [model.name for model in written("local = false\n" + GPT).catalog] == ["gpt"]


def test_a_model_called_local_replaces_the_built_in_one(written: Written) -> None:
    found = written(GPT.replace('"gpt"', '"local"'))
    assert [(model.name, model.engine) for model in found.catalog] == [("local", "openai")]


def test_scripted_is_offered_only_where_it_was_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_SCRIPTED", "true")
    monkeypatch.setenv("PROSA_DEFAULT_MODEL", "scripted")
    assert [model.name for model in settings.load().catalog] == ["scripted", "local"]


def test_a_pool_has_the_fewest_slots_that_one_of_its_models_states(written: Written) -> None:
    second = GPT.replace('"gpt"', '"small"') + "slots = 2\n"
    assert written("slots = 9\n" + GPT + second).pools == {"default": 2, "local": 4}


def test_a_key_is_read_from_the_variable_that_the_model_names(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-1")
    found = written(GPT + 'api_key_env = "MY_KEY"\n')
    assert found.api_key(found.models[0]) == "sk-1"
    assert found.warnings == ()
    assert value(found, "models.gpt") == "openai gpt http://127.0.0.1:9100/v1 pool=default key=MY_KEY (set)"
    assert source(found, "models.gpt") == f"{written.path}:1"


# ── what is wrong is named with its place ──


def test_a_wrong_type_names_the_line_the_key_and_the_value(written: Written) -> None:
    message = written.error('host = "0.0.0.0"\n\nport = "abc"\n')
    assert message.startswith(f"{written.path}, line 3: port: ")
    assert "'abc'" in message


def test_an_unknown_key_names_the_line_and_what_was_probably_meant(written: Written) -> None:
    assert f"{written.path}, line 2: there is no setting 'prot'. Did you mean 'port'?" in written.error(
        "# mine\nprot = 1\n"
    )


def test_broken_toml_names_the_line_and_the_key(written: Written) -> None:
    assert f"{written.path}, line 2: Invalid value, at 'host'." in written.error("port = 1\nhost = abc\n")


def test_toml_that_ends_too_early_names_the_last_line(written: Written) -> None:
    assert f"{written.path}, line 2: " in written.error('port = 1\nhosts = ["abc"')


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("openai", "opnai"), 7, "engine of the model 'gpt': Input should be 'openai', 'local' or 'scripted', but"),
        (('engine = "openai"', 'engin = "openai"'), 7, "no setting 'engin' of the model 'gpt'. Did you mean 'engine'?"),
        (('engine = "openai"\n', ""), 5, "the model 'gpt' has no engine: add `engine`: openai, local or scripted."),
        (('name = "gpt"\n', ""), 5, "the 2nd model has no name: add `name`: "),
        (('name = "gpt"', 'name = "g p t"'), 6, "name of the model 'g p t': 1 to 64 characters without blanks, but"),
        (('base_url = "http://127.0.0.1:9100/v1"', ""), 5, "needs a base_url"),
        (('name = "gpt"', 'name = "gpt"\nfallback = "gone"'), 7, "no other model 'gone'"),
        (('name = "gpt"', 'name = "first"'), 6, "two models are called 'first'"),
        (
            ("http:", "ftp:"),
            8,
            "base_url of the model 'gpt': begins with http:// or https://, such as http://127.0.0.1:11434/v1, but",
        ),
    ],
)
def test_an_error_in_the_second_model_names_its_own_line(
    change: tuple[str, str], line: int, says: str, written: Written
) -> None:
    message = written.error(GPT.replace("gpt", "first") + GPT.replace(*change))
    assert f"{written.path}, line {line}: " in message
    assert says in message


def test_every_wrong_value_is_told_at_once(written: Written) -> None:
    assert len(written.error("port = -1\nslots = 0\n").splitlines()) == 2


def test_a_wrong_variable_is_named_and_not_the_file(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_PORT", "http")
    message = written.error("port = 1\n")
    assert message.startswith("PROSA_PORT: port: ")


def test_a_wrong_flag_is_named() -> None:
    with pytest.raises(BadConfig, match=r"^--port: port: "):
        settings.load({"port": 99_999})


def test_a_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_CONFIG", str(tmp_path / "no.toml"))
    with pytest.raises(BadConfig, match=r"no\.toml does not exist"):
        settings.load()


def test_a_file_that_is_no_text_is_told(written: Written) -> None:
    written.path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadConfig, match="cannot be read"):
        settings.load()


def test_a_default_that_no_model_has_is_told_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_DEFAULT_MODEL", "gtp")
    with pytest.raises(BadConfig, match=r"^PROSA_DEFAULT_MODEL: .*no such model; there are: local"):
        settings.load()


def test_no_model_at_all_is_told(written: Written) -> None:
    assert "no model is left" in written.error("local = false\n")


def test_another_make_of_database_is_refused_without_showing_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_DATABASE_URL", "mysql://u:hunter2@h/x")
    with pytest.raises(BadConfig, match="postgresql://") as caught:
        settings.load()
    assert "hunter2" not in caught.value.message


def test_metrics_cannot_have_the_port_of_the_people(written: Written) -> None:
    message = written.error("port = 9000\nmetrics_port = 9000\n")
    assert message.endswith(
        "line 2: metrics_port: the setting port has this one too: give the metrics another, but it is '9000'. "
        "Correct or remove it."
    )
    found = written("port = 0\nmetrics_port = 0\n")
    assert (found.port, found.metrics_port, found.metrics_host) == (0, 0, "127.0.0.1")


@pytest.mark.parametrize(
    ("token", "what"),
    [("hunter2", "too short: give it 16 characters or more"), ("hunter2 hunter2 hunter2", "without blanks")],
)
def test_a_token_that_is_none_is_refused_without_showing_it(
    token: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROSA_METRICS_TOKEN", token)
    with pytest.raises(BadConfig, match=r"^PROSA_METRICS_TOKEN: metrics_token: ") as caught:
        settings.load()
    assert what in caught.value.message
    assert "hunter2" not in caught.value.message


# ── secrets and warnings ──


def test_no_secret_is_shown(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_DATABASE_URL", "postgresql://u:hunter2@h/x?sslpassword=hunter2")
    monkeypatch.setenv("PROSA_BROKER_URL", "amqp://u:hunter2@h/")
    monkeypatch.setenv("PROSA_METRICS_TOKEN", "hunter2-hunter2-hunter2")
    monkeypatch.setenv("MY_KEY", "hunter2")
    found = written(GPT.replace("127", "u:hunter2@127") + 'api_key_env = "MY_KEY"\n')
    assert "hunter2" not in str(found.origins_of_values)
    assert value(found, "database_url") == "postgresql+asyncpg://u:***@h/x?sslpassword=***"
    assert value(found, "metrics_token") == "***"


def test_a_key_that_is_not_set_and_a_mistyped_variable_are_warned_of(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROSA_PROT", "1")
    monkeypatch.setenv("PROSA_TOKEN", "of prosa chat")
    monkeypatch.setenv("PROSA_RATE_LIMITS", "off")
    monkeypatch.delenv("MY_KEY", raising=False)
    warnings = written(GPT + 'api_key_env = "MY_KEY"\n').warnings
    assert [("PROSA_PORT?" in line, "MY_KEY" in line, "Rate limits" in line) for line in warnings] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]

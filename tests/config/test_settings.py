"""Settings: the defaults, where values come from, and the error messages for wrong ones."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from config import SentinelAddress, Settings, SettingsError, load_settings, parse_sentinel_url, redact_text
from config.few_settings import few_settings
from config.process_settings import load_web_settings

# Section "Settings" of the outside contract: other services and dashboards rely on these.
DEFAULTS = {
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "REDIS_WAIT_REPLICAS": 0,
    "COUPONTOOLS_CLIENT_ID": "",
    "COUPONTOOLS_CLIENT_SECRET": SecretStr(""),
    "COUPONTOOLS_BASE_URL": "https://api.coupontools.com",
    "COUPONTOOLS_CONNECT_TIMEOUT_SECONDS": 5,
    "COUPONTOOLS_TIMEOUT_SECONDS": 30,
    "COUPONTOOLS_LISTING_TIMEOUT_SECONDS": 300,
    "COUPONTOOLS_RATE_LIMIT": 10,
    "JOB_DEADLINE_SECONDS": 86400,
    "RETRY_MIN_SECONDS": 1,
    "RETRY_MAX_SECONDS": 600,
    "READ_BACK_AFTER_SECONDS": 15,
    "IDEMPOTENCY_TTL_SECONDS": 604800,
    "EVENTS_STREAM": "coupontools:events",
    "EVENTS_MAXLEN": 1_000_000,
    "BROKER_NAMESPACE": "dramatiq",
    "KEY_PREFIX": "coupontools",
    "STATE_DIR": "",
    "WORKER_PROCESSES": 2,
    "WORKER_CONCURRENCY": 64,
    "WORKER_HEARTBEAT_SECONDS": 15,
    "SHUTDOWN_SECONDS": 25,
    "LOG_FORMAT": "auto",
    "LOG_LEVEL": "INFO",
    "METRICS_HOST": "127.0.0.1",
    "METRICS_PORT": None,
    "RECEIVER_HOST": "127.0.0.1",
    "RECEIVER_PORT": 8080,
    "RECEIVER_TOKEN": SecretStr(""),
    "WEB_HOST": "127.0.0.1",
    "WEB_PORT": 8081,
    "WEB_TOKEN": SecretStr(""),
    "WEB_IMPORT_TOKEN": SecretStr(""),
}


@pytest.fixture(autouse=True)
def _clean_place(monkeypatch, tmp_path):
    """Hide the environment and the `.env` of the person who runs the tests."""
    for name in [*DEFAULTS, "SECRETS_DIR"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def complaints(require_credentials: bool = False) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(require_credentials)
    return caught.value.lines


def test_defaults_are_those_of_the_contract():
    settings = Settings()
    assert {name.upper(): getattr(settings, name) for name in Settings.model_fields} == DEFAULTS


def test_environment_beats_env_file_beats_secret_file(monkeypatch, tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("SECRETS_DIR", str(folder))
    for name, text in [("KEY_PREFIX", "file"), ("events_stream", "file\n"), ("BROKER_NAMESPACE", "file\r\n")]:
        (folder / name).write_text(text)
    (tmp_path / ".env").write_text("KEY_PREFIX=dotenv\nEVENTS_STREAM=dotenv\nUNKNOWN_THING=1\n")
    monkeypatch.setenv("KEY_PREFIX", "environment")
    settings = load_settings(require_credentials=False)
    assert (settings.key_prefix, settings.events_stream, settings.broker_namespace) == (
        "environment",
        "dotenv",
        "file",
    )


def test_secrets_come_from_files_and_are_never_shown(monkeypatch, tmp_path):
    (tmp_path / "COUPONTOOLS_CLIENT_ID").write_text("the-client\n")
    (tmp_path / "coupontools_client_secret").write_text("tops3cret/value\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "redis://worker:hunter%2F2x@127.0.0.1:6379/1")
    settings = load_settings()
    assert settings.coupontools_client_secret.get_secret_value() == "tops3cret/value"
    assert settings.redis_url == "redis://worker:hunter%2F2x@127.0.0.1:6379/1"
    for shown in (repr(settings), str(settings)):
        assert "tops3cret" not in shown
        assert "hunter" not in shown
        assert "redis://worker:•••@127.0.0.1:6379/1" in shown
    assert redact_text("sent tops3cret/value, tops3cret%2Fvalue and hunter/2x") == "sent •••, ••• and •••"


def test_every_wrong_and_missing_setting_has_its_own_line(monkeypatch):
    monkeypatch.setenv("COUPONTOOLS_RATE_LIMIT", "fast")
    monkeypatch.setenv("COUPONTOOLS_CLIENT_SECRET", "tops3cret")
    assert complaints(require_credentials=True) == (
        "COUPONTOOLS_CLIENT_ID: is required; set it in the environment, in .env or as a file in SECRETS_DIR",
        "COUPONTOOLS_RATE_LIMIT: must be a number, e.g. 10; got 'fast'",
    )


def test_missing_credentials_matter_only_to_who_calls_the_api(monkeypatch):
    assert load_settings(require_credentials=False).coupontools_client_id == ""
    # An empty variable and one of spaces count as not set.
    monkeypatch.setenv("COUPONTOOLS_CLIENT_ID", "")
    monkeypatch.setenv("COUPONTOOLS_CLIENT_SECRET", "   ")
    assert [line.partition(":")[0] for line in complaints(require_credentials=True)] == [
        "COUPONTOOLS_CLIENT_ID",
        "COUPONTOOLS_CLIENT_SECRET",
    ]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("COUPONTOOLS_TIMEOUT_SECONDS", "0", "must be greater than 0; got '0'"),
        ("COUPONTOOLS_RATE_LIMIT", "-1", "must be at least 0; got '-1'"),
        ("COUPONTOOLS_RATE_LIMIT", "nan", "must be a finite number, e.g. 10; got 'nan'"),
        ("WORKER_PROCESSES", "two", "must be a whole number, e.g. 2; got 'two'"),
        ("WORKER_PROCESSES", "1.5", "must be a whole number, e.g. 2; got '1.5'"),
        ("WORKER_CONCURRENCY", "0", "must be at least 1; got '0'"),
        ("JOB_DEADLINE_SECONDS", "1e12", "must be at most 315360000; got '1e12'"),
        ("RETRY_MIN_SECONDS", "601", None),
        ("RETRY_MAX_SECONDS", "0.5", "must not be less than RETRY_MIN_SECONDS (1); got '0.5'"),
        ("LOG_FORMAT", "xml", "must be one of 'auto', 'json' or 'console'; got 'xml'"),
        ("KEY_PREFIX", "two words", "must be a Redis key of printable ASCII characters without spaces"),
        ("COUPONTOOLS_CLIENT_ID", "smile☺", "must be printable ASCII characters without spaces"),
        ("COUPONTOOLS_CLIENT_SECRET", "tops3cret☺", "must be printable ASCII characters without spaces"),
        (
            "COUPONTOOLS_BASE_URL",
            "http://api.example.com",
            "must be https; plain http is only for a loopback address such as http://127.0.0.1:8080",
        ),
    ],
)
def test_a_wrong_value_is_explained(monkeypatch, name, value, line):
    monkeypatch.setenv(name, value)
    expected = (
        f"{name}: {line}"
        if line is not None
        else "RETRY_MAX_SECONDS: must not be less than RETRY_MIN_SECONDS (601); got '600'"
    )
    assert complaints() == (expected,)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.coupontools.com",
        "https://proxy.example:8443/coupontools",
        "http://127.0.0.1:8080",
        "http://127.8.9.1",
        "http://[::1]:8080",
        "http://localhost:9",
    ],
)
def test_base_urls_that_may_be_used(monkeypatch, url):
    monkeypatch.setenv("COUPONTOOLS_BASE_URL", url + "/")
    assert load_settings(require_credentials=False).coupontools_base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.example.com",
        "http://10.0.0.1",
        "http://127.0.0.1.example.com",
        "ftp://127.0.0.1",
        "api.coupontools.com",
        "https://",
        "https://host:99999",
        "https://ada:hunter2x@api.coupontools.com",
        "https://api.coupontools.com?secret=hunter2x",
        "https://api.coupontools.com#hunter2x",
        "https://[api",
        "https://bücher.example",
        "https://api.coupontools.com/ü",
        "https://api.coupontools.com/\u200b",
        "https://api .coupontools.com",
    ],
)
def test_base_urls_that_must_not_be_used(monkeypatch, url):
    monkeypatch.setenv("COUPONTOOLS_BASE_URL", url)
    (line,) = complaints()
    assert line.startswith("COUPONTOOLS_BASE_URL: must ")
    assert "hunter2x" not in line


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1",
        "redis://:hunter2x@redis.example:6380/3",
        "rediss://worker:hunter2x@redis.example:6380/3?ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=2",
        "unix://worker:hunter2x@/run/redis.sock",
        "rediss://redis.example/0?ssl_ca_certs=/run/ca.pem&ssl_check_hostname=true",
        "redis://127.0.0.1?client_name=worker",
        "redis+sentinel://worker:hunter2x@a:26379,b:26380/main/2",
        "rediss+sentinel://a/main",
        "redis+sentinel://:hunter2x@a/main/2?sentinel_username=s&sentinel_password=hunter2x&sentinel_tls=true",
        "rediss+sentinel://a/main?ssl_ca_certs=/run/ca.pem&ssl_check_hostname=false",
    ],
)
def test_redis_urls_that_may_be_used(monkeypatch, url):
    monkeypatch.setenv("REDIS_URL", url)
    settings = load_settings(require_credentials=False)
    assert settings.redis_url == url
    assert "hunter2x" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "http://:hunter2x@redis.example",
        "redis:hunter2x",
        "redis://:hunter2x@/0",
        "redis://:hunter2x@redis.example:port/0",
        "redis://:hunter2x@redis.example:0/0",
        "redis://:hunter2x@redis.example/zero",
        "redis://:hunter2x@[redis.example/0",
        "unix://",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?db=zero",
        "redis://127.0.0.1/0?db=zero",
        "redis://:hunter2x@127.0.0.1/0?socket_timeout=abc",
        "redis://127.0.0.1/0?decode_responses=true",
        "redis://127.0.0.1/0?hunter2x=1",
        "redis://127.0.0.1/0?password=hunter2x",
        "redis://127.0.0.1/0?ssl_cert_reqs=none",
        "rediss://127.0.0.1/0?ssl_cert_reqs=foo",
        "rediss://127.0.0.1/0?ssl_check_hostname=perhaps",
        "redis+sentinel://:hunter2x@a:26379",
        "redis+sentinel://:hunter2x@a:b/main",
        "redis+sentinel://:hunter2x@a,,b/main",
        "redis+sentinel://:hunter2x@a/main/zero",
        "redis+sentinel://:hunter2x@a/main?password=hunter2x",
        "redis+sentinel://:hunter2x@a/main?sentinel_tls=hunter2x",
    ],
)
def test_redis_urls_that_must_not_be_used_keep_their_password(monkeypatch, url):
    monkeypatch.setenv("REDIS_URL", url)
    (line,) = complaints()
    assert line.startswith("REDIS_URL: must ")
    assert "hunter2x" not in line


def test_sentinel_url_is_taken_apart():
    address = parse_sentinel_url("rediss+sentinel://worker:hunter%402x@a:26380,[::1]:26381,c/main/2")
    assert address == SentinelAddress(
        sentinels=(("a", 26380), ("::1", 26381), ("c", 26379)),
        service_name="main",
        db=2,
        username="worker",
        password="hunter@2x",
        tls=True,
    )
    assert "hunter" not in repr(address)
    address = parse_sentinel_url(
        "redis+sentinel://a/main?sentinel_username=s&sentinel_password=hunter%262x&sentinel_tls=True&ssl_check_hostname=false"
    )
    assert (address.username, address.password, address.tls) == (None, None, False)
    assert (address.sentinel_username, address.sentinel_password, address.sentinel_tls) == (
        "s",
        "hunter&2x",
        True,
    )
    assert address.tls_options == (("ssl_check_hostname", False),)
    assert "hunter" not in repr(address)


def test_words_are_taken_in_any_case(monkeypatch):
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    settings = load_settings(require_credentials=False)
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_a_folder_or_file_of_secrets_that_cannot_be_read_stops_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "missing"))
    (line,) = complaints()
    assert line.startswith("SECRETS_DIR: must be a folder; got ")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "KEY_PREFIX").write_bytes(b"\xff\xfe")
    assert complaints() == ("KEY_PREFIX: its file in SECRETS_DIR must be UTF-8 text",)


def test_the_folder_of_secrets_may_be_named_in_the_env_file(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "KEY_PREFIX").write_text("file")
    (tmp_path / ".env").write_text("SECRETS_DIR=secrets\n")
    assert load_settings(require_credentials=False).key_prefix == "file"


def test_quotes_around_the_folder_of_secrets_are_left_out(monkeypatch, tmp_path):
    """Docker passes on the quotes in its `--env-file`."""
    (tmp_path / "KEY_PREFIX").write_text("file")
    monkeypatch.setenv("SECRETS_DIR", f'"{tmp_path}"')
    assert load_settings(require_credentials=False).key_prefix == "file"
    assert few_settings()["key_prefix"] == "file"


def test_an_env_file_that_is_no_text_stops_the_start(tmp_path):
    (tmp_path / ".env").write_bytes(b"KEY_PREFIX=\xff\xfe\n")
    assert complaints() == (".env: must be UTF-8 text",)


def test_settings_cannot_be_changed_afterwards():
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.key_prefix = "other"


def test_the_page_needs_its_token_and_a_second_one_opens_less(monkeypatch):
    with pytest.raises(SettingsError) as caught:
        load_web_settings()
    assert caught.value.lines == (
        "WEB_TOKEN: is required; set it in the environment, in .env or as a file in SECRETS_DIR",
    )
    monkeypatch.setenv("WEB_TOKEN", "long-enough-a-token")
    monkeypatch.setenv("WEB_IMPORT_TOKEN", "long-enough-a-token")
    with pytest.raises(SettingsError) as caught:
        load_web_settings()
    assert caught.value.lines == ("WEB_IMPORT_TOKEN: must differ from WEB_TOKEN, which opens every page",)
    monkeypatch.setenv("WEB_IMPORT_TOKEN", "another-long-token")
    settings = load_web_settings()
    shown = f"{settings!r} {redact_text('Bearer another-long-token long-enough-a-token')}"
    assert "long-token" not in shown
    assert "long-enough" not in shown


def test_the_log_knows_every_secret(monkeypatch):
    names = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
    for name in names:
        monkeypatch.setenv(name.upper(), f"long-enough-{name}")
    load_settings(require_credentials=False)
    assert len(names) >= 4
    assert redact_text(" ".join(f"long-enough-{name}" for name in names)) == " ".join("•••" for _ in names)

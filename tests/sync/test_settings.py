"""What a run is told: the limits follow the key, nothing wrong is taken for right, and the key is never shown."""

from pathlib import Path

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.settings import API_BASE, Settings, duckdb_path, from_environment, known_types

KEY = "sk_test_51secretsecret"


@pytest.mark.parametrize(
    ("key", "options", "account", "endpoint"),
    [
        ("sk_live_1", {}, 100.0, 25.0),
        ("rk_live_1", {}, 100.0, 25.0),
        ("sk_test_1", {}, 25.0, 25.0),
        ("rk_test_1", {}, 25.0, 25.0),
        ("sk_1", {}, 25.0, 25.0),
        ("sk_live_1", {"rate_share": 0.5}, 50.0, 12.5),
        ("sk_test_1", {"rate_share": 0.2}, 5.0, 5.0),
        ("sk_live_1", {"rate_limit": 10.0}, 10.0, 10.0),
        ("sk_test_1", {"rate_limit": 400.0, "rate_share": 0.5}, 200.0, 12.5),
    ],
)
def test_limits_follow_the_key_and_the_share(key: str, options: dict[str, float], account: float, endpoint: float) -> None:
    """Live and sandbox inverted is a known hole: a sandbox key at 100 a second is throttled for good."""
    assert Settings(api_key=key, **options).limits() == Limits(account, endpoint)  # type: ignore[arg-type]


def test_lifted_limits_are_none() -> None:
    assert Settings(api_key=KEY).limits(lifted=True) == Limits(None, None)


def test_defaults_are_those_that_are_promised() -> None:
    assert from_environment({"STRIPE_API_KEY": KEY}) == Settings(KEY, API_BASE, Path("data/stripe.duckdb"), None, 1.0, keep_raw=True)


def test_every_setting_is_read_from_its_variable() -> None:
    environment = {
        "STRIPE_API_KEY": f" {KEY}\n",
        "STRIPE_API_BASE": "http://127.0.0.1:8080",
        "STRIPE_DUCKDB": "/somewhere/else.duckdb",
        "STRIPE_RATE_LIMIT": "50",
        "STRIPE_RATE_SHARE": "0.5",
        "STRIPE_KEEP_RAW": "No",
        "STRIPE_LIMITER": "redis://somewhere:6379/0",
        "STRIPE_ACCOUNTS": "",
        "STRIPE_EXCLUDE_COLUMNS": "customers.email, customers.phone,",
        "STRIPE_HASH_COLUMNS": "charges.billing_details.email",
        "STRIPE_HASH_KEY": "correct horse battery\n",
    }
    expected = Settings(
        KEY,
        "http://127.0.0.1:8080",
        Path("/somewhere/else.duckdb"),
        50.0,
        0.5,
        "redis://somewhere:6379/0",
        keep_raw=False,
        exclude_columns=("customers.email", "customers.phone"),
        hash_columns=("charges.billing_details.email",),
        hash_key="correct horse battery",
    )
    assert from_environment(environment) == expected


def test_the_limiters_password_and_the_key_of_hashes_are_not_shown() -> None:
    """P8: settings end up in logs and tracebacks."""
    assert "secret" not in repr(Settings(KEY, limiter="redis://:secret@somewhere", hash_key="a secret"))


def test_an_allowance_belongs_to_an_account_and_a_simulated_one_to_its_server() -> None:
    """Two simulators on one machine may serve accounts of one name; Stripe does not."""
    assert Settings(KEY).allowance_of("acct_1") == "acct_1"
    assert Settings(KEY, "http://127.0.0.1:8080").allowance_of("acct_1") == "acct_1 at 127.0.0.1:8080"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("STRIPE_API_KEY", "pk_test_1", "not a secret or restricted key"),
        ("STRIPE_API_KEY", "whsec_1", "not a secret or restricted key"),
        ("STRIPE_API_KEY", "sk_test_1 2", "characters that no key has"),
        ("STRIPE_API_KEY", "sk_test_1\x002", "characters that no key has"),
        ("STRIPE_API_KEY", "sk_test_\u00e9", "characters that no key has"),
        ("STRIPE_API_BASE", "api.stripe.com", "is not an address"),
        ("STRIPE_API_BASE", "ftp://api.stripe.com", "is not an address"),
        ("STRIPE_API_BASE", "http://", "is not an address"),
        ("STRIPE_API_BASE", "http://:80", "is not an address"),
        ("STRIPE_API_BASE", "http://host:many", "is not an address"),
        ("STRIPE_API_BASE", "http://[::1", "is not an address"),
        ("STRIPE_RATE_LIMIT", "fast", "give a number"),
        ("STRIPE_RATE_LIMIT", "0", "above 0"),
        ("STRIPE_RATE_LIMIT", "-1", "above 0"),
        ("STRIPE_RATE_LIMIT", "nan", "above 0"),
        ("STRIPE_RATE_LIMIT", "inf", "above 0"),
        ("STRIPE_RATE_SHARE", "half", "give a number"),
        ("STRIPE_RATE_SHARE", "0", "above 0 and up to 1"),
        ("STRIPE_RATE_SHARE", "1.5", "above 0 and up to 1"),
        ("STRIPE_RATE_SHARE", "nan", "above 0 and up to 1"),
        ("STRIPE_KEEP_RAW", "maybe", "give true or false"),
    ],
)
def test_value_that_cannot_work_is_refused_by_name(name: str, value: str, told: str) -> None:
    """A setting that is not kept yet must not be ignored: a column that was to be left out would be stored."""
    with pytest.raises(ConfigurationError) as refused:
        from_environment({"STRIPE_API_KEY": KEY, name: value})
    message = str(refused.value)
    assert name in message
    assert told in message
    assert "secret" not in message.replace("not a secret or restricted key", "")
    assert name != "STRIPE_API_KEY" or value not in message


def test_key_is_never_shown() -> None:
    """A `repr` in a log or a Dagster page is how keys get out."""
    settings = Settings(api_key=KEY)
    assert KEY not in f"{settings!r} {settings} {settings.limits()}"


def test_key_can_be_read_from_a_file(tmp_path: Path) -> None:
    """Secrets are mounted as files, which no process list and no crash report shows."""
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    assert from_environment({"STRIPE_API_KEY_FILE": str(path)}).api_key == KEY
    assert from_environment({"STRIPE_API_KEY": "sk_test_2", "STRIPE_API_KEY_FILE": str(path)}).api_key == "sk_test_2"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"secretsecret\nsecond line\n"])
def test_key_file_that_holds_no_key_is_refused_without_quoting_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        from_environment({"STRIPE_API_KEY_FILE": str(path)})
    assert "secretsecret" not in str(refused.value)


def test_folder_in_place_of_the_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"STRIPE_API_KEY_FILE names {tmp_path}, which cannot be read"):
        from_environment({"STRIPE_API_KEY_FILE": str(tmp_path)})


def test_without_a_key_it_is_said_where_to_put_one() -> None:
    with pytest.raises(ConfigurationError, match=r"set STRIPE_API_KEY.*STRIPE_API_KEY_FILE.*demo"):
        from_environment({"STRIPE_API_KEY": "  "})


def test_place_of_the_mirror_is_known_without_a_key() -> None:
    """`status` reads the mirror of somebody whose key is elsewhere."""
    assert duckdb_path({}) == Path("data/stripe.duckdb")
    assert duckdb_path({"STRIPE_DUCKDB": "x.duckdb"}) == Path("x.duckdb")


def test_unknown_type_is_told_with_the_nearest_name() -> None:
    catalog = load()
    assert known_types(catalog, ["charges"]) == {"charges"}
    assert known_types(catalog, []) == set(catalog.names)
    with pytest.raises(ConfigurationError, match="'charge': did you mean charges"):
        known_types(catalog, ["charge"])
    with pytest.raises(ConfigurationError, match=r"'xyz': docs/types\.md lists all \d+$"):
        known_types(catalog, ["customers", "xyz"])
    with pytest.raises(ConfigurationError, match=r"'early_fraud': did you mean radar_early_fraud_warnings\?$"):
        known_types(catalog, ["early_fraud"])
    with pytest.raises(ConfigurationError, match=r"'line_items': did you mean \w+_line_items( or \w+_line_items){2}\?$"):
        known_types(catalog, ["line_items"])

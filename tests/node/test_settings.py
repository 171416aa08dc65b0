"""Settings: what wins, what is refused, and whether the message would help the person who reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from node.errors import SettingsInvalid
from node.settings import Settings, load_settings
from node.settings_sources import Key, keys_of, masked_url


def settings_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mammonode.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(settings_file(tmp_path, text), environ or {})
    return caught.value.problems


def only_problem(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    (problem,) = problems_of(tmp_path, text, environ)
    return problem


def test_without_file_or_variables_the_node_runs_on_its_defaults() -> None:
    settings = load_settings(None, {})
    assert (settings.node.ae_title, settings.node.port) == ("MAMMONODE", 11112)
    assert settings.completion.required_views == ("L-CC", "L-MLO", "R-CC", "R-MLO")
    assert settings.database_url == f"sqlite:///{settings.node.state_dir}/ledger.sqlite3"
    assert settings.broker.url is None
    assert settings.node.state_dir == Path("~/.local/share/mammonode").expanduser()


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = settings_file(tmp_path, '[node]\nport = 4242\nae_title = "FILE"\n')
    settings = load_settings(path, {"MAMMONODE_NODE__PORT": "11113", "PATH": "/bin"})
    assert (settings.node.port, settings.node.ae_title, settings.node.max_associations) == (11113, "FILE", 64)


def test_lists_come_from_the_environment_as_json() -> None:
    settings = load_settings(
        None,
        {
            "MAMMONODE_COMPLETION__REQUIRED_VIEWS": '["L-CC", "R-CC"]',
            "MAMMONODE_SOURCE": '[{"ae_title": "CT", "host": "10.0.0.0/8", "quiet_s": 5}]',
            "MAMMONODE_DESTINATION": '[{"name": "a", "ae_title": "A", "host": "h", "port": 1, "results": ["cad_sr"]}]',
        },
    )
    assert settings.completion.required_views == ("L-CC", "R-CC")
    assert settings.source[0].quiet_s == 5
    assert settings.destination[0].results == ("cad_sr",)


@pytest.mark.parametrize(
    "key", [key for key in keys_of(Settings) if "Path" not in str(key.field.annotation)], ids=lambda key: key.name
)  # any text is a path
def test_every_key_has_a_variable_that_reaches_it(key: Key) -> None:
    """A value that the key cannot take is refused in the key's own name."""
    section, name = key.name.split(".")
    wrong = json.dumps([{name: {}}]) if key.in_list else "[{}]" if key.is_list else "\\"
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(None, {key.variable: wrong})
    where = f"{section}[1].{name}" if key.in_list else key.name
    assert any(problem.startswith(where) for problem in caught.value.problems), caught.value.problems


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings(None, {"MAMMONODE_BROKER__URL": "", "MAMMONODE_NODE__PORT": ""}).broker.url is None


def test_the_process_environment_is_not_read_behind_the_callers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMONODE_NODE__PORT", "1")
    assert load_settings(None, {}).node.port == Settings().node.port == 11112


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[node]\nprot = 1\n", "node.prot: unknown key; did you mean node.port?"),
        ("[nod]\nport = 1\n", "nod: unknown key; did you mean node?"),
        ('[[sources]]\nae_title = "A"\n', "sources: unknown key; did you mean source?"),
        (
            '[[source]]\nae_title = "A"\nhost = "h"\naetitle = "B"\n',
            "source[1].aetitle: unknown key; did you mean source.ae_title?",
        ),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(tmp_path: Path, text: str, advice: str) -> None:
    assert only_problem(tmp_path, text) == advice


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("MAMMONODE_NODE__PROT", "MAMMONODE_NODE__PORT"),
        ("MAMMONODE_PORT", "MAMMONODE_NODE__PORT"),
        ("MAMMONODE_NODE_PORT", "MAMMONODE_NODE__PORT"),
        ("MAMMONODE_SOURCE__0__HOST", "MAMMONODE_SOURCE holds the whole list as JSON"),
    ],
)
def test_an_unknown_variable_is_refused_and_the_nearest_named(tmp_path: Path, variable: str, advice: str) -> None:
    problem = only_problem(tmp_path, "", {variable: "1"})
    assert problem.startswith(f"{variable}: unknown variable")
    assert advice in problem


def test_the_variable_that_names_the_settings_file_is_no_setting() -> None:
    load_settings(None, {"MAMMONODE_CONFIG": "/etc/mammonode.toml"})


def test_every_problem_is_told_at_once_with_where_it_came_from(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        '[node]\nport = 70000\nae_title = "LONGER_THAN_SIXTEEN"\n'
        '[[destination]]\nname = "a"\nae_title = "A"\nhost = "h"\n',
        {"MAMMONODE_QUEUE__WORKERS": "none", "MAMMONODE_COMPLETION__REQUIRED_VIEWS": "L-CC"},
    )
    text = "\n".join(problems)
    assert len(problems) == 5
    assert "node.port: given 70000; input should be less than or equal to 65535; allowed: whole number" in text
    assert 'node.ae_title: given "LONGER_THAN_SIXTEEN"; an AE title is 1 to 16' in text
    assert "destination[1].port: missing; allowed: whole number" in text
    assert 'queue.workers (from MAMMONODE_QUEUE__WORKERS): given "none"' in text
    assert 'MAMMONODE_COMPLETION__REQUIRED_VIEWS: given "L-CC"; allowed: a JSON list' in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[delivery]\ngive_up_h = 71\n", "delivery.give_up_h: given 71"),
        ("[delivery]\nbackoff_max_s = 1\n", "delivery: backoff_max_s must be at least backoff_first_s"),
        ("[queue]\nhard_time_limit_s = 600\n", "queue: hard_time_limit_s (600) must be more than soft_"),
        ('[queue]\ndevice = "gpu"\n', "auto, cpu, cuda, or cuda:N"),
        ("[queue]\nlease_s = inf\n", "queue.lease_s"),
        ('[completion]\nrequired_views = ["L-CCC"]\n', 'completion.required_views[1]: given "L-CCC"; a view is'),
        ('[completion]\nrequired_views = ["L-CC", "L-CC"]\n', "given more than once: L-CC"),
        ("[completion]\nrequired_views = []\n", "completion.required_views"),
        ("[tls]\nenabled = true\n", "tls: enabled = true needs certificate, private_key and ca"),
        ('[tls]\ncertificate = "a.crt"\n', "given together or not at all"),
        ('[broker]\nurl = "amqp://h/"\n', "redis:// or rediss://"),
        ('[database]\nurl = "mysql://h/"\n', "postgresql:// or"),
        ("[models]\nmin_score = 1.1\n", "models.min_score: given 1.1"),
        ('[[source]]\nae_title = "A"\nhost = "10.0.0.1/8"\n', "a network is written like 10.1.0.0/16"),
        ('[[source]]\nae_title = "A\\\\B"\nhost = "h"\n', "without a backslash"),
        ('[[source]]\nae_title = "   "\nhost = "h"\n', "an AE title is 1 to 16"),
        ("node = 5\n", "node: "),
    ],
)  # fmt: skip # one case a line
def test_a_value_out_of_bounds_is_refused_with_what_is_allowed(tmp_path: Path, text: str, says: str) -> None:
    assert says in only_problem(tmp_path, text)


def test_two_destinations_may_not_share_a_name(tmp_path: Path) -> None:
    one = '[[destination]]\nname = "pacs"\nae_title = "A"\nhost = "h"\nport = 104\n'
    assert "given more than once: pacs" in only_problem(tmp_path, one + one)
    assert "cad" in only_problem(tmp_path, one + 'results = ["cad"]\n')
    assert "results" in only_problem(tmp_path, one + "results = []\n")


def test_a_file_that_is_absent_or_no_toml_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read: No such file"):
        load_settings(tmp_path / "absent.toml", {})
    assert "is not TOML" in only_problem(tmp_path, "[node\n")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('[node]\nae_title = "Ä"\n'.encode("latin-1"))
    with pytest.raises(SettingsInvalid, match="not UTF-8"):
        load_settings(latin, {})


def test_only_loopback_is_listened_on_until_a_source_is_listed(tmp_path: Path) -> None:
    source = '[[source]]\nae_title = "A"\nhost = "10.1.2.3"\n'
    assert load_settings(None, {}).node.host == "127.0.0.1"
    assert load_settings(settings_file(tmp_path, source), {}).node.host == "0.0.0.0"
    assert load_settings(settings_file(tmp_path, '[node]\nhost = "0.0.0.0"\n'), {}).node.host == "0.0.0.0"


def test_a_source_knows_its_network_unless_it_is_a_name(tmp_path: Path) -> None:
    text = "".join(
        f'[[source]]\nae_title = "A"\nhost = "{host}"\n' for host in ("10.1.0.0/16", "10.1.2.3", "::1", "ct.lan")
    )
    networks = [source.network for source in load_settings(settings_file(tmp_path, text), {}).source]
    assert [str(network) for network in networks] == ["10.1.0.0/16", "10.1.2.3/32", "::1/128", "None"]


def test_paths_are_absolute_and_the_state_folder_follows_xdg(tmp_path: Path) -> None:
    settings = load_settings(None, {"XDG_DATA_HOME": str(tmp_path), "MAMMONODE_MODELS__WEIGHTS_DIR": "~/weights"})
    assert settings.node.state_dir == tmp_path / "mammonode"
    assert settings.spool_dir == tmp_path / "mammonode" / "spool"
    assert settings.models.weights_dir == Path.home() / "weights"
    chosen = load_settings(None, {"XDG_DATA_HOME": str(tmp_path), "MAMMONODE_NODE__STATE_DIR": "/srv/state"})
    assert chosen.node.state_dir == Path("/srv/state")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_urls_name_the_driver_that_is_installed(scheme: str) -> None:
    settings = load_settings(None, {"MAMMONODE_DATABASE__URL": f"{scheme}://me:secret@db/mammo"})
    assert settings.database_url == "postgresql+psycopg://me:secret@db/mammo"


def test_passwords_are_shown_nowhere(tmp_path: Path) -> None:
    environ = {
        "MAMMONODE_DATABASE__URL": "postgresql://me:s3cr@t@db/mammo?password=s3cr@t",
        "MAMMONODE_BROKER__URL": "redis://:s3cr@t@queue:6379/0",
    }
    settings = load_settings(None, environ)
    assert "s3cr" not in repr(settings) + json.dumps(settings.echo())
    assert settings.echo()["broker"]["url"] == "redis://:***@queue:6379/0"
    problem = only_problem(tmp_path, "", {"MAMMONODE_BROKER__URL": "amqp://me:s3cr@t@queue"})
    assert "s3cr" not in problem
    assert "amqp://me:***@queue" in problem
    assert "s3cr" not in only_problem(tmp_path, '[database]\npassword = "s3cr@t"\n')
    assert masked_url("redis://queue:6379/0") == "redis://queue:6379/0"


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(None, {})
    with pytest.raises(ValidationError):
        settings.node.port = 1
    with pytest.raises(ValidationError):
        settings.source = ()

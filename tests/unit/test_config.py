"""The configuration: what it reads, what it says when it can't, and what it never says."""

from __future__ import annotations

import inspect
import re
import textwrap
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge import registry
from spikebridge.config import Config, config_schema, load_config, shipped_mappings
from spikebridge.errors import ContentError
from spikebridge.limits import MINUTE, SECOND, Limits

if TYPE_CHECKING:
    from spikebridge.logs.kafka import Settings


def loaded(directory: Path, text: str | bytes, environ: dict[str, str] | None = None) -> Config:
    """Load a configuration of this text."""
    file = directory / "spikebridge.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(file, environ or {})


def problems(directory: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is said about a configuration that must be refused, without the directory."""
    with pytest.raises(ContentError) as caught:
        loaded(directory, text, environ)
    return [str(problem).replace(f"{directory}/", "") for problem in caught.value.problems]


def test_no_configuration_is_a_whole_one() -> None:
    """Spool and store in ./data, the shipped mappings, the embedded store as sink."""
    config = load_config(None, {})

    assert (config.tenant, config.data, config.inventory) == ("default", Path("data"), None)
    assert config.mappings == (shipped_mappings(),)
    assert config.limits == Limits()
    assert [(sink.name, sink.type) for sink in config.sinks.values()] == [("store", "store")]
    assert config.metrics is None
    assert (config.log.format, config.log.level) == ("auto", "info")


def test_the_shipped_mappings_are_where_the_default_looks_for_them() -> None:
    """A checkout and a wheel keep them in different places."""
    assert shipped_mappings().is_dir()


def test_every_key_is_read_and_paths_begin_at_the_file(tmp_path: Path) -> None:
    """Durations and sizes become nanoseconds and bytes."""
    config = loaded(
        tmp_path,
        """
tenant: plant_1
data: /var/lib/spikebridge
inventory: devices.yaml
mappings: [mappings, extra.yaml]
limits: {look_back: 20m, max_unknown_devices: 5}
spool: {age: 2d, size: 1GB, alert_age: 9d, alert_size: 500MB, on_full: drop_oldest}
sinks:
  store: {type: store, filter: {severity: High, site: plant, kind: [alert, incident]}}
metrics: {listen: "0.0.0.0:9464"}
log: {format: json, level: warning}
""",
    )

    assert (config.tenant, config.data, config.inventory) == ("plant_1", Path("/var/lib/spikebridge"), tmp_path / "devices.yaml")
    assert config.mappings == (tmp_path / "mappings", tmp_path / "extra.yaml")
    assert config.limits == Limits(look_back_ns=20 * MINUTE, max_unknown_devices=5)
    assert (config.spool.age_ns, config.spool.max_bytes) == (2 * 86_400 * SECOND, 10**9)
    assert (config.spool.alert_age_ns, config.spool.alert_max_bytes) == (9 * 86_400 * SECOND, 500_000_000)
    assert config.spool.on_full == "drop_oldest"
    chosen = config.sinks["store"].filter
    assert (chosen.severity, chosen.site, chosen.kind) == ("High", ["plant"], ["alert", "incident"])
    assert config.metrics == ("0.0.0.0", 9464)  # noqa: S104 -- only read, nothing listens
    assert (config.log.format, config.log.level) == ("json", "warning")


def test_each_mistake_is_told_with_its_place_and_all_at_once(tmp_path: Path) -> None:
    """Eight mistakes, eight lines, in the order of the file."""
    text = """
tenant: Plant 1
dta: x
limits: {look_back: 10m}
spool: {age: 24, on_full: drop_newest}
sinks:
  a: {type: stor}
  B!: {type: store}
metrics: {listen: 9464}
log: {level: debgu}
"""
    assert problems(tmp_path, text) == [
        'spikebridge.yaml:2:9: tenant: expected a name of a-z, 0-9 and `_`, at most 32 letters, found "Plant 1"',
        'spikebridge.yaml:3:1: dta: unknown key; did you mean "data"?',
        (
            "spikebridge.yaml:4:21: limits.look_back: expected 15m or more: late and future limits, gaps and a suppression of 1m must fit, "
            'found "10m"'
        ),
        "spikebridge.yaml:5:14: spool.age: expected a duration such as 50ms, 1s, 5m, 24h or 7d, found 24",
        'spikebridge.yaml:5:27: spool.on_full: expected one of refuse, drop_oldest, found "drop_newest"; did you mean "drop_oldest"?',
        f'spikebridge.yaml:7:13: sinks.a.type: expected one of {", ".join(registry.names("sinks"))}, found "stor"; did you mean "store"?',
        'spikebridge.yaml:8:3: sinks.B!: expected a name of a-z, 0-9, `_` and `-`, at most 32 letters, found "B!"',
        'spikebridge.yaml:9:19: metrics.listen: expected text, found 9464; write "9464" in quotes if it is a text',
        'spikebridge.yaml:10:14: log.level: expected one of debug, info, warning, error, found "debgu"; did you mean "debug"?',
    ]


def test_an_unknown_setting_of_a_sink_is_told_under_the_sink(tmp_path: Path) -> None:
    """A sink's settings are checked against the model in its own module."""
    [problem] = problems(tmp_path, "sinks:\n  out:\n    type: file\n    path: a.jsonl\n    pathh: x\n")

    assert problem == 'spikebridge.yaml:5:5: sinks.out.pathh: unknown key; did you mean "path"?'


def test_bounds_are_told_in_the_units_in_which_they_are_written(tmp_path: Path) -> None:
    """Of durations, sizes and plain numbers."""
    splunk = "type: splunk, endpoints: 'http://h:8088', token: t, timeout: 2m, batch_size: 1GB, batch_events: 0"

    assert problems(tmp_path, f"sinks: {{a: {{{splunk}}}}}\n") == [
        'spikebridge.yaml:1:74: sinks.a.timeout: expected 1m or less, found "2m"',
        'spikebridge.yaml:1:90: sinks.a.batch_size: expected 100000000B or less, found "1GB"',
        "spikebridge.yaml:1:109: sinks.a.batch_events: expected 1 or more, found 0",
    ]


def test_a_kind_that_no_finding_has_is_refused(tmp_path: Path) -> None:
    """A sink that asked for it would get nothing, ever."""
    [problem] = problems(tmp_path, "sinks: {a: {type: store, filter: {kind: [alert, decision]}}}\n")

    assert problem == 'spikebridge.yaml:1:49: sinks.a.filter.kind[1]: expected one of alert, incident, found "decision"'


def test_two_sinks_that_would_write_one_file_are_refused(tmp_path: Path) -> None:
    """Each of them would rotate and repair what the other writes."""
    text = "sinks:\n  one: {type: file, path: a.jsonl}\n  two: {type: file, path: a.jsonl}\n"

    assert problems(tmp_path, text) == ['spikebridge.yaml:3:27: sinks.two.path: the sink "one" writes there already']


def test_a_spool_that_forgets_before_a_restart_could_read_back_is_refused(tmp_path: Path) -> None:
    """The look-back must be kept; so must two days of alerts."""
    assert problems(tmp_path, "spool: {age: 10m}\n") == [
        "spikebridge.yaml:1:1: spool.age 10m is shorter than limits.look_back 30m: a restart could not read back far enough"
    ]
    assert problems(tmp_path, "spool: {alert_age: 47h}\n") == [
        "spikebridge.yaml:1:1: spool.alert_age: expected 48h or more, found 1d 23h"
    ]


def test_the_environment_is_laid_over_the_file(tmp_path: Path) -> None:
    """Names in capitals, `__` between levels; lists and mappings as YAML."""
    config = loaded(
        tmp_path,
        "tenant: a\nlog: {level: info}\nsinks:\n  my-store: {type: store}\n",
        {
            "SPIKEBRIDGE_TENANT": "b",
            "SPIKEBRIDGE_LOG__LEVEL": "debug",
            "SPIKEBRIDGE_MAPPINGS": "[x, y]",
            "SPIKEBRIDGE_LIMITS__MAX_UNKNOWN_DEVICES": "7",
            "SPIKEBRIDGE_METRICS__LISTEN": "127.0.0.1:1",
            "SPIKEBRIDGE_SINKS__MY_STORE__FILTER__SITE": "plant: 2 # all of it",
            "SPIKEBRIDGE_CONFIG": "elsewhere.yaml",
            "PATH": "/bin",
        },
    )

    assert (config.tenant, config.log.level, config.limits.max_unknown_devices) == ("b", "debug", 7)
    assert config.mappings == (tmp_path / "x", tmp_path / "y")
    assert config.metrics == ("127.0.0.1", 1)
    assert config.sinks["my-store"].filter.site == ["plant: 2 # all of it"]
    assert config.warnings == []


def test_a_wrong_variable_is_told_by_its_name(tmp_path: Path) -> None:
    """A typing error in a key is refused; a variable of the platform is only a warning."""
    environ = {"SPIKEBRIDGE_LOG__LEVL": "debug", "SPIKEBRIDGE_LOG__FORMAT": "xml", "SPIKEBRIDGE_TENANT__X": "[1"}
    assert problems(tmp_path, "tenant: a\n", environ) == [
        'SPIKEBRIDGE_LOG__FORMAT:1:1: log.format: expected one of auto, text, json, found "xml"',
        'SPIKEBRIDGE_LOG__LEVL:1:1: log.levl: unknown key; did you mean "level"?',
        "SPIKEBRIDGE_TENANT__X:2:1: not YAML: while parsing a flow sequence, did not find expected ',' or ']'",
    ]
    assert problems(tmp_path, "tenant: a\n", {"SPIKEBRIDGE_TENANT__X": "1"}) == [
        "SPIKEBRIDGE_TENANT__X:1:1: can't set this: tenant is not a mapping"
    ]
    warnings = loaded(tmp_path, "", {"SPIKEBRIDGE_PORT_9464_TCP": "tcp://10.0.0.1", "SPIKEBRIDGE_SINK__X": "1"}).warnings
    assert [str(warning) for warning in warnings] == [
        "SPIKEBRIDGE_PORT_9464_TCP:1:1: warning: no part of the configuration, ignored",
        'SPIKEBRIDGE_SINK__X:1:1: warning: no part of the configuration, ignored; did you mean "sinks"?',
    ]


def test_references_are_replaced_inside_texts(tmp_path: Path) -> None:
    """From the environment, and from files beside the configuration; a file's last line end is not part of it."""
    (tmp_path / "site").write_text("plant\n")
    config = loaded(
        tmp_path, "data: '/srv/${env:WHERE}'\nsinks: {s: {type: store, filter: {site: '${file:site}-1'}}}\n", {"WHERE": "x"}
    )

    assert config.data == Path("/srv/x")
    assert config.sinks["s"].filter.site == ["plant-1"]


def test_a_reference_that_leads_nowhere_is_told_with_its_place(tmp_path: Path) -> None:
    """A missing variable, a missing file, a file that is no text, a reference of an unknown kind."""
    (tmp_path / "binary").write_bytes(b"\xff")
    text = """
data: "${env:NOT_SET}"
tenant: "${file:missing}"
mappings: ["${file:binary}", "${NAME}", "${file:binary\\0}"]
"""
    assert problems(tmp_path, text)[:5] == [
        'spikebridge.yaml:2:7: data: the environment variable "NOT_SET" is not set',
        'spikebridge.yaml:3:9: tenant: expected a name of a-z, 0-9 and `_`, at most 32 letters, found "${file:missing}"',
        'spikebridge.yaml:3:9: tenant: the file "missing" can\'t be read: No such file or directory',
        'spikebridge.yaml:4:12: mappings.0: the file "binary" is not UTF-8',
        'spikebridge.yaml:4:30: mappings.1: expected ${env:NAME} or ${file:PATH}, found "${NAME}"',
    ]


def test_without_sinks_nothing_of_theirs_is_read(tmp_path: Path) -> None:
    """Not from the file, nor from variables; what else is wrong is told."""
    text = "tenant: plant\nsinks: {a: {type: file, path: '${env:NOT_SET}'}, b: {type: no-such, x: '${file:missing}'}}\n"
    file = tmp_path / "spikebridge.yaml"
    file.write_text(text)
    environ = {"SPIKEBRIDGE_SINKS__A__PATH": "${env:NOT_SET_EITHER}"}

    assert len(problems(tmp_path, text, environ)) == 3
    config = load_config(file, environ, sinks=False)
    assert (config.tenant, config.sinks) == ("plant", {})
    assert load_config(None, {}, sinks=False).sinks == {}
    for wrong in ("- sinks", text + "data: '${env:NOT_SET}'"):
        file.write_text(wrong)
        with pytest.raises(ContentError):
            load_config(file, environ, sinks=False)


def test_without_sinks_it_is_known_which_topics_they_write_to(tmp_path: Path) -> None:
    """What is read is the same for who appends as for the service; a sink of which no topic can be told hinders nobody."""
    file = tmp_path / "spikebridge.yaml"
    log = "logs: {plant: {type: kafka, servers: [k:9092], pattern: '.*'}}\n"
    out = "{type: kafka, servers: [k:9092], topic: a-out}"
    env = "{type: kafka, servers: ['${env:K}'], topic: '${env:T}', format: ecs}"
    file.write_text(f"{log}sinks: {{a: {out}, b: {env}, c: {{type: store}}}}\n")
    environ = {"K": "k:9092", "T": "b-out", "SPIKEBRIDGE_SINKS__D__TYPE": "kafka"}
    environ |= {"SPIKEBRIDGE_SINKS__D__SERVERS": "[k:9092]", "SPIKEBRIDGE_SINKS__D__TOPIC": "d-out"}

    whole, appending = load_config(file, environ), load_config(file, environ, sinks=False)
    assert (len(whole.sinks), appending.sinks, appending.source) == (4, {}, whole.source)
    assert [name for name in ("a-out", "b-out", "d-out", "spikes") if re.fullmatch(pattern(appending), name)] == ["spikes"]
    assert re.fullmatch(pattern(load_config(file, {}, sinks=False)), "a-out") is None

    odd = ("{}", "[]", "1", "{type: kafka}", "{type: 7, servers: 1, topic: 2}", "{type: no-such, servers: [k:1], topic: x}", env)
    for sinks in (*odd, "~"):
        file.write_text(f"{log}sinks: {{b: {sinks}, a: {out}}}\n")
        assert re.fullmatch(pattern(load_config(file, {}, sinks=False)), "a-out") is None
    for sinks in (*odd, "~"):
        file.write_text(f"{log}sinks: {sinks}\n")
        assert re.fullmatch(pattern(load_config(file, {}, sinks=False)), "a-out")
    file.write_text(f"{log.replace('pattern', 'topics').replace('.*', 'a-out')}sinks: {{a: {out}}}\n")
    with pytest.raises(ContentError, match='found "a-out", which the service itself writes to'):
        load_config(file, {}, sinks=False)


def pattern(config: Config) -> str:
    """Return what names the topics that are read."""
    assert config.source is not None
    return cast("Settings", config.source.settings).matching


SECRET = "hunter2-is-not-to-be-seen"  # noqa: S105 -- an example


@pytest.mark.parametrize(
    "text",
    [
        "tenant: '${env:PW}'",
        "log: {level: '${env:PW}', format: '${env:PW}'}",
        "limits: {look_back: '${env:PW}', max_unknown_devices: '${env:PW}'}",
        "sinks: {a: {type: '${env:PW}'}}",
        "sinks: {a: {type: store, x: '${env:PW}', filter: {kind: '${env:PW}', severity: '${env:PW}'}}}",
        "metrics: {listen: '${env:PW}'}",
        "sinks: '${env:PW}'",
    ],
)
def test_what_a_reference_held_is_never_shown(tmp_path: Path, text: str) -> None:
    """Wherever a secret is wrong, the finding says so without it."""
    found = problems(tmp_path, text, {"PW": SECRET})

    assert found
    assert not [line for line in found if SECRET in line]


def test_a_configuration_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    with pytest.raises(ContentError, match=r"none\.yaml:1:1: can't be read: No such file or directory$"):
        load_config(tmp_path / "none.yaml", {})


@pytest.mark.fuzz
@given(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["A", "LOG", "LOG__LEVEL", "SINKS__X__TYPE", "TENANT"]), st.text(max_size=9)),
)
def test_no_bytes_and_no_variables_raise_anything_but_a_content_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, variables: dict[str, str]
) -> None:
    """Whatever is written, the answer is a configuration or located findings."""
    try:
        config = loaded(
            tmp_path_factory.getbasetemp(), content, {f"SPIKEBRIDGE_{name}": value for name, value in variables.items()}
        )
    except ContentError as error:
        problems = error.problems
    else:
        problems = config.warnings

    assert all(problem.line >= 1 for problem in problems)


CONFIG_LINES = [
    "tenant: a", "tenant: [1]", "log: {level: info}", "log: {level: 1, x: 2}", "log: 3", "sinks: {a: {type: store}}", "sinks: {a: 1}",
    "sinks: {1: {type: file}}", "sinks: [x]", "limits: {look_back: 1d}", "limits: {look_back: {}}", "spool: {age: 9m}", "mappings: []",
    "mappings: [a, 1, null]", "inventory: ''", "metrics: {listen: ':'}", "metrics: null", "data: '${env:X}'", "data: '${'", "'': 1",
]  # fmt: skip


@pytest.mark.fuzz
@given(st.lists(st.sampled_from(CONFIG_LINES), max_size=6, unique=True).map("\n".join))
def test_no_mixture_of_settings_raises_anything_but_a_content_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """As above, nearer to a configuration."""
    try:
        config = loaded(tmp_path_factory.getbasetemp(), text)
    except ContentError:
        return
    assert config.tenant


@pytest.mark.parametrize("kind", registry.names("sinks"))
def test_the_example_in_the_docstring_of_a_sink_is_a_configuration(tmp_path: Path, kind: str) -> None:
    """What the manual shows for a sink can be copied."""
    docstring = inspect.getdoc(import_module(registry.SINKS[kind].partition(":")[0])) or ""
    example = textwrap.dedent("".join(re.findall(r"(?:^ {4}.*\n|^\n)+", docstring.partition("::\n")[2] + "\n", re.MULTILINE)[:1]))
    example = re.sub(r"\$\{[^}]*\}", "secret", example)

    assert kind in {sink.type for sink in loaded(tmp_path, example).sinks.values()}


def test_every_key_of_the_schema_says_what_it_is_for() -> None:
    """The schema is the manual: nothing in it is without a description."""
    schema = config_schema()
    bare = [
        f"{name}.{key}"
        for name, model in {"": schema, **schema["$defs"]}.items()
        for key, value in model.get("properties", {}).items()
        if "description" not in value and "const" not in value
    ]

    assert bare == []


def test_a_log_that_would_read_what_the_service_writes_is_refused(tmp_path: Path) -> None:
    """With the tenant's default names and those of sinks on the same servers."""
    text = """
tenant: acme
logs:
  plant: {type: kafka, servers: ["k-1:9092", "k-2:9092"], topics: NAME}
sinks:
  bus: {type: kafka, servers: ["k-2:9092"], topic: out}
"""
    expected = "spikebridge.yaml:4:67: logs.plant.topics: expected topics with spikes, found "
    for name in ("spikebridge-dead-letters-acme", "out"):
        found = problems(tmp_path, text.replace("NAME", name))
        assert found == [f'{expected}"{name}", which the service itself writes to']
    assert loaded(tmp_path, text.replace("NAME", "spikebridge-alerts-other")).source is not None

"""The trial of docker-compose.yml: valid for the specification's schema, pinned, without a default password, and all of it ours loads."""

from __future__ import annotations

import importlib.resources
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from tests.content.compose import DIRECTORY, FILE, ROOT, filled, made_environment, raw, variables

from spikebridge import cli
from spikebridge.app import Stages
from spikebridge.app.content import load_tested
from spikebridge.config import load_config
from spikebridge.spikes.parts import read_record
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from pathlib import Path

OURS = "spikebridge:trial"
NOT_GIVEN = "not-given"
SERVICES: dict[str, dict[str, Any]] = raw()["services"]
PROFILES = ("elastic", "opensearch", "splunk")
SECRETS = ("KAFKA_PASSWORD", "ELASTIC_PASSWORD", "KIBANA_PASSWORD", "OPENSEARCH_PASSWORD", "SPLUNK_PASSWORD", "SPLUNK_HEC_TOKEN")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what the script writes into .env."""
    return made_environment(tmp_path_factory.mktemp("trial"))


@pytest.fixture(scope="module")
def services(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services with their variables filled in."""
    found: dict[str, dict[str, Any]] = filled(environ)["services"]
    return found


def ours() -> list[str]:
    """Name the services that run Spikebridge."""
    return [name for name, service in SERVICES.items() if service["image"] == OURS]


def test_it_is_valid_for_the_schema_of_the_specification(environ: dict[str, str]) -> None:
    """The schema that the Compose specification publishes, as a pinned package carries it."""
    vendored = importlib.resources.files("check_jsonschema.builtin_schemas.vendor") / "compose-spec.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)

    for document in (raw(), filled(environ)):
        assert [f"{list(error.path)}: {error.message}" for error in validator(schema).iter_errors(document)] == []
    broken = raw()
    broken["services"]["kafka"]["imagine"] = "x"
    assert list(validator(schema).iter_errors(broken))


def test_every_image_has_an_exact_tag() -> None:
    """Three numbers; those of the Dockerfile too."""
    images = {service["image"] for service in SERVICES.values()} - {OURS}
    images |= set(re.findall(r"^FROM (\S+)", (DIRECTORY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))

    assert len(images) == 6
    assert [image for image in images if not re.search(r":\d+\.\d+\.\d+(-[a-z-]+)?$", image)] == []


def test_kafka_is_the_version_that_the_tests_run() -> None:
    """And so are the search servers."""
    pins = {path.stem for path in (ROOT / "tests/live/servers/pins").glob("*-*.json")}
    for name in ("elasticsearch", "opensearch"):
        assert f"{name}-{SERVICES[name]['image'].rpartition(':')[2]}" in pins
    kafka = (ROOT / "tests/live/servers/pins/kafka.json").read_text(encoding="utf-8")
    assert f"kafka_2.13:{SERVICES['kafka']['image'].rpartition(':')[2]}" in kafka


def test_everything_that_stays_has_a_health_check() -> None:
    """What runs once and ends is waited for by its end instead."""
    once = {
        name
        for service in SERVICES.values()
        for name, how in service.get("depends_on", {}).items()
        if "completed" in how["condition"]
    }
    for name, service in SERVICES.items():
        assert (service["healthcheck"] == {"disable": True}, service["restart"] == "no") == (name in once, name in once), name


def test_who_depends_on_somebody_waits_until_that_is_well() -> None:
    """Never only for its start; and only for what starts in the same profile, or in every."""
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] in ("service_healthy", "service_completed_successfully")
            profiles = set(SERVICES[other].get("profiles", []))
            assert profiles <= set(service.get("profiles", [])), (name, other)


def test_nothing_but_one_choice_has_a_default_and_no_secret_is_in_the_file() -> None:
    """Compose refuses to start without them; each says what to run. The terms of a product are the operator's to accept."""
    for found in variables():
        if found["name"] in ("LOAD_RATE", "SPLUNK_GENERAL_TERMS"):
            assert found["kind"] == "-"
        else:
            assert (found["kind"], found["rest"]) == ("?", "run connector/packages/compose/make-env.sh")
    assert {found["name"] for found in variables()} == {*SECRETS, "LOAD_RATE", "SPLUNK_GENERAL_TERMS"}
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|TOKEN|JAAS", key) or "${" in value or value == NOT_GIVEN, key


@pytest.mark.parametrize("name", SECRETS)
def test_it_does_not_start_without_a_secret(environ: dict[str, str], name: str) -> None:
    """Missing or empty."""
    for without in ({**environ, name: ""}, {key: value for key, value in environ.items() if key != name}):
        with pytest.raises(KeyError, match=name):
            filled(without)


def test_the_script_draws_new_secrets_and_never_replaces_any(tmp_path: Path, environ: dict[str, str]) -> None:
    """Long enough for every product, nobody else's, for its owner's eyes; a file that is there stays."""
    made = made_environment(tmp_path)
    for name in SECRETS:
        assert made[name] != environ[name]
        assert len(made[name]) >= 28
    assert len({made[name] for name in SECRETS}) == len(SECRETS)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["SPLUNK_HEC_TOKEN"])
    assert made["COMPOSE_PROFILES"] in PROFILES
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert made_environment(tmp_path) == made


def test_ports_are_open_on_this_machine_only() -> None:
    """Nothing encrypts what goes through them."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 8
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_what_is_mounted_is_there_and_what_is_kept_has_a_name() -> None:
    """Directories of the checkout read-only, data in named volumes; none is declared for nobody."""
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    used = set()
    for mount in mounts:
        source, _, rest = mount.partition(":")
        if source.startswith("."):
            assert (ROOT / source).is_dir()
            assert rest.endswith(":ro")
        else:
            used.add(source)
    assert used == set(raw()["volumes"])


def test_ours_run_without_any_privilege() -> None:
    """No root, no capability, a file system that can't be written."""
    for name in ours():
        service = SERVICES[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
    users = re.findall(r"^USER (\S+)", (DIRECTORY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert users == ["spikebridge"]


@pytest.mark.parametrize("name", ours())
def test_the_configuration_loads_in_the_environment_of_each_container(services: dict[str, dict[str, Any]], name: str) -> None:
    """By our own loader, with nothing but what the container is given; its command is one of ours, its stages exist."""
    service = services[name]
    config = load_config(DIRECTORY / "spikebridge.yaml", service["environment"])

    assert config.warnings == []
    assert config.source is not None
    assert set(config.sinks) == {"console", *PROFILES}
    words = service["command"]
    if len(words) == 1:
        words = re.findall(r"spikebridge (.+?)(?:;|$)", words[0])[0].split()
    args = cli.build_parser(words[0]).parse_args(words)
    if words[0] == "run":
        assert Stages.parse(args.stages, config.sinks).names


def test_each_instance_has_a_name_of_its_own(services: dict[str, dict[str, Any]]) -> None:
    """Two of one name would push each other out."""
    found = [
        load_config(DIRECTORY / "spikebridge.yaml", services[f"spikebridge-{number}"]["environment"]).source for number in (1, 2)
    ]
    assert [source.settings.instance for source in found if source] == ["one", "two"]  # type: ignore[attr-defined]


def test_every_secret_of_the_configuration_reaches_the_server_that_asks_for_it(
    services: dict[str, dict[str, Any]], environ: dict[str, str]
) -> None:
    """The service and each server are given the same."""
    kafka = services["kafka"]["environment"]
    for listener in ("CLIENTS", "HOST"):
        assert (
            f'user_spikebridge="{environ["KAFKA_PASSWORD"]}";' in kafka[f"KAFKA_LISTENER_NAME_{listener}_PLAIN_SASL_JAAS_CONFIG"]
        )
    assert services["elasticsearch"]["environment"]["ELASTIC_PASSWORD"] == environ["ELASTIC_PASSWORD"]
    assert (
        services["prepare-kibana"]["environment"]["KIBANA_PASSWORD"]
        == services["kibana"]["environment"]["ELASTICSEARCH_PASSWORD"]
    )
    assert services["opensearch"]["environment"]["OPENSEARCH_INITIAL_ADMIN_PASSWORD"] == environ["OPENSEARCH_PASSWORD"]
    assert services["splunk"]["environment"]["SPLUNK_HEC_TOKEN"] == environ["SPLUNK_HEC_TOKEN"]


def test_each_container_is_given_the_secrets_that_it_needs_and_no_other(environ: dict[str, str]) -> None:
    """Who sees the environment of what sends the load can't log in to a SIEM."""
    sinks = {"elastic": {"ELASTIC_PASSWORD"}, "opensearch": {"OPENSEARCH_PASSWORD"}, "splunk": {"SPLUNK_HEC_TOKEN"}}
    needed = {name: {"KAFKA_PASSWORD"} for name in ("prepare", "spikebridge-1", "spikebridge-2", "load")}
    needed |= {f"prepare-{name}": sinks[name] for name in ("elastic", "opensearch")}
    needed |= {f"deliver-{name}": {"KAFKA_PASSWORD"} | some for name, some in sinks.items()}
    services = filled(environ)["services"]

    assert set(needed) == set(ours())
    for name, some in needed.items():
        assert {key: value for key, value in services[name]["environment"].items() if value in environ.values()} == {
            key: environ[key] for key in some
        }


def test_servers_have_the_names_that_the_configuration_dials() -> None:
    """Hosts of endpoints are services."""
    text = (DIRECTORY / "spikebridge.yaml").read_text(encoding="utf-8")
    hosts = set(re.findall(r"//([a-z-]+):\d+", text)) | {yaml.safe_load(text)["logs"]["plant"]["servers"].partition(":")[0]}
    assert hosts == {"kafka", *PROFILES} - {"elastic"} | {"elasticsearch"}
    assert hosts <= set(SERVICES)


def test_the_image_is_built_from_what_is_there() -> None:
    """Each path that the build lets in exists; the lock files that it copies are among them."""
    lines = (DIRECTORY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert [path for path in let_in if not (ROOT / path).exists()] == []
    assert {"requirements.lock", "requirements-dev.lock", "pyproject.toml", "connector/spikebridge"} <= set(let_in)
    assert SERVICES["spikebridge-1"]["build"]["dockerfile"] == str((DIRECTORY / "Dockerfile").relative_to(ROOT))


LOAD = [sys.executable, str(DIRECTORY / "load.py"), "--rate", "150", "--attack-every", "0.2"]


def test_the_load_is_events_of_devices_that_are_known_and_attacks_that_are_mapped(environ: dict[str, str]) -> None:
    """Each line can be read, each device is in the inventory, and the rules of an attack name its neuron."""
    lines: list[bytes] = []
    attacks: set[int] = set()
    with subprocess.Popen(LOAD, stdout=subprocess.PIPE) as load:
        while len(lines) < 100 or len(attacks) < 3:
            lines.append(load.stdout.readline() if load.stdout else b"")
            event = json.loads(lines[-1])
            attacks |= {event["neuron_id"]} if event["spike_count"] > 1 else set()
        load.kill()
    parts = [read_record(Record(number, 0, line), 10**12).parts[0] for number, line in enumerate(lines)]
    config = load_config(DIRECTORY / "spikebridge.yaml", environ)
    known = {device["id"] for device in yaml.safe_load((DIRECTORY / "inventory.yaml").read_text(encoding="utf-8"))["devices"]}

    assert {part.device_id for part in parts} == known
    assert len(load_tested(config).rule_set.devices) == len(known)
    assert attacks == {40, 42, 43}


def test_the_load_ends_when_it_is_to() -> None:
    """With no more than its rate until then."""
    done = subprocess.run([*LOAD, "--seconds", "0.6"], check=True, capture_output=True, timeout=120)
    assert len(done.stdout.splitlines()) <= 150 * 0.6 + 3


def test_the_head_of_the_file_says_how_to_start_it() -> None:
    """Two commands, both there."""
    head = FILE.read_text(encoding="utf-8").partition("\nname:")[0]
    assert "connector/packages/compose/make-env.sh" in head
    assert "docker compose up" in head
    assert (DIRECTORY / "make-env.sh").stat().st_mode & 0o111

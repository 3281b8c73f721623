"""
Apache Kafka 4.3.1 from Maven Central's jars: one broker or three, each both broker and controller (KRaft).

Four listeners: `PLAINTEXT` (everything is allowed there: what tests prepare, they prepare on it), `SASL_PLAINTEXT` and `SASL_SSL`
(SCRAM-SHA-256 and -512, PLAIN, OAUTHBEARER with unsigned tokens), and `SSL`, which demands a client certificate.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
import warnings
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.live.servers.fetch import pinned
from tests.live.servers.process import Server, ServerFailed, free_ports, is_listening, java, stop_all
from tests.live.servers.tls import CLIENT_NAME, Authority

with warnings.catch_warnings():
    # kafka-python 3.0 reads its own files by a call that Python 3.11 and 3.12 deprecate
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaAdminClient
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType
    from kafka.errors import KafkaError
    from kafka.net.compat import KafkaNetClient
    from kafka.net.sasl.oauth import AbstractTokenProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

LISTENERS = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL")
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER")
USERS = ("alice", "bob")
"""Both have passwords of their own in each cluster; neither may do more than `allow` says, where a cluster is `restricted`."""

SESSION_TIMEOUT_S = 3.0
"""So long after its last word a broker counts as dead."""

READY_S = 240.0
_ASK_MS = 3_000
_READY_MS = 10_000
_FORMAT_TIMEOUT_S = 60
_OFFSETS_PARTITIONS = 4
_PREFERRED = 0
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOG = "-Dorg.slf4j.simpleLogger"
# The selector tells, at info, why somebody was not let in.
_LOGGING = (
    f"{_LOG}.defaultLogLevel=warn",
    f"{_LOG}.showDateTime=true",
    f"{_LOG}.log.org.apache.kafka.common.network.Selector=info",
)
_LOGIN = "org.apache.kafka.common.security"

T = TypeVar("T")


class Broker:
    """One node of a cluster."""

    def __init__(self, number: int, directory: Path, classpath: str, program: Path) -> None:
        """Take its ports; `Cluster` writes its properties and formats it."""
        self.number = number
        self.ports = dict(zip((*LISTENERS, "CONTROLLER"), free_ports(len(LISTENERS) + 1), strict=True))
        self.directory = directory
        self.properties = directory / "server.properties"
        self._java = (str(program), *_JVM, *_LOGGING, "-cp", classpath)
        self.server = Server(f"kafka-{number}", [*self._java, "kafka.Kafka", self.properties], directory)

    def format(self, cluster_id: str, passwords: Mapping[str, str]) -> None:
        """Write the empty storage, with the users' SCRAM keys in it."""
        users = [
            f"--add-scram={mechanism}=[name={user},password={password}]"
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for user, password in passwords.items()
        ]
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self.properties), *users]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S)
        if done.returncode:
            raise ServerFailed(f"the storage of kafka-{self.number} can't be formatted:\n{done.stderr}")

    def start(self) -> None:
        """Start it again after `stop` or `kill`, and wait until it takes part in the cluster."""
        self.server.start(self.ready, READY_S)

    def kill(self) -> None:
        """Kill -9."""
        self.server.kill()

    def freeze(self) -> None:
        """Stop it without closing its connections; after `SESSION_TIMEOUT_S` the others go on without it."""
        self.server.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self.server.thaw()

    @property
    def alive(self) -> bool:
        """Whether it runs and isn't frozen."""
        return self.server.running and not self.server.frozen

    def address(self, listener: str = "PLAINTEXT") -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.ports[listener]}"

    def ready(self) -> bool:
        """Whether it answers and, as it sees the cluster itself, is not fenced: a port alone is open long before."""
        if not is_listening(self.ports["PLAINTEXT"]):
            return False
        try:
            with KafkaAdminClient(
                bootstrap_servers=self.address(), bootstrap_timeout_ms=_READY_MS, request_timeout_ms=_READY_MS
            ) as admin:
                brokers = admin.describe_cluster()["brokers"]
        except KafkaError:
            return False
        return any(broker["broker_id"] == self.number and not broker["is_fenced"] for broker in brokers)


class Cluster:
    """
    One broker or three, in `directory`; data and ports stay the same over `stop` and `start`.

    `restricted` refuses every user what `allow` didn't grant; otherwise what no rule mentions is open to all. For `gather_s` a new group
    waits for more members; Kafka's own setting is 3 s. With `auto_create` it makes a topic for whoever asks for one and doesn't say no.
    """

    def __init__(
        self, directory: Path, nodes: int = 1, *, restricted: bool = False, gather_s: float = 0.0, auto_create: bool = False
    ) -> None:
        """Fetch and format; `Missing` where this machine can't run it."""
        program = java(17) / "bin/java"
        classpath = ":".join(str(path) for path in pinned("kafka").values())
        self.tls = Authority(directory / "tls")
        self.passwords = {user: secrets.token_urlsafe(12) for user in USERS}
        self.brokers = [Broker(number, directory / f"node-{number}", classpath, program) for number in range(1, nodes + 1)]
        # 16 bytes; the first is zero because a leading "-" would be taken for an option
        cluster_id = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        for broker in self.brokers:
            broker.directory.mkdir()
            lines = {**_common(self.brokers, restricted=restricted), **_listeners(broker, self.tls, self.passwords)}
            lines["group.initial.rebalance.delay.ms"] = round(gather_s * 1000)
            lines["auto.create.topics.enable"] = str(auto_create).lower()
            broker.properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
            broker.format(cluster_id, self.passwords)

    def send_through(self, port: int) -> None:
        """Have the one broker tell clients of PLAINTEXT to come by another port of this machine; before `start`."""
        (broker,) = self.brokers
        lines = broker.properties.read_text(encoding="utf-8")
        ours = f"advertised.listeners=PLAINTEXT://{broker.address()}"
        assert ours in lines
        broker.properties.write_text(lines.replace(ours, f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}"), encoding="utf-8")

    def start(self) -> None:
        """Start every broker that isn't running, and wait until each takes part."""
        try:
            for broker in self.brokers:
                if not broker.server.running:
                    broker.server.launch()
            for broker in self.brokers:
                broker.server.await_ready(broker.ready, READY_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all brokers at once: the last of three, stopped alone, would wait for a quorum for a minute."""
        stop_all([broker.server for broker in self.brokers])

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def bootstrap(self, listener: str = "PLAINTEXT") -> str:
        """Return the addresses of all brokers, separated by commas."""
        return ",".join(broker.address(listener) for broker in self.brokers)

    def client(self, listener: str = "PLAINTEXT", mechanism: str = "SCRAM-SHA-512", user: str = "alice") -> dict[str, Any]:
        """Return what kafka-python needs to get in by a listener; OAUTHBEARER needs no password."""
        settings: dict[str, Any] = {"bootstrap_servers": self.bootstrap(listener).split(","), "security_protocol": listener}
        if listener.startswith("SASL"):
            settings |= {"sasl_mechanism": mechanism}
            settings |= (
                {"sasl_oauth_token_provider": UnsignedTokens(user)}
                if mechanism == "OAUTHBEARER"
                else {"sasl_plain_username": user, "sasl_plain_password": self.passwords[user]}
            )
        if listener.endswith("SSL"):
            settings |= {"ssl_cafile": str(self.tls.ca)}
        if listener == "SSL":
            settings |= {"ssl_certfile": str(self.tls.client_cert), "ssl_keyfile": str(self.tls.client_key)}
        return settings

    @contextmanager
    def admin(self, timeout_ms: int = 30_000) -> Iterator[KafkaAdminClient]:
        """Lend an administrator's client; what it asks may go to a broker that just died, and fail with a `KafkaError`."""
        alive = [broker.address() for broker in self.brokers if broker.alive]
        with _administrator(alive, timeout_ms) as admin:
            yield admin

    def create_topic(self, name: str, partitions: int = 1, **configs: str) -> None:
        """Create a topic and wait for its leaders; settings are written with `_` for `.`, `message_timestamp_type="LogAppendTime"`."""
        dotted = {key.replace("_", "."): value for key, value in configs.items()}
        with self.admin() as admin:
            admin.create_topics({name: {"num_partitions": partitions, "configs": dotted}}, wait_for_metadata=True)

    def delete_topic(self, name: str) -> None:
        """Delete a topic; the group offsets in it go with it."""
        with self.admin() as admin:
            admin.delete_topics([name])

    def allow(self, user: str, operations: str, kind: str, name: str, *, prefixed: bool = False) -> None:
        """Grant `allow("bob", "READ DESCRIBE", "TOPIC", "spikes")`; from then on nobody else may use what has a rule."""
        resource = ResourcePattern(
            ResourceType[kind], name, ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL
        )
        rules = [
            ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, resource)
            for operation in operations.split()
        ]
        with self.admin() as admin:
            failed = admin.create_acls(rules)["failed"]
        if failed:
            raise ServerFailed(f"the rules were refused: {failed}")

    def leader(self, topic: str, partition: int = 0) -> Broker:
        """Return the broker that leads a partition; while that one is dead or frozen, wait until another does."""

        def found() -> Broker | None:
            leaders = {part["partition_index"]: part["leader_id"] for part in self._describe(topic)[0]["partitions"]}
            return next((broker for broker in self.brokers if broker.number == leaders.get(partition) and broker.alive), None)

        return _awaited(found, READY_S, f"nobody leads {topic}-{partition}")

    def coordinator(self, group: str) -> Broker:
        """Return the broker that coordinates a consumer group, which is who leads its partition of the offsets topic."""
        return self.leader("__consumer_offsets", abs(_java_hash(group)) % _OFFSETS_PARTITIONS)

    def give_back(self, group: str) -> None:
        """Have the broker coordinate a group that is meant to, in place of who followed when it died; nobody loses a connection."""
        offsets = {"__consumer_offsets": [abs(_java_hash(group)) % _OFFSETS_PARTITIONS]}
        with self.admin() as admin:
            admin.elect_leaders(_PREFERRED, offsets)

    def await_in_sync(self, deadline_s: float = READY_S) -> None:
        """Wait until every replica of every partition has caught up, the brokers' own topics included."""

        def in_sync() -> bool:
            partitions = [partition for topic in self._describe() for partition in topic["partitions"]]
            return all(set(found["isr_nodes"]) == set(found["replica_nodes"]) for found in partitions)

        _awaited(in_sync, deadline_s, "not every replica has caught up")

    def _describe(self, *topics: str) -> list[dict[str, Any]]:
        with self.admin(_ASK_MS) as admin:
            described: list[dict[str, Any]] = admin.describe_topics(topics or None)
        return described


class UnsignedTokens(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Tokens as the brokers take them: they check the times in one, and believe the name."""

    def __init__(self, user: str, valid_s: int = 3_600) -> None:
        """Make tokens that have expired by a negative `valid_s`."""
        super().__init__()
        self._user = user
        self._valid_s = valid_s

    def token(self) -> str:
        """Return a fresh one."""
        return unsigned_token(self._user, self._valid_s)

    def extensions(self) -> dict[str, str]:
        """Return none."""
        return {}


def unsigned_token(user: str, valid_s: int = 3_600) -> str:
    """Return a JSON Web Token with the algorithm `none`."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": user, "iat": now - 600, "exp": now + valid_s})
    return "".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") + "." for part in parts)


def _common(brokers: list[Broker], *, restricted: bool) -> dict[str, object]:
    copies = len(brokers)
    at_least = max(1, copies - 1)
    return {
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(f"{broker.number}@{broker.address('CONTROLLER')}" for broker in brokers),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": ",".join(["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in LISTENERS)]),
        "default.replication.factor": copies,
        "min.insync.replicas": at_least,
        "offsets.topic.num.partitions": _OFFSETS_PARTITIONS,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": _OFFSETS_PARTITIONS,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": at_least,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": at_least,
        # A killed broker is missed soon.
        "broker.session.timeout.ms": round(SESSION_TIMEOUT_S * 1000),
        "broker.heartbeat.interval.ms": 500,
        "group.min.session.timeout.ms": 1_000,
        "log.cleaner.dedupe.buffer.size": 2 << 20,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Whoever comes by PLAINTEXT: the tests' own hands, and the brokers among themselves.
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false" if restricted else "true",
    }


def _listeners(broker: Broker, tls: Authority, passwords: Mapping[str, str]) -> dict[str, object]:
    addresses = {name: f"{name}://{broker.address(name)}" for name in broker.ports}
    logins = {
        "scram-sha-256": f"{_LOGIN}.scram.ScramLoginModule required;",
        "scram-sha-512": f"{_LOGIN}.scram.ScramLoginModule required;",
        "plain": " ".join(
            [f"{_LOGIN}.plain.PlainLoginModule required", *(f'user_{user}="{word}"' for user, word in passwords.items())]
        )
        + ";",
        "oauthbearer": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
    }
    return {
        "node.id": broker.number,
        "log.dirs": broker.directory / "data",
        "listeners": ",".join(addresses.values()),
        "advertised.listeners": ",".join(addresses[name] for name in LISTENERS),
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": tls.server_pem,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": tls.ca,
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.ssl.ssl.principal.mapping.rules": f"RULE:^CN=({CLIENT_NAME}).*$/$1/,DEFAULT",
        "listener.name.sasl_ssl.ssl.client.auth": "none",
        **{
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": login
            for listener in ("sasl_plaintext", "sasl_ssl")
            for mechanism, login in logins.items()
        },
    }


@contextmanager
def _administrator(addresses: list[str], timeout_ms: int) -> Iterator[KafkaAdminClient]:
    """Lend a client, and leave nothing behind: an admin or a consumer that can't connect raises, and its thread and sockets stay."""
    with ExitStack() as made:

        def client(**settings: Any) -> KafkaNetClient:
            connections = KafkaNetClient(**settings)
            made.callback(connections.close)
            return connections

        settings = {"bootstrap_timeout_ms": timeout_ms, "request_timeout_ms": timeout_ms, "kafka_client": client}
        with KafkaAdminClient(bootstrap_servers=addresses, **settings) as admin:
            yield admin


def _java_hash(text: str) -> int:
    """`String.hashCode` of text in the basic plane: Kafka puts a group into a partition by it."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _awaited(ask: Callable[[], T | None], deadline_s: float, complaint: str) -> T:
    """Ask until the answer is true; a broker that refuses while others take over gives none."""
    end = time.monotonic() + deadline_s
    while True:
        with suppress(KafkaError):
            if found := ask():
                return found
        if time.monotonic() > end:
            raise ServerFailed(f"{complaint} after {deadline_s:g} s")
        time.sleep(0.1)

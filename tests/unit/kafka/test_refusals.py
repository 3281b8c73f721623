"""What each library says of a refusal, in our words: only a size makes a record one that is never taken."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError
from kafka import errors

from spikebridge.errors import LogDenied, LogError, LogRefused, LogTooLarge
from spikebridge.kafka.confluent import reach as confluent
from spikebridge.kafka.connection import Connection, connect
from spikebridge.kafka.kafka_python import reach as kafka_python

ALICE = {"mechanism": "SCRAM-SHA-512", "user": "alice", "password": "s3cret"}
HERE = Connection.model_validate({"servers": ["kafka:9092"]})
SIZES = {
    KafkaError.MSG_SIZE_TOO_LARGE: errors.MessageSizeTooLargeError,
    KafkaError.RECORD_LIST_TOO_LARGE: errors.RecordListTooLargeError,
}
OTHERS = {
    KafkaError.INVALID_TIMESTAMP: errors.InvalidTimestampError,
    KafkaError.INVALID_RECORD: errors.InvalidRecordError,
    KafkaError.INVALID_CONFIG: errors.InvalidConfigurationError,
    KafkaError.POLICY_VIOLATION: errors.PolicyViolationError,
    KafkaError.TOPIC_EXCEPTION: errors.InvalidTopicError,
}


@pytest.mark.parametrize(("expected", "known"), [(LogTooLarge, SIZES), (LogRefused, OTHERS)])
def test_both_clients_sort_refusals_alike(expected: type[LogError], known: dict[int, type[errors.KafkaError]]) -> None:
    """A wrong clock or a policy is somebody's to mend: the record is good, and waits."""
    for code, error in known.items():
        assert error.errno == code
        assert type(confluent.Reach(HERE).log_error("appending", KafkaError(code), confluent.Heard())) is expected
        assert type(kafka_python.Reach(HERE).log_error("appending", error())) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "sasl_plaintext://kafka:9092/bootstrap: SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Request not valid in current SASL state: broker's supported mechanisms: ",
            "kafka kafka:9092: admin: it doesn't take SCRAM-SHA-512 on this port: sasl_plaintext://",
        ),
        (
            "sasl_plaintext://kafka:9092/bootstrap: SASL authentication error: Authentication failed",
            "kafka kafka:9092: admin: it refuses alice: sasl_plaintext://",
        ),
    ],
)
def test_confluent_tells_a_port_that_takes_no_login_from_a_user_who_is_refused(line: str, expected: str) -> None:
    """The one is mended in our configuration, the other with the brokers' administrator."""
    heard = confluent.Heard()
    heard.error(KafkaError(KafkaError._AUTHENTICATION, line))  # noqa: SLF001  the library's own name
    reach = confluent.Reach(Connection.model_validate({"servers": ["kafka:9092"], "sasl": ALICE}))
    silent = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001  the library's own name
    assert str(reach.log_error("admin", silent, heard)).startswith(expected)


def test_confluent_names_the_setting_that_two_instances_share() -> None:
    """As it is written in the configuration."""
    told = confluent.Reach(HERE).log_error("group", KafkaError(KafkaError.FENCED_INSTANCE_ID), confluent.Heard())
    assert str(told).endswith("another instance uses this name; give each instance an `instance` of its own")


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
def test_an_authority_that_can_not_be_read_is_named_before_anything_is_connected(client: str) -> None:
    """In the words of every other log and sink; the servers stand beside it."""
    settings = {"servers": ["kafka:9092"], "client": client, "tls": {"ca": "/none/ca.pem"}}
    with pytest.raises(LogDenied, match=r"^kafka kafka:9092: tls\.ca /none/ca\.pem: No such file or directory; expected a PEM"):
        connect(Connection.model_validate(settings))

"""What kafka-python shows of a server that can't be reached, in words that stay while the cause does."""

from __future__ import annotations

from kafka import errors

from spikebridge.kafka.connection import Sasl
from spikebridge.kafka.kafka_python.causes import Causes

ALICE = Sasl.model_validate({"mechanism": "SCRAM-SHA-512", "user": "alice", "password": "s3cret"})
WORDS = errors.SaslAuthenticationFailedError("invalid credentials with SASL mechanism SCRAM-SHA-512")
CUT = errors.KafkaConnectionError("socket disconnected")


def test_a_refused_login_is_told_alike_whether_its_words_came_or_not() -> None:
    """The library loses an answer that comes with the end of the connection, now and then: a log would change at each try."""
    causes = Causes(ALICE)
    lost = causes.of("kafka:9092", CUT, spoke_kafka=True)
    assert (lost.denied, lost.cut) == (True, True)
    assert lost.text == "it closed the connection at the login of alice: the name or the secret is wrong"

    told = [causes.of("kafka:9092", error, spoke_kafka=True) for error in (WORDS, CUT, WORDS, CUT, CUT)]
    assert {cause.text for cause in told} == {"it refuses alice: invalid credentials with SASL mechanism SCRAM-SHA-512"}
    assert {(cause.denied, cause.cut) for cause in told} == {(True, False)}
    assert causes.of("other:9092", CUT, spoke_kafka=True) == lost


def test_the_words_of_a_server_that_let_us_in_since_are_not_said_again() -> None:
    """Nor are those of a refusal said where the connection ends before the login."""
    causes = Causes(ALICE)
    causes.of("kafka:9092", WORDS, spoke_kafka=True)
    assert causes.of("kafka:9092", CUT, spoke_kafka=False).text.startswith("it closed the connection at our first words")
    causes.reached("kafka:9092")
    assert causes.of("kafka:9092", CUT, spoke_kafka=True).cut


def test_a_port_that_speaks_tls_is_told_alike_whether_its_alert_came_or_not() -> None:
    """The library reads the alert's first four bytes as the length of an answer."""
    causes = Causes(None)
    alert = errors.KafkaConnectionError(f"Invalid frame length: {int.from_bytes(bytes((21, 3, 3, 0)))}")
    told = {causes.of("kafka:9093", error, spoke_kafka=False).text for error in (alert, CUT)}
    assert told == {"it closed the connection at our first words: it may speak TLS on this port, or not be Kafka"}


def test_a_server_that_does_not_answer_is_told_alike_however_long_was_waited() -> None:
    """Several servers share the time of a call, so it is another one at each try."""
    causes = Causes(None)
    waits = [errors.KafkaTimeoutError(f"Timeout after {waited} ms") for waited in (2_500, 2_483)]
    assert {causes.of("kafka:9092", wait, spoke_kafka=False).text for wait in waits} == {"no answer in time"}

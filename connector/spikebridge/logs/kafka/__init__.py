"""
Topics of Apache Kafka as spike log, alert log and revisions log: for many instances, and for more than one machine carries.

::

    logs:
      plant:
        type: kafka
        servers: [kafka-1:9092, kafka-2:9092, kafka-3:9092]
        topics: [spikes]
        sasl: {mechanism: SCRAM-SHA-512, user: spikebridge, password: "${env:KAFKA_PASSWORD}"}
        tls: {ca: ca.pem}

Every instance with this configuration joins the same consumer groups, one for each stage, and gets its share of the partitions.
A record's value is a frame as it is or JSON, and its first bytes tell which: readers look at no header, also not at the `content-type` that
`spikebridge send` writes for other tools.
Nothing is committed by itself and nothing is written in transactions: alerts are appended and acknowledged first, then the position is
committed, and whoever starts from one repeats what it must, byte for byte.
"""

from __future__ import annotations

from spikebridge.logs.kafka.settings import Names, Settings

__all__ = ["Names", "Settings"]

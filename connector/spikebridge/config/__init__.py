"""
The one configuration: a YAML file, environment variables over it, secrets by reference.

::

    tenant: default
    data: data
    inventory: inventory.yaml
    mappings: [mappings]
    limits: {look_back: 30m, max_unknown_devices: 200000}
    spool: {age: 24h, size: 8GB, on_full: refuse}
    sinks:
      store: {type: store}
      lines: {type: file, path: alerts.jsonl, filter: {severity: High, kind: [alert]}}
    metrics: {listen: "127.0.0.1:9464"}
    log: {format: auto, level: info}

`SPIKEBRIDGE_LOG__LEVEL=debug` sets `log.level`: names in capitals, `__` between levels.
A value that begins with `[`, `{` or a quote is read as YAML, any other as it stands.
`${env:NAME}` and `${file:PATH}` inside a text are replaced; what they held is never shown.
Relative paths are relative to the configuration file, without one to the working directory.
"""

from spikebridge.config.load import Config, Log, Sink, config_schema, load_config, shipped_mappings

__all__ = ["Config", "Log", "Sink", "config_schema", "load_config", "shipped_mappings"]

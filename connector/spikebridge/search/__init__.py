"""
What Elasticsearch and OpenSearch have in common, as much of it as possible without a server.

Pure: `documents` (findings to bulk actions), `answers` (what an answer means for an alert), `fields` and `templates` (what `setup` installs),
`rights` (what a key needs). Edges: `server` (HTTP), `bulk` (the sink's work), `installing`, `probe_server`.
Only `server` needs the extra `elastic`, and it is imported when something connects.
"""

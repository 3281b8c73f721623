#!/bin/sh
# Write .env beside docker-compose.yml, with secrets that nobody has seen before; one that is there stays as it is.
set -eu
umask 077
env="$(dirname "$0")/../../../.env"
if [ -e "$env" ]; then
  echo "$env is there already" >&2
  exit 0
fi

secret() {
  # letters and digits at random, and what servers that count kinds of letters ask for
  printf '%s-Aa1' "$(LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 24)"
}

token() {
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | sed -E 's/(.{8})(.{4})(.{4})(.{4})(.{12})/\1-\2-\3-\4-\5/'
}

# Beside Kafka and the service: elastic, opensearch, splunk, or several with commas, or nothing.
# Splunk asks you to accept its terms: SPLUNK_GENERAL_TERMS=--accept-sgt-current-at-splunk-com, after you have read them.
cat > "$env" <<END
COMPOSE_PROFILES=elastic
KAFKA_PASSWORD=$(secret)
ELASTIC_PASSWORD=$(secret)
KIBANA_PASSWORD=$(secret)
OPENSEARCH_PASSWORD=$(secret)
SPLUNK_PASSWORD=$(secret)
SPLUNK_HEC_TOKEN=$(token)
SPLUNK_GENERAL_TERMS=
END

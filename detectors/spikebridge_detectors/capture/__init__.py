"""What a sensor sees, as columns: packets, flows and series, from files, tables or an interface. Payloads and addresses stay outside."""

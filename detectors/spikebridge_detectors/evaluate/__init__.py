"""How well detectors find attacks, at what rate of false alarms: measured on captures with known attacks."""

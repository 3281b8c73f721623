"""The detector of radio: an envelope that is too even, too strong, too full or another's."""

"""
Shapes in which a finding leaves: one module each, `document` makes plain dicts, `encode` the same as JSON bytes.

Pure: equal findings give equal bytes, whatever was made before.
"""

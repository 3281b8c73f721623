"""
Figures from real servers: a broker, and where wanted an Elasticsearch, that somebody else has started.

What is measured runs as processes, as operators run it; peers read the same topic on the same cores. `rows.py` lists the rows.
"""

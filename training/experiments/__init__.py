"""The paper's experiments: what is trained for each, what is measured of it, and the
tables and plots that come of it."""

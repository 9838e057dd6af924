"""The names under which the Lakh datasets and the Million Song Dataset know a file and a track."""

import re

MD5 = re.compile(r"[0-9a-f]{32}")
TRACK_ID = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")

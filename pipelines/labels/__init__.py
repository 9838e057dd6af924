"""Labels: which table becomes which, from the side files of [affect] to a label for every song.

match lists          matches.py   ─▶ MATCHES   md5, track, score        ─┐
MSD files, lists     msd, tracks  ─▶ TRACKS    track, artist, title, …  ─┼─ join.py ─▶ JOINED
label tables         tables.py    ─▶ LABELS    key, id, valence, energy ─┘   a match with all
                                                                             that is known of it
JOINED               resolve.py   ─▶ the match that each song takes, its rivals
+ names, MSD, notes  trust.py     ─▶ TRUST     label_trust, evidence, the numbers behind it
= LABELLED           one row a song
duplicate clusters   propagate.py ─▶ LABELLED with a lender
training songs       thresholds.py ─▶ classes and quadrants
shared names, tracks groups.py    ─▶ KEYS ─▶ splits.py: one split a group
all of it            summary.py   ─▶ the counts of the manifest
"""

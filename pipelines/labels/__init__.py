"""Labels: which table becomes which, from the side files of [affect] to a label and a split
for every song.

match lists          matches.py       ─▶ MATCHES   md5, track, score        ─┐
MSD files, lists     msd, tracks      ─▶ TRACKS    track, artist, title, …  ─┼─ join.py ─▶ JOINED
label tables         tables.py        ─▶ LABELS    key, id, valence, energy ─┘   a match with all
                                                                                 that is known of it
JOINED               resolve.py       ─▶ the match that each song takes, its rivals
= MATCHED            one row a song
+ all songs, notes   corroboration.py ─▶ COUNTS    what speaks for and against a match elsewhere
+ names, MSD         trust.py         ─▶ TRUST     label_trust, evidence, the numbers behind it
= LABELLED           settle.py: what is refused, what is rescued
duplicate clusters   propagate.py     ─▶ LABELLED, one label a cluster
shared names, tracks groups.py        ─▶ KEYS, sure or doubtful ─┐
published splits     given.py         ─▶ GIVEN                  ─┴─ allot.py: groups closed, cut
                                          (cuts.py), split (splits.py), set aside (ties.py)
training songs       thresholds.py    ─▶ classes and quadrants
all of it            summary.py       ─▶ the counts of the manifest
"""

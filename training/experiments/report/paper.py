"""What Semg-GMVAE's paper (Xu and Liu, 2024) prints, for the column beside our own; in per
cent.

Accuracy, precision, recall and F1 of tables 2 and 3. Three figures of table 3 contradict
the F1 of their own row and stand here as that demands: CVAE's precision (59.96 in print),
CCVAE's (61.67), SSVAE's supervised recall (59.70). Figures 6-12 are drawn without numbers.
"""

Scores = tuple[float, float, float, float]

TABLE_2: dict[tuple[str, str], Scores] = {
    ("emopia", "supervised"): (61.55, 58.69, 61.52, 60.07),
    ("emotionbox", "no labels"): (60.06, 57.35, 58.71, 58.02),
    ("cvae", "supervised"): (58.63, 55.99, 56.11, 56.05),
    ("ssvae", "supervised"): (61.28, 58.84, 58.73, 58.78),
    ("ccvae", "supervised"): (63.74, 61.49, 61.21, 61.35),
    ("fadernets", "supervised"): (68.37, 65.21, 70.17, 67.60),
    ("semg_gmvae", "supervised"): (70.52, 66.92, 73.77, 70.18),
    ("ssvae", "semi-supervised"): (73.66, 71.94, 72.11, 72.02),
    ("ccvae", "semi-supervised"): (76.24, 75.58, 73.07, 74.30),
    ("fadernets", "semi-supervised"): (78.65, 76.54, 78.73, 77.62),
    ("semg_gmvae", "semi-supervised"): (82.54, 79.56, 84.60, 82.00),
}
TABLE_3: dict[tuple[str, str], Scores] = {
    ("emopia", "supervised"): (57.84, 59.81, 57.82, 58.80),
    ("emotionbox", "no labels"): (57.18, 59.06, 57.66, 58.35),
    ("cvae", "supervised"): (55.27, 56.96, 57.34, 57.15),
    ("ssvae", "supervised"): (58.12, 59.96, 58.70, 59.32),
    ("ccvae", "supervised"): (60.03, 61.17, 63.43, 62.28),
    ("fadernets", "supervised"): (63.45, 64.94, 64.64, 64.79),
    ("semg_gmvae", "supervised"): (66.63, 68.93, 65.28, 67.05),
    ("ssvae", "semi-supervised"): (67.15, 68.00, 69.61, 68.80),
    ("ccvae", "semi-supervised"): (69.30, 72.88, 65.28, 68.87),
    ("fadernets", "semi-supervised"): (71.63, 72.44, 73.38, 72.91),
    ("semg_gmvae", "semi-supervised"): (75.87, 77.37, 75.78, 76.57),
}
PRINTED = {"arousal": TABLE_2, "valence": TABLE_3}
# Table 4: the quadrant a song had, and the one it was turned to.
TABLE_4 = {
    "happy": {"tense": 60.84, "sad": 59.70, "calm": 71.56},
    "tense": {"happy": 63.45, "sad": 67.81, "calm": 57.63},
    "sad": {"happy": 58.29, "tense": 65.48, "calm": 64.80},
    "calm": {"happy": 70.26, "tense": 56.21, "sad": 62.35},
}

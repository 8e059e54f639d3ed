"""From a few hundred videos to an ordered page: a multi-task model, calibration, and a re-ranking."""

"""How good is it? Cases, models side by side, slices, seeds and rolling origins."""

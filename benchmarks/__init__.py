"""One runnable file per question; dated answers in results/."""

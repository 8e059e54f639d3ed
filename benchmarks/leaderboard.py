"""Every model on a file of histories in order, against the published results on the same file.

    python -m benchmarks.leaderboard --data DIR/ml-1m --seed 1

DIR/ml-1m/interactions.parquet holds viewer_id, video_id and position. Each viewer's last interaction in it becomes the held-out
file; everything else is what `upnext evaluate` trains on, so the command measured here is the one that people run. In the
5-core MovieLens-1M file of SASRec and BERT4Rec without each viewer's last item, that is the item before last: what published
work validates on. Bars beside the result are on the last item, so they say where good is, not who won.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from benchmarks import results_file
from cli.console import TerminalListener, console
from pipelines import presets
from pipelines.evaluation import bare_files
from pipelines.progress import Stages

PUBLISHED = {
    "BERT4Rec": (0.2821, 0.1516),
    "SASRec, original loss": (0.2392, 0.1259),
    "gSASRec": (0.3003, 0.1726),
    "SASRec, softmax (RecTools)": (0.3058, 0.1779),
    "SASRec+, 3,000 negatives": (0.3159, 0.1857),
}
"""HR@10 and NDCG@10 on the last item of MovieLens-1M, full ranking of 3,416, seen items filtered."""


def split(interactions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Everything but each viewer's last interaction, and those."""
    ordered = interactions.sort("viewer_id", "position")
    last = ordered.group_by("viewer_id", maintain_order=True).last()
    return ordered.join(last, on=["viewer_id", "position"], how="anti"), last.select("viewer_id", "video_id")


def main() -> None:
    """Print and keep the leaderboard."""
    parser = results_file.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder with interactions.parquet.")
    parser.add_argument("--seed", type=int, default=1, help="Of everything drawn; one run each, side by side if wanted.")
    parser.add_argument("--set", dest="override", action="append", default=[], help="section.key=value, repeatable.")
    arguments = parser.parse_args()
    stages = Stages(TerminalListener())
    with TemporaryDirectory() as folder:
        train, held_out = Path(folder) / "train.parquet", Path(folder) / "held_out.parquet"
        for frame, path in zip(split(pl.read_parquet(arguments.data / "interactions.parquet")), (train, held_out), strict=True):
            frame.write_parquet(path)
        config = presets.reseeded(presets.configure("demo", arguments.override), arguments.seed)
        board = bare_files.evaluate(train, held_out, None, config, stages)
    console.print(board.to_table())
    for name, (hit_rate, ndcg) in PUBLISHED.items():
        console.print(f"  {name}: {hit_rate:.4f} / {ndcg:.4f} (published, last item)")
    result = {**board.to_json(), "stages": stages.to_json(), "published_on_last_item": PUBLISHED}
    results_file.keep(f"leaderboard-{arguments.data.name}-seed-{arguments.seed}", result, arguments)


if __name__ == "__main__":
    main()

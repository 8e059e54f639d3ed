"""The training run as a Metaflow flow: one line of work per step, in `steps`; what is written here is their order.

    start (ingest) → validate → [rows] per span of days → gather_rows → features
        → [train_retrieval → build_index → train_ranker → evaluate] per seed → compare_seeds
        → register → gates → deploy → monitor_baseline → end (track)

Artefacts are ids, keys and numbers only. `upnext pipeline run` starts it (`launch`); by hand it is
`python pipelines/flow.py run --folder var/<space>/pipeline/<run>`, with PYTHONSAFEPATH=1, as the modules beside this file have
everyday names. Written to run with `--with kubernetes` as well, which was not tried: docs/pipeline.md says what that needs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaflow import FlowSpec, Parameter, card, step
from metaflow.cards import MetaflowCard

from core.process import follow_parent
from pipelines.orchestration import job, steps


class TrainingFlow(FlowSpec):
    """From a log of viewers to a live release."""

    folder = Parameter("folder", help="The run's folder, with its request: var/<space>/pipeline/<run>.", required=True)

    @step
    def start(self) -> None:
        """Ingest: the log as a snapshot."""
        self.snapshot_id, self.log_offset = self._do("ingest", steps.ingest)
        self.next(self.validate)

    @step
    def validate(self) -> None:
        """Stop here on data that nothing should be learned from."""
        self.spans = self._do("validate", steps.validate, self.snapshot_id)
        self.next(self.rows, foreach="spans")

    @step
    def rows(self) -> None:
        """Training rows of some days."""
        self.row_files = self._do(f"rows {self.index + 1}", steps.rows, self.snapshot_id, self.input)
        self.next(self.gather_rows)

    @step
    def gather_rows(self, inputs: Any) -> None:
        """Of all spans, in order."""
        branches = sorted(inputs, key=lambda branch: branch.index)
        self.snapshot_id, self.log_offset = branches[0].snapshot_id, branches[0].log_offset
        self.row_files = [branch.row_files for branch in branches]
        self.next(self.features)

    @step
    def features(self) -> None:
        """Features at the log's end; then once per seed."""
        self.feature_files = self._do("features", steps.features, self.snapshot_id)
        self.seeds = list(job.read(Path(self.folder)).seeds)
        self.next(self.train_retrieval, foreach="seeds")

    @step
    def train_retrieval(self) -> None:
        """Two towers."""
        self.seed = self.input
        self.towers = self._do("train retrieval", steps.train_retrieval, self.snapshot_id, self.row_files)
        self.next(self.build_index)

    @step
    def build_index(self) -> None:
        """What finds videos."""
        self.index_files = self._do("index", steps.index, self.snapshot_id, self.towers)
        self.next(self.train_ranker)

    @step
    def train_ranker(self) -> None:
        """What orders them."""
        self.ranker = self._do("train ranker", steps.train_ranker, self.snapshot_id, self.row_files, self.towers)
        self.next(self.evaluate)

    @step
    def evaluate(self) -> None:
        """The recommender that these files make, against tuned baselines."""
        parts = (self.feature_files, self.towers, self.index_files, self.ranker)
        self.files, self.board = self._do("evaluate", steps.evaluate, self.snapshot_id, self.log_offset, *parts)
        self.next(self.compare_seeds)

    @card(type="upnext_page")
    @step
    def compare_seeds(self, inputs: Any) -> None:
        """All seeds side by side. The config's own goes on: choosing the luckiest would be choosing on the test."""
        branches = sorted(inputs, key=lambda branch: branch.seeds.index(branch.seed))
        self.snapshot_id, self.files, self.board = (getattr(branches[0], name) for name in ("snapshot_id", "files", "board"))
        seeds = self._do("compare seeds", steps.compare_seeds, [branch.board for branch in branches])
        self.page = steps.seeds_page(Path(self.folder), seeds)
        self.next(self.register)

    @step
    def register(self) -> None:
        """A release, which nothing serves yet."""
        self.release_id = self._do("register", steps.register, self.snapshot_id, self.files, self.board)
        self.next(self.gates)

    @card(type="upnext_page")
    @step
    def gates(self) -> None:
        """May it serve?"""
        self.page = self._do("gates", steps.gates, self.release_id)
        self.next(self.deploy)

    @step
    def deploy(self) -> None:
        """Live."""
        self._do("deploy", steps.deploy, self.release_id)
        self.next(self.monitor_baseline)

    @step
    def monitor_baseline(self) -> None:
        """What later traffic is compared with."""
        self._do("monitor baseline", steps.monitor_baseline, self.snapshot_id)
        self.next(self.end)

    @card(type="upnext_page")
    @step
    def end(self) -> None:
        """Among all recorded runs."""
        self.page = self._do("track", steps.track, self.snapshot_id, self.release_id)

    def _do(self, name: str, work: Callable[..., Any], *given: Any) -> Any:
        return job.perform(Path(self.folder), name, getattr(self, "seed", None), work, *given)


class PageCard(MetaflowCard):
    """The page that the step has written, as its card: seeds, gates, lineage. Metaflow's own fetch fonts from the network."""

    type = "upnext_page"

    def render(self, task: Any) -> str:
        """The page."""
        return steps.page(Path(task["folder"].data), task["page"].data)


if __name__ == "__main__":
    from metaflow.plugins import CARDS

    follow_parent()  # a task must not outlive its run
    CARDS.append(PageCard)
    TrainingFlow()

"""Settings of the two towers and of the index over their vectors. Torch-free, so that the service may read them."""

from dataclasses import dataclass, field

from core.errors import ConfigError
from embeddings.id_tables import WHOLE, IdTableConfig

POOLS, TRANSFORMER, SOLVED = "pools", "transformer", "solved"
COSINE, DOT = "cosine", "dot"
FLOAT32, BFLOAT16 = "float32", "bfloat16"


@dataclass(frozen=True)
class TransformerConfig:
    """The viewer tower that reads the history in order, and how it is trained."""

    layers: int = 2
    heads: int = 2
    hidden: int = 256
    """Width of the feed-forward layer."""
    gated: bool = True
    """Multiply what a block adds by a learned gate of its input."""
    dropout: float = 0.2
    batch_clicks: int = 4_096
    """Places per step, padding included: runs of one viewer's clicks, as many as fit."""
    weight_decay: float = 0.01
    """Decoupled (AdamW), on the matrices of the layers."""
    max_gradient: float = 1.0
    """Longer gradients are cut to this length."""
    warmup: float = 0.05
    """Share of the steps over which learning rates rise from 0."""


@dataclass(frozen=True)
class SolvedConfig:
    """Towers that are solved for (`retrieval.solved`). None: chosen on videos hidden from them."""

    sweeps: int = 12
    """Times that all viewers' and all videos' equations are solved in turn."""
    alpha: float | None = None
    """iALS: how much more a watched pair counts than another one."""
    l2: float | None = None
    """iALS: regularisation."""
    ridge: float | None = None
    """EASE: regularisation, in interactions per video."""
    mix: float | None = None
    """Weight of EASE; 1 gives its scores the spread of those of iALS."""


@dataclass(frozen=True)
class TwoTowerConfig:
    """Everything that decides what a training run of the towers produces."""

    dim: int = 64
    """Length of viewer and video vectors, and of an id's row."""
    hidden: tuple[int, ...] = (256,)
    """Widths of the hidden layers of both towers. Without any, a vector is the normalised sum of its parts."""
    viewer: str = POOLS
    """How the history becomes a vector: pools (three weighted means), transformer (in order) or solved (the solution of the
    viewer's equations)."""
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    solved: SolvedConfig = field(default_factory=SolvedConfig)
    ids: IdTableConfig = field(default_factory=IdTableConfig)
    """How many rows describe the ids of videos: one each, or fewer."""
    code_dim: int = 8
    """Length of the vector of a viewer attribute or context code."""
    history_length: int = 50
    """Clicks read from ViewerPart.history_BL, most recent first."""
    recent: int = 3
    """The third pool averages this many latest clicks."""
    decay: float = 8.0
    """The second pool weights the click at position l by exp(−l / decay)."""
    id_dropout: float = 0.1
    """Probability that a candidate is shown without its id in training, so that content alone must do."""
    batch_size: int = 1024
    uniform_negatives: int = 1024
    """Drawn from the whole catalogue and shared by the batch. For pools, the batch's own videos are negatives too."""
    batch_negatives: int = 0
    """For the transformer: how many of the batch's own videos are negatives too."""
    epochs: int = 6
    table_learning_rate: float = 0.05
    """Row-wise Adagrad on video ids."""
    dense_ids: bool = False
    """Train the ids of a catalogue that is small enough with Adam at `learning_rate` instead."""
    code_learning_rate: float = 0.005
    """Adam on the tables of codes."""
    learning_rate: float = 0.001
    """Adam on the layers."""
    schedule: str = "cosine"
    """cosine (to a tenth) or constant; applies to every learning rate."""
    similarity: str = COSINE
    """cosine (unit vectors) or dot: lengths then say how likely a video is for anyone."""
    temperature: float = 0.07
    """Divides the similarity in the softmax."""
    logq: bool = True
    """Subtract the log of each candidate's sampling probability (Yi et al., RecSys 2019)."""
    precision: str = FLOAT32
    """float32, or bfloat16 for the products inside the towers; weights, looked-up rows and the loss stay float32."""
    processes: int = 1
    """How many share each step on this machine; same loss, same weights. In a group that torchrun made, its size counts."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Raises ConfigError on values that cannot work."""
        if self.precision not in (FLOAT32, BFLOAT16):
            raise ConfigError(f"precision '{self.precision}' is neither {FLOAT32} nor {BFLOAT16}")
        if not 1 <= self.processes <= self.batch_size // 2:
            raise ConfigError(f"processes {self.processes} must be from 1 to half of batch_size, {self.batch_size}")
        if self.viewer == SOLVED and (self.processes > 1 or self.precision != FLOAT32):
            raise ConfigError(f"solved towers take no steps that {self.processes} processes or {self.precision} could speed up")
        if self.viewer not in (POOLS, TRANSFORMER, SOLVED):
            raise ConfigError(f"viewer '{self.viewer}' is none of {POOLS}, {TRANSFORMER}, {SOLVED}")
        if self.similarity not in (COSINE, DOT):
            raise ConfigError(f"similarity '{self.similarity}' is neither {COSINE} nor {DOT}")
        if self.viewer == TRANSFORMER and self.dim % self.transformer.heads:
            raise ConfigError(f"dim {self.dim} must be divisible by heads {self.transformer.heads}")
        if self.viewer == SOLVED and (self.similarity != DOT or self.hidden or self.dim % 8):
            raise ConfigError("solved towers have similarity dot, no hidden layers and a dim divisible by 8")
        if self.viewer == SOLVED and self.ids.scheme != WHOLE:
            raise ConfigError(f"solved towers solve for a row per video; leave ids.scheme at '{WHOLE}'")
        if self.schedule not in ("cosine", "constant"):
            raise ConfigError(f"schedule '{self.schedule}' is neither cosine nor constant")
        if self.dim % 4 or self.code_dim % 4:
            raise ConfigError(f"dim {self.dim} and code_dim {self.code_dim} must be divisible by 4")
        if self.temperature <= 0 or not 0 <= self.id_dropout < 1:
            raise ConfigError(f"temperature {self.temperature} must be > 0 and id_dropout {self.id_dropout} in [0, 1)")
        if self.batch_size < 2 or self.uniform_negatives < 0:
            raise ConfigError("batch_size must be at least 2 (the batch holds the negatives), uniform_negatives at least 0")

    @staticmethod
    def tiny() -> "TwoTowerConfig":
        """Seconds, for tests."""
        return TwoTowerConfig(dim=32, hidden=(64,), batch_size=256, uniform_negatives=256, epochs=4)

    @staticmethod
    def demo() -> "TwoTowerConfig":
        """Under a minute for 130 k clicks on 50 k videos."""
        return TwoTowerConfig()

    @staticmethod
    def sequence() -> "TwoTowerConfig":
        """Histories in order and nothing else: half an hour for a million clicks on a few thousand videos."""
        return TwoTowerConfig(
            dim=128,
            hidden=(),
            viewer=TRANSFORMER,
            history_length=200,
            similarity=DOT,
            temperature=1.0,
            dense_ids=True,
            epochs=30,
        )

    @staticmethod
    def set_of_videos() -> "TwoTowerConfig":
        """Histories without order and nothing else: a few minutes for a million pairs on a few thousand videos."""
        return TwoTowerConfig(dim=512, hidden=(), viewer=SOLVED, history_length=1_000, similarity=DOT, temperature=1.0)

    @staticmethod
    def full() -> "TwoTowerConfig":
        """A million videos."""
        return TwoTowerConfig(dim=128, hidden=(512, 256), batch_size=4096, uniform_negatives=4096, epochs=4)


@dataclass(frozen=True)
class IndexConfig:
    """How the vectors are searched."""

    kind: str = "auto"
    """auto (exact below `exact_below` vectors, ivf below `flat_below`, then ivfpq), exact, ivf, ivfpq, half or hnsw."""
    exact_below: int = 20_000
    flat_below: int = 200_000
    """From here on it is faster to look at codes than at vectors."""
    hnsw_links: int = 32
    """Neighbours kept per vector and layer."""
    hnsw_build_depth: int = 200
    ivf_lists: int = 0
    """0 means √n."""
    pq_parts: int = 0
    """Sub-vectors of a compressed vector, 4 bits each; 0 means one for every two dimensions."""
    effort: int = 64
    """Where tuning starts: efSearch of hnsw, lists probed by ivf and ivfpq. A quarter more until the recall bound holds."""
    max_effort: int = 2048
    min_recall: float = 0.99
    """Measured against exact search, below which an index is refused."""
    recall_at: int = 100
    recall_queries: int = 200
    seed: int = 1

    def __post_init__(self) -> None:
        """Raises ConfigError on an unknown kind."""
        if self.kind not in ("auto", "exact", "ivf", "ivfpq", "half", "hnsw"):
            raise ConfigError(f"index kind '{self.kind}' is none of auto, exact, ivf, ivfpq, half, hnsw")

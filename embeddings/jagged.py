"""Bags of rows by feature: torchrec's KeyedJaggedTensor, or a plain stand-in where torchrec or fbgemm is not installed.

fbgemm has no wheel for macOS, and torchrec does not import without it; detection asks for both, once. The stand-in has the part
of the interface that this project uses, and the same layout: values of the first feature's B bags, then of the second's, …
"""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

HAS_TORCHREC = find_spec("torchrec") is not None and find_spec("fbgemm_gpu") is not None


class PlainJagged:
    """F features × B bags of rows."""

    def __init__(self, keys: Sequence[str], values: Tensor, *, lengths: Tensor, weights: Tensor | None = None) -> None:
        self._keys, self._values, self._lengths, self._weights = list(keys), values, lengths, weights
        self._lengths_FB = lengths.view(len(self._keys), -1)

    def keys(self) -> list[str]:
        """Features, in the order of their values."""
        return self._keys

    def stride(self) -> int:
        """B, the number of bags of each feature."""
        return self._lengths_FB.shape[1]

    def values(self) -> Tensor:
        """[n] rows."""
        return self._values

    def lengths(self) -> Tensor:
        """[F · B] rows in each bag."""
        return self._lengths

    def weights_or_none(self) -> Tensor | None:
        """[n] weight of each row."""
        return self._weights

    def to(self, device: torch.device) -> "PlainJagged":
        """The same on another device."""
        weights = None if self._weights is None else self._weights.to(device)
        return PlainJagged(self._keys, self._values.to(device), lengths=self._lengths.to(device), weights=weights)

    def permute(self, order: Sequence[int]) -> "PlainJagged":
        """Some of the features, in another order."""
        sizes = self._lengths_FB.sum(dim=1).tolist()
        values = torch.split(self._values, sizes)
        weights = None if self._weights is None else torch.cat([torch.split(self._weights, sizes)[f] for f in order])
        keys, lengths = [self._keys[f] for f in order], self._lengths_FB[list(order)].reshape(-1)
        return PlainJagged(keys, torch.cat([values[f] for f in order]), lengths=lengths, weights=weights)


if HAS_TORCHREC:
    from torchrec.sparse.jagged_tensor import KeyedJaggedTensor as KeyedJaggedTensor
else:
    KeyedJaggedTensor = PlainJagged  # type: ignore[assignment,misc]

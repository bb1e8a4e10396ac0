"""One call of a map: the arguments of a row or a batch, its answer, and the checkpoint between them."""

from __future__ import annotations

from typing import Any

from .batches import Split, columns_of, cut
from .checkpoint import Checkpoint
from .map import Kept
from .methods import RowMethod


class RowCalls:
    """Answers rows, or batches of them.

    Args:
        method: the method.
        split: cuts the answer of a batch into those of its rows; None without batches.
        checkpoint: the finished rows; None to keep none.
    """

    def __init__(self, method: RowMethod, split: Split | None, checkpoint: Checkpoint | None) -> None:
        self._method = method
        self._split = split
        self._checkpoint = checkpoint

    async def __call__(self, index: int, row: Any) -> Any:
        arguments = row if self._split is None else columns_of(row)
        checkpoint, method = self._checkpoint, self._method
        if checkpoint is None:
            return self._cut(await method.call(arguments), row)
        body = method.encode(arguments)
        digest = method.digest(body)
        kept = checkpoint.find(index, digest)
        if kept is not None:
            return Kept(self._cut(await method.decode(kept), row))
        data = await method.send(body)
        answer = self._cut(await method.decode(data), row)  # what cannot be read is not finished
        checkpoint.add(index, digest, data)
        return answer

    def _cut(self, answer: Any, row: Any) -> Any:
        return answer if self._split is None else cut(answer, self._split, len(row))

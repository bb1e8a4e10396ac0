"""Modules of `make serve` that write and embed texts, with the tasks of caikit's libraries for language models.

`sample_lib` does not import them: the tests' runtimes have none of their tasks.
"""

import time
import zlib
from typing import List

import numpy as np
from caikit.core import ModuleBase, module
from caikit.core.data_model import DataStream
from caikit.interfaces.common.data_model import ListOfVector1D, Vector1D
from caikit.interfaces.nlp.data_model import (
    EmbeddingResults,
    FinishReason,
    GeneratedTextResult,
    GeneratedTextStreamResult,
)
from caikit.interfaces.nlp.tasks import EmbeddingTasks, TextGenerationTask

STORY = (
    "Once upon a time a client asked a server for a story. The server had only this one, and told it a word at a time. "
    "The client listened to every word. When it had heard enough, it left, and the server stopped at once. "
    "That is how both of them had time for other stories."
)


@module(id="00110203-0405-0607-0809-0a0b02dd0e20", name="WriterModule", version="0.1.0", task=TextGenerationTask)
class WriterModule(ModuleBase):
    """Tells one story, whatever it is asked: it is no language model, but answers as one does."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @TextGenerationTask.taskmethod()
    def run(self, text: str, max_new_tokens: int = 100) -> GeneratedTextResult:
        """The story's first words."""
        words = STORY.split()[:max_new_tokens]
        reason = FinishReason.EOS_TOKEN if len(words) < max_new_tokens else FinishReason.MAX_TOKENS
        return GeneratedTextResult(" ".join(words), len(words), reason, input_token_count=len(text.split()))

    @TextGenerationTask.taskmethod(output_streaming=True)
    def run_stream_out(
        self, text: str, max_new_tokens: int = 100, seconds_per_token: float = 0.02
    ) -> DataStream[GeneratedTextStreamResult]:
        """The story's first words, one after the other."""

        def stream():
            for number, word in enumerate(STORY.split()[:max_new_tokens]):
                time.sleep(seconds_per_token)
                yield GeneratedTextStreamResult(f" {word}" if number else word)

        return DataStream(stream)


@module(id="00110203-0405-0607-0809-0a0b02dd0e21", name="EmbedderModule", version="0.1.0", task=EmbeddingTasks)
class EmbedderModule(ModuleBase):
    """Counts letters in threes: texts of one language have vectors that are close to each other."""

    SIZE = 64

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    @EmbeddingTasks.taskmethod()
    def run(self, texts: List[str]) -> EmbeddingResults:
        """A vector of length 1 for each text."""
        return EmbeddingResults(ListOfVector1D([Vector1D.from_vector(self._embed(text)) for text in texts]))

    def _embed(self, text: str) -> np.ndarray:
        if not text.strip():
            raise ValueError("an empty text has no embedding")
        letters = f" {text.lower()} "
        threes = [zlib.crc32(letters[at : at + 3].encode()) % self.SIZE for at in range(len(letters) - 2)]
        counts = np.bincount(threes, minlength=self.SIZE).astype(np.float32)
        return counts / np.linalg.norm(counts)

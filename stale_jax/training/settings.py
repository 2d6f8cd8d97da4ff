"""Settings of a training run: its length, its batch, logging, saving and evaluation."""

import dataclasses

from stale_jax.evaluation import SUITES
from stale_jax.fields import check_fields, choice, number


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
  """Settings of a training run: its length, its batch, logging and saving.

  Attributes:
    steps: total number of optimizer updates.
    batch: examples per update, over all devices.
    accumulate: number of parts that a batch is split into, to save memory; their gradients are averaged.
    caption_dropout: share of examples that are trained without their caption, for classifier-free guidance;
      each micro-condition is dropped independently in the same share of examples.
    encoder_dropout: for models with `model.word_buckets`: the shares of examples in which the encoder of
      bytes, and independently that of words, does not read the caption. Examples without both are without
      their caption. Stable Diffusion 3 drops each of its encoders in .464 of the examples.
    init_from: weights to start from: a run's folder, a weights file, or a packaged model ("cartoons",
      "digits", "causal", "autoencoder"); "" draws them at random.
    log_every, checkpoint_every: steps between two log lines, and between two checkpoints.
    skips: steps in a row whose loss or gradient may be not finite. They are skipped and counted; the run
      ends when there are more in a row.
    keep: number of checkpoints to keep; older ones are deleted.
    processes: number of JAX processes that train together, usually one per host.
    silence: seconds without a heartbeat after which a process counts as dead.
    deterministic: whether a step returns the same bits each time also on a GPU, which a resumed run needs to
      end with the same bits; some operations are slower. CPUs and TPUs always do.
    new_data: whether a resumed run may read data that moved or changed since it began; its examples may then
      be others than those of an uninterrupted run. It holds for one start of a run.
    workers: number of worker processes, for each JAX process, that read and decode examples; 0: two threads
      of the JAX process do. Batches do not depend on it, and it may change when a run resumes.
  """

  steps: int = number(1000, least=1)
  batch: int = number(64, least=1)
  accumulate: int = number(1, least=1)
  caption_dropout: float = number(0.1, least=0, below=1)
  encoder_dropout: tuple[float, float] = number((0.0, 0.0), least=0, most=1)
  init_from: str = ""
  log_every: int = number(20, least=1)
  checkpoint_every: int = number(500, least=1)
  skips: int = number(10, least=0)
  keep: int = number(3, least=1)
  processes: int = number(1, least=1, most=1 << 20)
  silence: float = number(100.0, least=1, most=86400)
  deterministic: bool = True
  new_data: bool = False
  workers: int = number(0, least=0, most=1024)

  def __post_init__(self):
    check_fields(self, "training")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
  """Evaluation of the averaged weights during training.

  Attributes:
    every: steps between two evaluations; 0: never. The last step is evaluated, too.
    suites: suites of `evaluation.SUITES` to measure; "denoising" is the loss at fixed times with fixed noise.
    clips: number of clips that each suite measures.
    prompts: captions whose movies are shown in TensorBoard, always with the same noise.
    seed: seed of the noise.
  """

  every: int = number(0, least=0)
  suites: tuple[str, ...] = choice(("denoising",), SUITES)
  clips: int = number(64, least=2)
  prompts: tuple[str, ...] = ()
  seed: int = number(0, least=0)

  def __post_init__(self):
    check_fields(self, "evaluation")

"""The loop that runs every recipe, the devices it runs on, and what it keeps on disk."""

from jaxart.training.average import debias, exponential_average, half_life_decay
from jaxart.training.checkpoint import Checkpoints, DifferentRunError
from jaxart.training.compile import Limits, compile_steps, one_blas_thread
from jaxart.training.hooks import log_jsonl, log_tensorboard, periodically
from jaxart.training.loop import NotFiniteError, fit
from jaxart.training.recipe import Recipe, Step
from jaxart.training.sharding import (
    AXIS,
    any_process,
    batch_sharding,
    by_pmap,
    by_shard_map,
    connect,
    data_mesh,
    example_keys,
    mean_over,
    on_first_process,
    put,
    replicate,
    replicated,
    shard_batch,
    shard_padded,
    simulate_devices,
    this_process,
)

__all__ = [
    "AXIS",
    "Checkpoints",
    "DifferentRunError",
    "Limits",
    "NotFiniteError",
    "Recipe",
    "Step",
    "any_process",
    "batch_sharding",
    "by_pmap",
    "by_shard_map",
    "compile_steps",
    "connect",
    "data_mesh",
    "debias",
    "example_keys",
    "exponential_average",
    "fit",
    "half_life_decay",
    "log_jsonl",
    "log_tensorboard",
    "mean_over",
    "on_first_process",
    "one_blas_thread",
    "periodically",
    "put",
    "replicate",
    "replicated",
    "shard_batch",
    "shard_padded",
    "simulate_devices",
    "this_process",
]

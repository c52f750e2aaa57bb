"""The loop that runs every recipe, what its steps are made of, the devices it runs on, and what it keeps on disk."""

from jaxart.training.apply import apply_in_batches, apply_train
from jaxart.training.average import debias, exponential_average, half_life_decay
from jaxart.training.checkpoint import Checkpoints, DifferentRunError
from jaxart.training.compile import Limits, compile_steps, one_blas_thread
from jaxart.training.hooks import Hook, evaluate, log_jsonl, log_tensorboard, periodically
from jaxart.training.loop import NotFiniteError, fit
from jaxart.training.pool import ImagePool, image_pool, query_pool
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
from jaxart.training.update import Update, gradient_update, lazy_adam

__all__ = [
    "AXIS",
    "Checkpoints",
    "DifferentRunError",
    "Hook",
    "ImagePool",
    "Limits",
    "NotFiniteError",
    "Recipe",
    "Step",
    "Update",
    "any_process",
    "apply_in_batches",
    "apply_train",
    "batch_sharding",
    "by_pmap",
    "by_shard_map",
    "compile_steps",
    "connect",
    "data_mesh",
    "debias",
    "evaluate",
    "example_keys",
    "exponential_average",
    "fit",
    "gradient_update",
    "half_life_decay",
    "image_pool",
    "lazy_adam",
    "log_jsonl",
    "log_tensorboard",
    "mean_over",
    "on_first_process",
    "one_blas_thread",
    "periodically",
    "put",
    "query_pool",
    "replicate",
    "replicated",
    "shard_batch",
    "shard_padded",
    "simulate_devices",
    "this_process",
]

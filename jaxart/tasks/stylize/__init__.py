"""Optimized style transfer: paint a photograph with the statistics of paintings."""

from jaxart.losses import ADAIN, GRAM, WASSERSTEIN, StyleLoss
from jaxart.tasks.stylize.plan import (
    FIXED_PIXELS,
    ModePlan,
    ScalePlan,
    SheetPlan,
    choose_memory_modes,
    compare_memory_modes,
    estimate,
    memory_limit,
    needed_memory,
    plan,
    plan_sheet,
    step_work,
)
from jaxart.tasks.stylize.prepare import COLORS, INITS, Stylization, prepare
from jaxart.tasks.stylize.recipe import ADAM, LBFGS, MEMORY_MODES, WHOLE, Info, LossWeights, MemoryMode, State, picture
from jaxart.tasks.stylize.resume import noted_memory_modes
from jaxart.tasks.stylize.run import Progress, finished, run, scale_recipe, stylize
from jaxart.tasks.stylize.sheet import run_sheet, sheet_recipe, variations

STYLE_LOSSES: dict[str, StyleLoss] = {"wasserstein": WASSERSTEIN, "gram": GRAM, "adain": ADAIN}

__all__ = [
    "ADAM",
    "COLORS",
    "FIXED_PIXELS",
    "INITS",
    "LBFGS",
    "MEMORY_MODES",
    "STYLE_LOSSES",
    "WHOLE",
    "Info",
    "LossWeights",
    "MemoryMode",
    "ModePlan",
    "Progress",
    "ScalePlan",
    "SheetPlan",
    "State",
    "Stylization",
    "choose_memory_modes",
    "compare_memory_modes",
    "estimate",
    "finished",
    "memory_limit",
    "needed_memory",
    "noted_memory_modes",
    "picture",
    "plan",
    "plan_sheet",
    "prepare",
    "run",
    "run_sheet",
    "scale_recipe",
    "sheet_recipe",
    "step_work",
    "stylize",
    "variations",
]

"""Optimised style transfer: paint a photograph with the statistics of paintings."""

from jaxart.tasks.stylize.plan import (
    FIXED_PIXELS,
    RungPlan,
    ScalePlan,
    SheetPlan,
    choose_rungs,
    estimate,
    ladder,
    memory_limit,
    needed_memory,
    plan,
    plan_sheet,
    step_work,
)
from jaxart.tasks.stylize.prepare import COLORS, INITS, Stylization, prepare
from jaxart.tasks.stylize.recipe import ADAM, LADDER, LBFGS, WHOLE, Info, Rung, State, Strengths, picture
from jaxart.tasks.stylize.resume import noted_rungs
from jaxart.tasks.stylize.run import Progress, finished, run, scale_recipe, stylize
from jaxart.tasks.stylize.sheet import run_sheet, sheet_recipe, variations

__all__ = [
    "ADAM",
    "COLORS",
    "FIXED_PIXELS",
    "INITS",
    "LADDER",
    "LBFGS",
    "WHOLE",
    "Info",
    "Progress",
    "Rung",
    "RungPlan",
    "ScalePlan",
    "SheetPlan",
    "State",
    "Strengths",
    "Stylization",
    "choose_rungs",
    "estimate",
    "finished",
    "ladder",
    "memory_limit",
    "needed_memory",
    "noted_rungs",
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

"""Optimised style transfer: paint a photograph with the statistics of paintings."""

from jaxart.tasks.stylize.plan import FIXED_PIXELS, ScalePlan, estimate, plan
from jaxart.tasks.stylize.prepare import COLORS, INITS, Stylization, prepare
from jaxart.tasks.stylize.recipe import ADAM, LBFGS, Info, State, Strengths, picture
from jaxart.tasks.stylize.run import Progress, finished, run, scale_recipe, stylize

__all__ = [
    "ADAM",
    "COLORS",
    "FIXED_PIXELS",
    "INITS",
    "LBFGS",
    "Info",
    "Progress",
    "ScalePlan",
    "State",
    "Strengths",
    "Stylization",
    "estimate",
    "finished",
    "picture",
    "plan",
    "prepare",
    "run",
    "scale_recipe",
    "stylize",
]

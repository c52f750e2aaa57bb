"""Style transfer: paint a photograph with the statistics of paintings, optimized or by a network that has learned it."""

from jaxart.tasks.stylize.any_style import (
    ANY_STYLE,
    PAINTING_SIZE,
    AnyStyleInfo,
    AnyStyleModel,
    any_style,
    any_style_aims,
    any_style_network,
    as_many_styles,
    load_any_style,
    style_of,
)
from jaxart.tasks.stylize.arguments import COLORS, INITS, prepare
from jaxart.tasks.stylize.choose import ModePlan, choose_memory_modes, compare_memory_modes, memory_limit
from jaxart.tasks.stylize.export import export_styles, load_network
from jaxart.tasks.stylize.instant import (
    StyleModel,
    as_network,
    load_styles,
    new_tables,
    restyle,
    split_tables,
    style_mix,
    with_styles,
)
from jaxart.tasks.stylize.job import (
    MEMORY_MODES,
    WHOLE,
    MemoryMode,
    PaintingTargets,
    Stylization,
)
from jaxart.tasks.stylize.keep import noted_memory_modes
from jaxart.tasks.stylize.needs import FIXED_PIXELS
from jaxart.tasks.stylize.network import (
    NETWORK_ADAM,
    NetworkAims,
    NetworkInfo,
    NetworkState,
    many_styles,
    network_aims,
)
from jaxart.tasks.stylize.onnx_file import export_onnx
from jaxart.tasks.stylize.optimizers import ADAM, LBFGS, SMOOTHED_ADAM, Optimizer
from jaxart.tasks.stylize.paint import Progress, finished, run, stylize
from jaxart.tasks.stylize.predict import ScalePlan, estimate, needed_memory, plan, step_work
from jaxart.tasks.stylize.predict_sheet import SheetPlan, plan_sheet
from jaxart.tasks.stylize.recipe import scale_recipe
from jaxart.tasks.stylize.sheet import NotFiniteSheetError, run_sheet, sheet_recipe, variations
from jaxart.tasks.stylize.step import State, picture
from jaxart.tasks.stylize.targets import painting_targets
from jaxart.tasks.stylize.terms import Term, TermInputs, WeightedTerm

__all__ = [
    "ADAM",
    "ANY_STYLE",
    "COLORS",
    "FIXED_PIXELS",
    "INITS",
    "LBFGS",
    "MEMORY_MODES",
    "NETWORK_ADAM",
    "PAINTING_SIZE",
    "SMOOTHED_ADAM",
    "WHOLE",
    "AnyStyleInfo",
    "AnyStyleModel",
    "MemoryMode",
    "ModePlan",
    "NetworkAims",
    "NetworkInfo",
    "NetworkState",
    "NotFiniteSheetError",
    "Optimizer",
    "PaintingTargets",
    "Progress",
    "ScalePlan",
    "SheetPlan",
    "State",
    "StyleModel",
    "Stylization",
    "Term",
    "TermInputs",
    "WeightedTerm",
    "any_style",
    "any_style_aims",
    "any_style_network",
    "as_many_styles",
    "as_network",
    "choose_memory_modes",
    "compare_memory_modes",
    "estimate",
    "export_onnx",
    "export_styles",
    "finished",
    "load_any_style",
    "load_network",
    "load_styles",
    "many_styles",
    "memory_limit",
    "needed_memory",
    "network_aims",
    "new_tables",
    "noted_memory_modes",
    "painting_targets",
    "picture",
    "plan",
    "plan_sheet",
    "prepare",
    "restyle",
    "run",
    "run_sheet",
    "scale_recipe",
    "sheet_recipe",
    "split_tables",
    "step_work",
    "style_mix",
    "style_of",
    "stylize",
    "variations",
    "with_styles",
]

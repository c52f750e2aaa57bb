"""The command `jaxart`. Each file holds one command or family, its flags and its work; heavy imports wait until a command runs."""

import sys
import warnings

from cyclopts import App, CycloptsError, Group, Parameter

from jaxart.cli import (
    appraise,
    backtest,
    classify,
    compose,
    compress,
    data,
    instant,
    plan,
    restore,
    runs,
    search,
    segment,
    sheet,
    steer,
    stylize,
    system,
    translate,
    tune,
    weights,
)
from jaxart.cli.renamed import with_new_names
from jaxart.cli.terminal import fail
from jaxart.version import __version__


def _commands() -> dict[str, tuple]:
    """Return the commands by purpose, in the order of the help."""
    return {
        "Paint": (stylize.stylize, instant.styles, sheet.sheet, compose.compose, plan.plan, stylize.demo),
        "Train": (
            runs.train_app(),
            runs.resume,
            tune.tune_app(),
            runs.score,
            runs.export,
            compress.compress,
            runs.runs,
        ),
        "Generate": (runs.generate, steer.project, steer.edit, steer.mix, steer.interpolate, translate.translate),
        "Mend": (restore.restore,),
        "Understand": (classify.classify, classify.explain, segment.segment),
        "Value": (appraise.appraise, backtest.backtest),
        "Look at data": (data.app, search.index, search.search, search.originality),
        "System": (system.info, weights.app),
    }


def app() -> App:
    """Return the program, with a command for every kind of run that there is now."""
    made = App(
        name="jaxart",
        help="Deep learning for art.\n\nTry it: `jaxart demo`. Then: `jaxart stylize PHOTO PAINTING -o RESULT.png`",
        version=__version__,
        help_format="markdown",
        default_parameter=Parameter(negative=()),
        result_action="return_value",
    )
    for place, (purpose, commands) in enumerate(_commands().items(), 1):
        group = Group(purpose, sort_key=place)
        for number, command in enumerate(commands, 1):
            if isinstance(command, App):
                command.group, command.sort_key = group, number
                made.command(command)
            else:
                made.command(command, group=group, sort_key=number)
    for flag in ("--help", "--version"):
        made[flag].group = group
    return made


def main() -> None:
    """Run the command line and exit: 0 done, 1 something failed, 2 bad input, 130 interrupted."""
    warnings.formatwarning = lambda message, *_, **__: f"jaxart: {message}\n"
    words, notices = with_new_names(sys.argv[1:])
    for notice in notices:
        print(f"jaxart: {notice}", file=sys.stderr)
    try:
        code = app()(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        code = fail(f"{error} The command's --help explains its arguments.")
    except (ValueError, OSError) as error:
        code = fail(str(error))
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)

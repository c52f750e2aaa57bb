"""How the reference reads the docstrings: fields are attributes, and examples are code."""

import ast
import inspect
import re

import griffe


class Docstrings(griffe.Extension):
    """Turn what our docstrings have beyond the Google style into what the reference shows as tables and code."""

    def on_object(self, *, obj, **_):
        """Rewrite a docstring before it is parsed."""
        if obj.docstring:
            text = rewritten(inspect.cleandoc(obj.docstring.value))
            fields = (
                obj.is_class and "__init__" not in obj.members
            )  # then what it is made with are its attributes, with types
            obj.docstring.value = re.sub(r"^Args:$", "Attributes:", text, flags=re.MULTILINE) if fields else text

    def on_attribute_instance(self, *, attr, **_):
        """Show the help of an option as its text."""
        if re.match(r"Annotated\[.*\bOption\(['\"]", str(attr.annotation or ""), re.DOTALL):
            attr.annotation, option = attr.annotation.slice.elements
            attr.docstring = griffe.Docstring(ast.literal_eval(str(option.arguments[0])), parent=attr)


def rewritten(text):
    """Return a docstring with "Fields" as attributes, a line for each name, paragraphs for references, and fenced examples."""
    text = re.sub(r"^Fields:$", "Attributes:", text, flags=re.MULTILINE)
    text = re.sub(r"^(Args[^:\n]*: )", r"\n\1", text, flags=re.MULTILINE)
    text = re.sub(r"^(?:References?|Departures?)\b", lambda word: f"\n**{word[0]}**", text, flags=re.MULTILINE)
    text = re.sub(r"^ {4}(\w+), (\w+): (.*)$", r"    \1: \3\n    \2: \3", text, flags=re.MULTILINE)
    return re.sub(r"^>>> .*(?:\n.+)*", lambda example: f"```pycon\n{example[0]}\n```", text, flags=re.MULTILINE)

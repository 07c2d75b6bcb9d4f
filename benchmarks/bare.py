"""A machine without pydantic in, one on which the loop and the networks can be imported out.

Options are declared beside the code that reads them, as pydantic classes, since params.yaml must be checked. On a bare
GPU machine nothing is read from params.yaml: a class that keeps its values and checks nothing is enough. Declaring
every option twice, or every network in a file of its own without its options, would cost each model more than these
lines. Only `benchmarks/gpu.py` calls this; nothing in stages/ ever runs unchecked.
"""

import sys
from copy import deepcopy
from inspect import get_annotations
from types import ModuleType
from typing import Any

MISSING = object()


class BaseModel:
    """Values by keyword: those given, else the declared defaults. Unknown and missing names are refused."""

    def __init__(self, **given: Any) -> None:
        fields = self.fields()
        unknown, missing = set(given) - set(fields), {n for n, v in fields.items() if v is MISSING} - set(given)
        if unknown or missing:
            raise TypeError(f"{type(self).__name__}: unknown {sorted(unknown)}, missing {sorted(missing)}")
        self.__dict__.update({name: given.get(name, deepcopy(default)) for name, default in fields.items()})

    @classmethod
    def fields(cls) -> dict[str, Any]:
        names = [name for parent in reversed(cls.__mro__) for name in get_annotations(parent)]
        return {name: getattr(cls, name, MISSING) for name in names}

    @classmethod
    def model_validate(cls, given: Any) -> "BaseModel":
        return cls(**given)

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return dict(self.__dict__)

    def model_copy(self, *, update: dict[str, Any]) -> "BaseModel":
        return type(self)(**{**self.__dict__, **update})


def field(*, default: Any = MISSING, default_factory: Any = None, **_: Any) -> Any:
    return default if default_factory is None else default_factory()


def unchecked(*_: Any, **__: Any) -> Any:
    """A decorator such as field_validator, or an annotation such as AfterValidator, that does nothing."""
    return lambda function: function


def stand_in() -> bool:
    """Put a module named pydantic in place where there is none. True where it was needed."""
    try:
        import pydantic  # noqa: F401
    except ModuleNotFoundError:
        module: Any = ModuleType("pydantic")
        module.BaseModel, module.Field, module.ConfigDict = BaseModel, field, dict
        module.ValidationError, module.ValidationInfo = ValueError, Any
        for name in ("AfterValidator", "BeforeValidator", "field_validator", "model_validator"):
            setattr(module, name, unchecked)
        sys.modules["pydantic"] = module
        return True
    return False

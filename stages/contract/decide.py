"""What a right or wrong decision is worth, as declared."""

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.errors import ContractError, suggest


class Decide(Section):
    """`value[action][class]` is the money that an action earns when that class is the truth.

    Left empty, the decision is the most probable class.
    """

    currency: str | None = Field(default=None, min_length=3, max_length=3)
    value: dict[str, dict[str, float]] = {}

    def matrix(self, classes: list[str], path: str) -> tuple[list[str], np.ndarray]:
        """Actions [A] and their values float64 [C, A]. Raises ContractError on absent or unknown classes."""
        if not self.value:
            return list(classes), np.eye(len(classes))
        for action, values in self.value.items():
            for name in set(values) ^ set(classes):
                if name in values:
                    raise ContractError(
                        f"{path}.value.{action}.{name} is not a class of the target.{suggest(name, classes)} "
                        f"Classes: {', '.join(classes)}"
                    )
                raise ContractError(
                    f"{path}.value.{action} has no value for the class {name!r}; give one for each of "
                    f"{', '.join(classes)}"
                )
        table = [[values[name] for values in self.value.values()] for name in classes]
        return list(self.value), np.array(table, np.float64)

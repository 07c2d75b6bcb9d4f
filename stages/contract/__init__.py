"""params.yaml in, typed and frozen sections out. The only place that reads params.yaml."""

from stages.contract.loader import STAGES, Contract, load
from stages.contract.section import Section
from stages.contract.target import Target

__all__ = ["STAGES", "Contract", "Section", "Target", "load"]

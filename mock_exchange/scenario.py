"""Reads a scenario: a YAML or JSON list of timed faults."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mock_exchange.fault_kinds import AnyFault, FaultError, decode_faults
from shared.errors import ConfigurationError

_REMEDY = "docs/mock_exchange.md has the table of kinds and fields."


def load_scenario(path: Path) -> list[AnyFault]:
    """Read and check a scenario file; JSON is YAML too.

    Raises:
        ConfigurationError: one line that names the file, the entry and the field.
    """
    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        return decode_faults(document)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"cannot be read ({error})", _REMEDY) from error
    except YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigurationError(str(path), f"is not YAML ({problem})", _REMEDY) from error
    except FaultError as error:
        raise ConfigurationError(str(path), str(error), _REMEDY) from error

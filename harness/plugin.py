"""The pytest plugin: `pytest --preflight-config CONFIG` makes every contract a test item.

It is loaded into every pytest run on the machine, so nothing but pytest is imported before the option is given. Under
xdist the facts are gathered once, by the controller, and travel to the workers as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from preflight_ocr.harness.facts import Facts
    from preflight_ocr.harness.verdict.contracts import Judgement

_FACTS = "preflight_facts"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options `--preflight-*`."""
    group = parser.getgroup("preflight", "contracts between model, processor, collator, adapter and versions")
    group.addoption("--preflight-config", metavar="CONFIG", help="Check the setup in this YAML file.")
    group.addoption(
        "--preflight-level",
        choices=("read", "ran", "gpu"),
        help="How far to look (default: ran; gpu when -m gpu asks for it).",
    )
    group.addoption("--preflight-trust", action="store_true", help="Allow the model's and your own code to run.")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that contracts carry."""
    config.addinivalue_line("markers", "gpu: needs an accelerator")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist, in the controller, once per worker: hand it the facts, which are gathered for the first one."""
    if node.config.getoption("preflight_config"):
        controller = node.config.pluginmanager
        gathered = controller.get_plugin(_FACTS)
        if gathered is None:
            gathered = _Gathered(_gather(node.config).to_json().decode("utf-8"))
            controller.register(gathered, _FACTS)
        node.workerinput[_FACTS] = gathered.text


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the contracts in front of the other tests, before -k and -m choose among them."""
    if path := config.getoption("preflight_config"):
        from preflight_ocr.harness.facts import Facts

        given = getattr(config, "workerinput", {}).get(_FACTS)
        facts = Facts.from_json(given) if given else _gather(config)
        name = Path(path).name
        contracts = Contracts.from_parent(session, name=name, nodeid=name, facts=facts)
        # Through the hooks, so that the terminal counts the contracts among the collected items.
        collected = config.hook.pytest_make_collect_report(collector=contracts)
        config.hook.pytest_collectreport(report=collected)
        items[:0] = collected.result


class _Gathered:
    """Facts as JSON, kept in the controller's plugin manager for the next worker."""

    def __init__(self, text: str) -> None:
        self.text = text


class Contracts(pytest.Collector):
    """All contracts of one configuration."""

    def __init__(self, *, facts: Facts, **pytest_arguments: Any) -> None:
        super().__init__(**pytest_arguments)
        self.facts = facts

    def collect(self) -> Iterator[pytest.Item]:
        """One item per contract, in the order of the codes."""
        from preflight_ocr.harness.verdict.contracts import derive, judge_all

        for judgement in judge_all(derive(self.facts), self.facts):
            yield ContractItem.from_parent(self, name=judgement.contract.id, judgement=judgement)


class ContractItem(pytest.Item):
    """One contract, already judged: judging is a pure function of the facts and costs nothing."""

    def __init__(self, *, judgement: Judgement, **pytest_arguments: Any) -> None:
        super().__init__(**pytest_arguments)
        from preflight_ocr.harness.judging.findings import Basis, NotApplicable, Skipped

        self.judgement = judgement
        if judgement.contract.diagnosis.basis is Basis.GPU:
            self.add_marker("gpu")
        if isinstance(judgement.outcome, Skipped):
            self.add_marker(pytest.mark.skip(reason=judgement.outcome.reason))
        if isinstance(judgement.outcome, NotApplicable):
            self.add_marker(pytest.mark.skip(reason=f"not applicable: {judgement.outcome.reason}"))

    def setup(self) -> None:
        """A contract our own judging raised on is an error, not a failure."""
        from preflight_ocr.harness.judging.findings import Crashed

        if isinstance(self.judgement.outcome, Crashed):
            raise Unjudged(self.judgement.outcome.error)

    def runtest(self) -> None:
        """Fail with the findings where the contract does not hold."""
        from preflight_ocr.harness.judging.findings import Broken

        if isinstance(self.judgement.outcome, Broken):
            from preflight_ocr.reports.terminal import explain_broken

            raise BrokenContract(explain_broken(self.judgement.outcome))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding, not a traceback: the fault is not in Python code of ours."""
        if isinstance(excinfo.value, BrokenContract | Unjudged):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is shown to be: the configuration."""
        return Path(self.config.getoption("preflight_config")), 0, self.name


class BrokenContract(Exception):
    """A contract does not hold; the message is the findings."""


class Unjudged(Exception):
    """Our own judging raised."""


def _gather(config: pytest.Config) -> Facts:
    """Run the probes. Raises pytest.UsageError for a configuration that cannot be used."""
    import msgspec

    from preflight_ocr.harness.check.check import look
    from preflight_ocr.harness.config.config import ConfigError, load_config

    asked = config.getoption("markexpr", "") or ""
    wants_gpu = "gpu" in asked and "not gpu" not in asked
    try:
        loaded = load_config(Path(config.getoption("preflight_config")))
        if config.getoption("preflight_trust"):
            trusted = msgspec.structs.replace(loaded.model, trust_remote_code=True)
            loaded = msgspec.structs.replace(loaded, model=trusted)
        facts, _ = look(
            loaded,
            level=config.getoption("preflight_level") or ("gpu" if wants_gpu else "ran"),
            trust=loaded.model.trust_remote_code,
            progress=_show_progress(config),
        )
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    return facts


def _show_progress(config: pytest.Config) -> Any:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.get_verbosity() < 0:
        return lambda text: None
    return lambda text: reporter.write_line(f"preflight: {text}")
